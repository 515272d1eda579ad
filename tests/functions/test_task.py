"""What every handler does besides its work: records that carry the run, the execution and the item."""

import importlib
import io
import json
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from plainrun import edit_json

from functions.task import logger
from lensneg.errors import LensnegError
from lensneg.local.worker import LocalContext
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run
from lensneg.schema.state_times import StateTimes
from lensneg.stages.filter_sweep import filter_item
from lensneg.stages.preflight.functions import WAKING_CALL

Call = Callable[[str, dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Invoke a handler as Lambda does; return what it logged."""

    def invoke(module: str, event: dict[str, Any]) -> list[dict[str, Any]]:
        log = io.StringIO()
        monkeypatch.setattr(logger.registered_handler, "stream", log)
        with suppress(LensnegError, ZeroDivisionError):
            importlib.import_module(f"functions.{module}").handler(event, LocalContext(module))
        return [json.loads(line) for line in log.getvalue().splitlines()]

    return invoke


@pytest.mark.parametrize(
    "module",
    ["preflight", "plan_fan_out", "filter_sweep", "summarize_fan_out", "check_sample", "validate_manifest",
     "publish_manifest", "report", "quarantine"],
)  # fmt: skip
def test_a_call_that_wakes_a_function_does_nothing(module: str) -> None:
    handler = importlib.import_module(f"functions.{module}").handler
    assert handler(json.loads(WAKING_CALL["Payload"]), LocalContext(module)) == {}


def test_the_vcpus_that_preflight_returned_reach_the_number_of_executors(
    mapped: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.summarize_fan_out import handler

    monkeypatch.setattr(
        "lensneg.stages.summarize_fan_out.summary.executors_of", lambda _quotas, _rates, max_vcpus: max_vcpus
    )
    event = {"root": mapped.root, "state": {"max_vcpus": 24, "max_concurrency": 2}}
    assert handler(event, LocalContext("SummarizeFanOut"))["executors"] == 24


@pytest.fixture
def item(mapped: RunFiles) -> dict[str, Any]:
    return json.loads(Path(mapped.items).read_text())[0]


def test_records_carry_run_execution_and_item(mapped: RunFiles, item: dict[str, Any], call: Call) -> None:
    event = {"root": mapped.root, "execution_arn": "arn:aws:states:x", "item": item}
    told = call("filter_sweep", event)
    messages = [entry["message"] for entry in told]
    name = f"FilterSweep {item['id']}"
    assert messages[0] == f"{name} started"
    assert f"{item['id']}: skipped, as it is done" in messages
    assert messages[-1].startswith(f"{name} ended after ")
    for entry in told:
        assert (entry["run_id"], entry["execution_arn"]) == ("one", "arn:aws:states:x")
        assert entry["item"] == item["id"]


def test_records_of_a_failure_carry_run_execution_and_item(
    mapped: RunFiles, item: dict[str, Any], call: Call
) -> None:
    changed = {**item, "id": "other", "etag": "other"}
    told = call("filter_sweep", {"root": mapped.root, "execution_arn": "arn:aws:states:x", "item": changed})
    errors = [entry for entry in told if entry["level"] == "ERROR"]
    assert errors
    for entry in told:
        assert [entry[key] for key in ("run_id", "execution_arn", "item")] == [
            "one",
            "arn:aws:states:x",
            "other",
        ]
        assert entry["function_request_id"]  # by which Lambda's own lines of a timeout are found


@pytest.mark.parametrize(
    ("state", "count"),
    [({"job_error": {"Error": "States.TaskFailed", "Cause": "out of memory"}}, 1.0), ({}, 0.0)],
)
def test_a_failed_job_is_counted(
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: dict[str, Any],
    count: float,
) -> None:
    def judge(*_: Any) -> None:
        raise LensnegError("judged elsewhere", where="", remedy="")

    monkeypatch.setattr("functions.check_sample.check_sample", judge)
    call("check_sample", {"root": "/out/runs/one", "state": state})
    [counted] = [json.loads(x) for x in capsys.readouterr().out.splitlines() if '"JobsFailed"' in x]
    assert counted["JobsFailed"] == [count]
    assert counted["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


def test_the_next_invocation_does_not_carry_the_last_ones_item(
    mapped: RunFiles, item: dict[str, Any], call: Call
) -> None:
    call("filter_sweep", {"root": mapped.root, "item": item})
    told = call("summarize_fan_out", {"root": mapped.root})
    assert told
    assert not any("item" in entry for entry in told)
    assert "Gate2FanOutComplete passed" in [entry["message"] for entry in told]


def test_a_failure_is_logged_with_its_kind(
    mapped: RunFiles, item: dict[str, Any], tmp_path: Path, call: Call
) -> None:
    changed = {**item, "id": item["id"] + "-x", "sweep": item["sweep"], "etag": "other"}
    told = call("filter_sweep", {"root": mapped.root, "item": changed})
    [failed] = [entry for entry in told if entry.get("level") == "ERROR"]
    assert "SweepError" in failed["message"]
    assert "the file changed after the run was planned" in failed["message"]
    reason = json.loads(Path(mapped.error(changed["id"])).read_text())["message"]
    assert reason.startswith(f"{item['sweep']}: the file changed after the run was planned")


def test_an_item_that_dies_of_any_exception_says_which(
    mapped: RunFiles, item: dict[str, Any], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log with its traceback, and in gate 2's words."""

    def die(*args: Any) -> None:
        raise KeyError("SERSIC")

    monkeypatch.setattr("functions.filter_sweep.filter_item", die)
    with suppress(KeyError):
        call("filter_sweep", {"root": mapped.root, "item": {**item, "id": "odd"}})
    reason = json.loads(Path(mapped.error("odd")).read_text())["message"]
    assert reason.startswith(f"{item['sweep']}: KeyError: 'SERSIC'; this is a fault of lensneg")


def test_an_unknown_failure_is_logged_with_its_traceback(
    mapped: RunFiles, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any state."""

    def die(*args: Any) -> None:
        raise ZeroDivisionError("none")

    monkeypatch.setattr("functions.summarize_fan_out.summarize_fan_out", die)
    told = call("summarize_fan_out", {"root": mapped.root})
    [failed] = [entry for entry in told if entry.get("level") == "ERROR"]
    assert failed["message"] == "SummarizeFanOut died of ZeroDivisionError: none"
    assert "in die" in failed["exception"]


def test_what_is_logged_of_an_item_is_what_was_done(
    mapped: RunFiles, item: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stats = Path(mapped.stats(item["id"]))
    kept = json.loads(stats.read_text())
    stats.unlink()
    with caplog.at_level(logging.DEBUG, "lensneg"):
        filter_item(load_run(mapped.root), Item.model_validate(item))
    [line] = [r.getMessage() for r in caplog.records if "rows in" in r.getMessage()]
    assert line.startswith(
        f"{item['id']}: {item['n_rows']} rows in, {kept['rows_kept']} kept, {item['n_bytes']} bytes read, "
    )
    edit_json(str(stats), lambda now: now.update(seconds=kept["seconds"], ended=kept["ended"]))
    assert json.loads(stats.read_text()) == kept


def test_a_state_leaves_its_times(mapped: RunFiles, call: Call) -> None:
    before = datetime.now(UTC)
    call("summarize_fan_out", {"root": mapped.root, "entered": "2026-01-02T03:04:05.678Z"})
    times = StateTimes.read(mapped.state_times("SummarizeFanOut"))
    assert times.entered == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert before <= times.ended <= datetime.now(UTC)
    assert times.on_aws is False


@pytest.mark.parametrize(
    ("test", "left"),
    [
        ({"entered": "2026-01-02T03:00:00Z"}, {"Preflight", "MiniTest"}),
        ({"Error": "States.TaskFailed", "Cause": ""}, {"Preflight"}),  # it failed, so there is no report
        (None, {"Preflight"}),
    ],
)
def test_preflight_leaves_the_times_of_a_mini_test(
    tmp_path: Path, call: Call, test: dict[str, str] | None, left: set[str]
) -> None:
    files = RunFiles(str(tmp_path), "two")
    data = {
        "run_id": "two",
        "mode": "full",
        "config": "c.yaml",
        "sweeps": str(tmp_path),
        "positives": ["p.csv"],
    }
    data |= {"out": str(tmp_path)} | ({"mini_test": test} if test else {})
    call("preflight", {"input": data, "entered": "2026-01-02T03:04:05Z"})
    assert {path.stem for path in Path(files.states_folder).iterdir()} == left
    if "MiniTest" in left:
        times = StateTimes.read(files.state_times("MiniTest"))
        assert (times.entered.minute, times.ended) == (0, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_times_that_cannot_be_written_fail_nothing(mapped: RunFiles, call: Call) -> None:
    in_the_way = Path(mapped.states_folder)
    shutil.rmtree(in_the_way, ignore_errors=True)
    in_the_way.write_text("")
    told = call("summarize_fan_out", {"root": mapped.root, "entered": "2026-01-02T03:04:05Z"})
    in_the_way.unlink()
    messages = [entry["message"] for entry in told]
    assert "Gate2FanOutComplete passed" in messages
    assert any(
        message.startswith("the report will lack the times of SummarizeFanOut: ") for message in messages
    )
    assert messages[-1].startswith("SummarizeFanOut ended after ")
