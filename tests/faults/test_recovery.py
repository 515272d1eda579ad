"""Recovery is a new execution with the same run id: tried from a failure in every state, executed in moto.

The functions are the real ones in real processes; the job is a stand-in that does the draw's work. A function
fails either before its work, or after it, when its answer is lost. What is published in the end is to the
byte what an undisturbed run publishes, and items that were done are not done again.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from faults import LONG, published, reset, tell
from pipeline import GRAPH, FlakyLambda, JobStandIn, machine_with, states_entered
from plainrun import draw_plainly
from world import World, make_world

from lensneg.local.engine import Machine
from lensneg.local.lambdas import Invocation, Worker


class FaultyLambda(FlakyLambda):
    """Functions of which one fails, in one of the ways in which Lambda fails."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, function="", error="", times=0)
        self.how = "before"
        self._spoil = threading.local()

    def fail(self, function: str, how: str, times: int = 1) -> None:
        self.function, self.how, self.left = function, how, times
        self.invoked.clear()

    def invoke(self, function_name: str, body: str) -> Invocation:
        self.invoked.append(function_name)
        if function_name != self.function or self.left <= 0:
            return super(FlakyLambda, self).invoke(function_name, body)
        self.left -= 1
        if self.how in ("killed", "hung"):
            self._spoil.now = True
        if self.how != "before":
            answer = super(FlakyLambda, self).invoke(function_name, body)
            if self.how != "after":
                return answer
        return Invocation(error={"errorType": "SomethingUnforeseen", "errorMessage": "injected"})

    def _run(self, mine: Worker, function_name: str, body: str) -> Invocation:
        if not getattr(self._spoil, "now", False):
            return super()._run(mine, function_name, body)
        self._spoil.now = False
        process = mine.start()
        os.kill(process.pid, signal.SIGSTOP)  # held, so that it is at work for certain
        if self.how == "killed":  # as the system does when memory is short
            threading.Timer(0.05, process.kill).start()
        return mine.call(function_name, body, 1 if self.how == "hung" else 60)


class Bench:
    """The state machine, and what a test makes fail in it."""

    def __init__(self, machine: Machine, functions: FaultyLambda, emr: JobStandIn) -> None:
        self.machine, self.functions, self.emr = machine, functions, emr
        self.count = 0

    def execute(self, data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        self.count += 1
        name = f"execution-{self.count}"
        return self.machine.execute(name, data), states_entered(self.machine, name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), rows=2_000)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Bench]:
    functions = FaultyLambda(2, tmp_path_factory.mktemp("logs"))
    emr = JobStandIn(draw_plainly)
    with machine_with(functions, emr) as machine:
        yield Bench(machine, functions, emr)


#: Where the run first fails, and in which state that must be seen.
FAILURES = [
    ("Preflight", "before", "Preflight"),
    ("PlanFanOut", "before", "PlanFanOut"),
    ("PlanFanOut", "after", "PlanFanOut"),
    ("FilterSweep", "before", "GateFailed"),
    ("FilterSweep", "after", "SampleNegatives"),  # the commit mark is there, and that is what counts
    ("SummarizeFanOut", "before", "SummarizeFanOut"),
    ("SampleNegatives", "before", "GateFailed"),
    ("CheckSample", "before", "CheckSample"),
    ("ValidateManifest", "after", "ValidateManifest"),
    ("PublishManifest", "before", "PublishManifest"),
    ("PublishManifest", "after", "PublishManifest"),
    ("Report", "before", "Report"),
]


def test_every_task_of_the_graph_is_made_to_fail() -> None:
    tasks = {name for name, state in GRAPH["States"].items() if state["Type"] in ("Task", "Map")}
    tried = {name for name, _, _ in FAILURES} | {"MiniTest", "Quarantine", "FilterSweeps"}
    assert tasks <= tried


#: In `make test`, one before the map, one in it, the job, and both sides of the publication.
SHORT = {("PlanFanOut", "after"), ("FilterSweep", "before"), ("SampleNegatives", "before"),
         ("PublishManifest", "before"), ("PublishManifest", "after")}  # fmt: skip
TRIED = [case for case in FAILURES if LONG or case[:2] in SHORT]


