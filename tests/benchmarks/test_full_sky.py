"""How the rehearsal counts: requests by the log of moto's server, and a history without its children."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from full_sky import history_of, requests_in

LINE = '127.0.0.1 - - [28/Nov/2026 20:50:05] "{}" 200 -\n'


def test_requests_are_counted_by_kind_in_a_part_of_the_log(tmp_path: Path) -> None:
    """The server colours the lines of answers that are not 200."""
    first = LINE.format("PUT /b/a HTTP/1.1")
    rest = [
        "GET /b?list-type=2&prefix=out HTTP/1.1",
        "GET /b/key HTTP/1.1",
        "\x1b[35m\x1b[1mGET /b/key HTTP/1.1\x1b[0m",
        "\x1b[33mHEAD /b/missing HTTP/1.1\x1b[0m",
    ]
    log = tmp_path / "log"
    log.write_text(first + "".join(map(LINE.format, rest)))
    assert requests_in(log, len(first)) == {"LIST": 1, "GET": 2, "HEAD": 1}
    assert requests_in(log, 0, len(first)) == {"PUT": 1}


def entered(name: str, data: str) -> dict[str, Any]:
    return {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": name, "input": data}}


def left(data: str) -> dict[str, Any]:
    return {"type": "TaskStateExited", "stateExitedEventDetails": {"output": data}}


def test_the_events_of_children_are_left_out() -> None:
    events = [
        entered("Plan", "{}"),
        left('{"a":1}'),
        entered("Map", '{"a":1}'),
        {"type": "MapRunStarted"},
        entered("Child", '{"a long input":"of a child"}'),
        {"type": "MapRunSucceeded"},
        left("{}"),
    ]
    found = history_of(events)
    assert found["events"] == 6
    assert found["events_with_children"] == 7
    assert found["states"] == ["Plan", "Map"]
    assert (found["input_bytes"], found["output_bytes"]) == (7, 7)
