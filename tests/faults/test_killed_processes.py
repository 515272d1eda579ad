"""kill -9 of the whole local run, its parent, a worker, the Spark driver or its script, in every state.

Each is a real ``lensneg run`` with a real Spark job; then the same command again, which may be the next to be
killed. What is published is to the byte what an undisturbed run publishes, every time. A moment is a random
part of a state's usual time after the run has said that the state before it is done; where the process is not
there yet it is waited for, so that each kill strikes. `make faults` makes 54; `make test` makes three, and
spares itself the draw by Spark: there the run comes to its end step by step in this process.
"""

import random
import shutil
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import LONG, call, in_child, published, reset, tell
from processes import Process
from world import World, shared_world

#: What a run shows when a state of it is over, in order. Between two of them lies a stage.
MARKS = (
    "started",
    "Preflight done",
    "PlanFanOut done",
    "2 of 2 items done",
    "SummarizeFanOut done",
    "SampleNegatives: ",
    "draw/summary.json",
    "CheckSample done",
    "ValidateManifest done",
    "PublishManifest done",
    "Report done",
)
STAGES = ("preflight", "plan", "map", "summarize", "Spark start", "draw", "check", "validate", "publish",
          "report")  # fmt: skip
OF_SPARK = ("Spark start", "draw")
OF_LAMBDA = tuple(stage for stage in STAGES if stage not in OF_SPARK)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return shared_world(tmp_path_factory.getbasetemp())


class Moment(NamedTuple):
    """What is killed, in which stage, and after which part of its usual time."""

    kind: str
    stage: str
    part: float


def moments(chance: random.Random) -> list[list[Moment]]:
    """All kills, in chains: those of a chain strike one run after the other, and the run itself goes on."""
    pairs = [(kind, stage) for kind in ("whole", "whole", "parent") for stage in STAGES]
    pairs += [("worker", stage) for stage in (*OF_LAMBDA, "map", "validate")]
    pairs += [(kind, stage) for kind in ("driver", "script") for stage in (*OF_SPARK * 3, "draw")]
    chance.shuffle(pairs)
    parts = [Moment(kind, stage, chance.random()) for kind, stage in pairs]
    return [sorted(parts[i::6], key=lambda moment: STAGES.index(moment.stage)) for i in range(6)]


SHORT = [[Moment("whole", "map", 0), Moment("worker", "summarize", 0), Moment("driver", "Spark start", 0)]]


class Attempt(Process):
    """A run under way, and when it showed what."""

    def __init__(self, world: World, log: Path) -> None:
        self.run, self.published = world.out / "runs" / "one", world.out / "manifests" / "one"
        self.was_published = (self.published / "manifest.json").exists()
        super().__init__(world.request(), log)
        self.seen = {"started": time.monotonic()}

    def look(self) -> str:
        """Note what has been shown since the last look; return the stage that the run is in."""
        said = self.output()
        for mark in MARKS:
            if mark in said or ((self.run / mark).exists() and self._is_new(self.run / mark)):
                self.seen.setdefault(mark, time.monotonic())
        if self.was_published and "Preflight done" in self.seen:  # then the states between are left out
            self.seen.setdefault("ValidateManifest done", self.seen["Preflight done"])
        last = max(MARKS.index(mark) for mark in self.seen)
        return STAGES[min(last, len(STAGES) - 1)]

    def _is_new(self, path: Path) -> bool:
        return path.stat().st_mtime_ns > self.started_ns

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def strike(self, moment: Moment, usual: dict[str, float], chance: random.Random) -> str:
        """Wait for a moment, and for the process, and kill; return the stage, or nothing if neither came."""
        at = STAGES.index(moment.stage)
        begins, ends = MARKS[at], MARKS[at + 1]
        deadline = time.monotonic() + 120
        while not self.ended():
            assert time.monotonic() < deadline, self.output()
            stage = self.look()
            due = self.seen.get(begins, deadline) + moment.part * usual.get(moment.stage, 0)
            if (time.monotonic() >= due or ends in self.seen) and self.kill(moment.kind, chance):
                return stage
            if STAGES.index(stage) > at + 1:
                break
            time.sleep(0.005)
        return ""

    def end(self) -> int:
        """Wait for the end; no process may be left, and no traceback be seen. Return the exit code."""
        self.popen.wait(300)
        assert self.gone(), self.family()
        assert "Traceback" not in self.output(), self.output()
        return int(self.popen.returncode)