@pytest.mark.parametrize(("function", "how", "seen"), TRIED, ids=[f"{f}-{h}" for f, h, _ in TRIED])
def test_a_new_execution_goes_on(bench: Bench, world: World, function: str, how: str, seen: str) -> None:
    reset(world.template, world.out)
    bench.functions.fail(function, how)
    bench.emr._job = _break if function == "SampleNegatives" else draw_plainly
    first, states = bench.execute(world.request())
    assert seen in states
    if first["status"] == "FAILED":
        assert states[-1] == seen
    else:
        assert (function, how) == ("FilterSweep", "after")
    done = {path.name: path.stat().st_mtime_ns for path in (world.out / "runs" / "one" / "stats").glob("*")}
    bench.functions.fail("", "")
    bench.emr._job = draw_plainly
    was_published = (world.out / "manifests" / "one" / "manifest.json").exists()
    second, states = bench.execute(world.request())
    assert second["status"] == "SUCCEEDED", second.get("cause")
    if was_published:  # then only what follows is done, and no draw
        assert states == ["MiniTestFirst", "Preflight", "Gate1PreSubmission", "PublishManifest", "Report"]
    assert published(world.out, "one") == world.expected
    assert (world.out / "runs" / "one" / "report.html").exists()
    after = {path.name: path.stat().st_mtime_ns for path in (world.out / "runs" / "one" / "stats").glob("*")}
    assert len(after) == 2
    assert done.items() <= after.items()  # what was done has not been done again
    tell("a state fails", f"{function} {how} its work", f"{first['status']}; then identical")


def _break(_: Path) -> None:
    raise RuntimeError("injected")


@pytest.mark.skipif(not LONG, reason="long form: make faults")
def test_a_mini_test_that_broke_is_made_again(bench: Bench, world: World) -> None:
    reset(world.template, world.out)
    for record in (world.out / "minitests").iterdir():
        record.unlink()
    bench.functions.fail("SummarizeFanOut", "before")
    first, states = bench.execute(world.request("test-then-full"))
    assert first["error"] == "Gate1PreSubmission"
    assert "SomethingUnforeseen" in first["cause"]
    assert states[:3] == ["MiniTestFirst", "MiniTest", "Preflight"]
    second, _ = bench.execute(world.request("test-then-full"))
    assert second["status"] == "SUCCEEDED", second.get("cause")
    assert published(world.out, "one") == world.expected
    tell("a state fails", "MiniTest", "FAILED; then identical")


@pytest.mark.parametrize("how", ["killed", "hung"] if LONG else ["killed"])
def test_a_function_that_ends_in_the_midst_is_tried_again(bench: Bench, world: World, how: str) -> None:
    """Once: the same execution succeeds, nothing is wrong with the rows, and the other item is left alone."""
    reset(world.template, world.out)
    bench.functions.fail("FilterSweep", how)
    execution, _ = bench.execute(world.request())
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert bench.functions.invoked.count("FilterSweep") == 2 + 1
    assert published(world.out, "one") == world.expected
    tell("a function ends early", f"FilterSweep {how} once", "tried again; identical")


#: What always goes wrong, how often each of the two items is tried, and what gate 2 says of it.
GIVEN_UP = [
    ("killed", 3, "out of time or memory"),
    ("hung", 3, "out of time or memory"),
]


@pytest.mark.parametrize(("how", "attempts", "said"), GIVEN_UP if LONG else GIVEN_UP[:1])
def test_a_function_that_always_ends_in_the_midst_is_given_up(
    bench: Bench, world: World, how: str, attempts: int, said: str
) -> None:
    """Gate 2 says what is missing, and why; then the cause is mended."""
    reset(world.template, world.out)
    bench.functions.fail("FilterSweep", how, times=100)
    execution, states = bench.execute(world.request())
    assert states[-1] == "GateFailed"
    assert execution["error"] == "Gate2FanOutComplete"
    assert said in execution["cause"]
    assert "start again with the same run id" in execution["cause"]
    assert bench.functions.invoked.count("FilterSweep") == 2 * attempts
    bench.functions.fail("", "")
    second, _ = bench.execute(world.request())
    assert second["status"] == "SUCCEEDED"
    assert published(world.out, "one") == world.expected
    tell("a function ends early", f"FilterSweep {how}, always", "gate 2 names the items; then identical")


def test_one_item_invoked_twice_at_once(bench: Bench, world: World) -> None:
    """Lambda may do so. Both write the same bytes, and each whole."""
    reset(world.template, world.out)
    execution, _ = bench.execute(world.request())
    assert execution["status"] == "SUCCEEDED"
    root = world.out / "runs" / "one"
    items = json.loads((root / "items.json").read_text())
    before = {path: path.read_bytes() for name in ("pool", "positives") for path in (root / name).iterdir()}
    for _ in range(3):
        for path in (root / "stats").iterdir():
            path.unlink()
        body = json.dumps({"root": str(root), "item": items[0]})
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(bench.functions.invoke, ["FilterSweep"] * 2, [body] * 2))
        assert [answer.error for answer in answers] == [None, None]
        assert answers[0].result == answers[1].result
        assert {path: path.read_bytes() for path in before} == before
        assert len(list((root / "stats").iterdir())) == 1
    tell("a function invoked twice", "FilterSweep, at once, 3 times", "same bytes")