class Record:
    """What was tried, what struck, and what came of it."""

    def __init__(self) -> None:
        self.tried: Counter[tuple[str, str]] = Counter()
        self.struck: Counter[tuple[str, str]] = Counter()
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)

    def tell(self) -> None:
        """Print the table: for each kind and stage, struck of tried; then what came of them."""
        print(f"{'kill -9 of':<10}", *(f"{stage:>11}" for stage in STAGES), f"{'all':>8}")
        for kind in self.outcomes:
            counts = [(self.struck[kind, stage], self.tried[kind, stage]) for stage in STAGES]
            counts.append((sum(n for n, _ in counts), sum(n for _, n in counts)))
            print(f"{kind:<10}", *(f"{f'{n} of {of}' if of else '-':>11}" for n, of in counts))
        for kind, outcomes in self.outcomes.items():
            tell("killed with -9", kind, ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items()))


def outcome_of(attempt: Attempt, kind: str) -> str:
    """What came of a kill, before the run is started again."""
    if kind == "worker":
        return "went on by itself"
    code = attempt.end()
    if kind in ("whole", "parent"):
        assert code == -9, attempt.output()
        return "ended at once"
    assert code in (0, 1), attempt.output()
    if code == 0:
        return "had done its work"
    assert "Gate3SampleComplete" in attempt.output()
    assert "start again with the same run id" in attempt.output()
    return "failed gate 3"


def run_chain(
    world: World, seeded: Path, log: Path, chain: list[Moment], usual: dict[str, float], record: Record
) -> None:
    """Kill one run at all moments of a chain, starting it again as often as that takes."""
    chance = random.Random(str(chain))
    reset(seeded, world.out)
    attempt = Attempt(world, log)
    for moment in chain:
        stage = ""
        for _ in range(3):
            if attempt.ended():
                if (attempt.published / "manifest.json").exists() and moment.stage in STAGES[:-2]:
                    reset(seeded, world.out)  # the stage would come no more
                attempt = Attempt(world, log)
            stage = attempt.strike(moment, usual, chance)
            record.tried[moment.kind, stage or moment.stage] += 1
            if stage:
                break
            attempt.end()
        assert stage, f"{moment} never came"
        record.struck[moment.kind, stage] += 1
        outcome = outcome_of(attempt, moment.kind)
        record.outcomes[moment.kind][outcome] += 1
        tell("killed with -9", f"{moment.kind} in {stage}", outcome)
    if not LONG:
        in_child(world.make)
        return
    if attempt.ended():
        attempt = Attempt(world, log)
    assert attempt.end() == 0, attempt.output()


def test_killed_processes(world: World, tmp_path: Path) -> None:
    reset(world.template, world.out)
    # The start of the run is kept with the run; so that all runs have the same one, it is given beforehand.
    in_child(lambda: call("Preflight", {"input": world.request()}))
    seeded = tmp_path / "seeded"
    shutil.copytree(world.out, seeded)
    usual, chains, expected = {}, SHORT, world.expected
    if LONG:
        usual, chains = usual_times(world, tmp_path / "log"), moments(random.Random(2025))
        expected = published(world.out, "one")
    record = Record()
    for chain in chains:
        run_chain(world, seeded, tmp_path / "log", chain, usual, record)
        same = published(world.out, "one") == expected
        tell("killed with -9", f"{len(chain)} times in one run", "identical" if same else "WRONG")
        assert same
        assert (world.out / "runs" / "one" / "report.html").exists()
        assert not list(world.out.glob("[rm]*/one/**/.writing-*"))
    record.tell()
    assert record.struck.total() == sum(map(len, chains)) >= (54 if LONG else 3)


def usual_times(world: World, log: Path) -> dict[str, float]:
    """Make an undisturbed run; return the seconds of its stages."""
    attempt = Attempt(world, log)
    while not attempt.ended():
        attempt.look()
        time.sleep(0.005)
    attempt.look()
    assert attempt.end() == 0, attempt.output()
    times = [attempt.seen[mark] for mark in MARKS]
    return {stage: times[i + 1] - times[i] for i, stage in enumerate(STAGES)}
