"""The time line: the plan by state, and the states of a run's last execution."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cloud import stats_of_4_seconds
from costcase import small_run

from lensneg.cost.graph import load_graph
from lensneg.cost.model import estimate
from lensneg.cost.time_line import planned_states, time_line
from lensneg.errors import RunStateError
from lensneg.schema.layout import RunFiles
from lensneg.schema.run_cost import StateCost, TimeLine
from lensneg.schema.sample_summary import JobRun
from lensneg.schema.state_times import StateTimes, last_execution

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)

#: Seconds after noon at which each function's state was entered, and at which it ended.
TIMES = {
    "Preflight": (0, 10), "PlanFanOut": (11, 20), "SummarizeFanOut": (60, 70), "CheckSample": (200, 210),
    "ValidateManifest": (211, 220), "PublishManifest": (221, 225), "Report": (226, 230),
}  # fmt: skip


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def write(files: RunFiles, times: dict[str, tuple[int, int]], later: int = 0, on_aws: bool = False) -> None:
    for state, (entered, ended) in times.items():
        StateTimes(
            state=state, entered=at(later + entered), ended=at(later + ended), on_aws=on_aws
        ).write(files.state_times(state))  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return RunFiles(str(tmp_path), "one")


def line_of(
    files: RunFiles,
    ended: tuple[int, ...] = (30, 40),
    own: StateTimes | None = None,
    job: JobRun | None = None,
) -> TimeLine:
    """The time line of the small run, with two items of 4 s that ended so many seconds after noon."""
    stats = [stats_of_4_seconds("i").model_copy(update={"ended": at(seconds)}) for seconds in ended]
    planned = replace(small_run(), graph=load_graph())
    return time_line(last_execution(files, own), stats, job, planned, estimate(planned))


def by_name(line: TimeLine) -> dict[str, StateCost]:
    return {state.state: state for state in line.states}


def test_the_plan_by_hand() -> None:
    """The parts of test_cost_model.py: seconds, and USD, of each state; 0.1 s before each state."""
    run = small_run()
    spans, usd_of_all = planned_states(run, estimate(run))
    assert {state: (span.begin, span.end) for state, span in spans.items()} == {
        "Preflight": (0, 11),
        "PlanFanOut": (11.1, 20.1),
        "FilterSweeps": (20.2, 53.825),
        "SummarizeFanOut": (53.925, 64.425),
        "SampleNegatives": (64.625, 98.625),  # after a choice, which waits 0.1 s
        "CheckSample": (98.725, 110.475),
        "Report": (110.675, 119.675),
    }
    second = 0.0000166667
    usd = {state: span.usd for state, span in spans.items()}
    assert usd["PlanFanOut"] == usd["Report"] == pytest.approx(24 * second, abs=1e-6)
    draw = 9 / 60 * 0.052624 + 18 / 60 * 0.0057785
    assert usd["SampleNegatives"] == pytest.approx(draw, abs=1e-6)
    requests = 3 * 0.20e-6 + 28 * 0.0004e-3 + 9 * 0.005e-3 + 6 * 0.025e-3
    assert usd["FilterSweeps"] == pytest.approx(89.25 * second + requests + 1.5, abs=1e-6)  # and logs
    assert usd_of_all == pytest.approx(10 * 0.025e-3 + 25 * 0.0004e-3 + 74 * 0.005e-3, abs=1e-6)


def test_map_and_draw_fill_the_time_between_functions(files: RunFiles) -> None:
    write(files, TIMES)
    line = line_of(files)
    assert line.started == NOON
    assert line.on_aws is False
    states = by_name(line)
    spans = {name: (s.actual.begin, s.actual.end, s.actual.seconds) for name, s in states.items() if s.actual}
    assert spans["FilterSweeps"] == (20, 60, 40)
    assert spans["SampleNegatives"] == (70, 200, 130)
    assert spans["CheckSample"] == (200, 210, 10)
    assert {state.note for state in line.states} == {""}
    assert {state.actual.usd for state in line.states if state.actual} == {0}


def test_cost_on_aws_by_hand(files: RunFiles) -> None:
    write(files, TIMES, on_aws=True)
    one, second, transition = 0.20e-6, 0.0000166667, 0.025e-3
    found = {name: s.actual.usd for name, s in by_name(line_of(files)).items() if s.actual}
    # 10 s of 4,096 MB.
    assert found["Preflight"] == pytest.approx(40 * second + one + transition, abs=1e-6)
    # Two items of 4 s at 1,024 MB; each is a child of one state, and a start.
    mapped = 8 * second + 2 * one + (1 + 2 * 2) * transition
    assert found["FilterSweeps"] == pytest.approx(mapped, abs=1e-6)
    # 130 s of 5 vCPU and 10 GB.
    draw = 130 / 3600 * (5 * 0.052624 + 10 * 0.0057785) + transition
    assert found["SampleNegatives"] == pytest.approx(draw, abs=1e-6)
    job = JobRun.of_emr({"billedResourceUtilization": {"vCPUHour": 2, "memoryGBHour": 3}})
    billed = by_name(line_of(files, job=job))["SampleNegatives"].actual
    assert billed is not None
    assert billed.usd == pytest.approx(2 * 0.052624 + 3 * 0.0057785 + transition, abs=1e-6)


def test_a_run_that_was_resumed_shows_its_last_execution(files: RunFiles) -> None:
    """The first execution died after the first of two items; the second began 1,000 s later."""
    write(files, {"Preflight": (0, 10), "PlanFanOut": (11, 20)})
    write(files, TIMES, later=1000, on_aws=True)
    line = line_of(files, ended=(30, 1030))
    assert line.started == at(1000)
    mapped = by_name(line)["FilterSweeps"]
    assert mapped.note == "1 of 2 items skipped, as they were done"
    assert mapped.actual is not None
    assert mapped.actual.begin == 20
    one_item = 4 * 0.0000166667 + 0.20e-6 + 3 * 0.025e-3
    assert mapped.actual.usd == pytest.approx(one_item, abs=1e-6)


def test_states_that_are_skipped_and_states_that_are_not_reached(files: RunFiles) -> None:
    write(files, TIMES)
    # Published already: Preflight, then Report, which is at work.
    write(files, {"Preflight": (0, 10), "PublishManifest": (11, 12)}, later=1000)
    notes = {name: s.note for name, s in by_name(line_of(files)).items()}
    skipped = "skipped, as it was done"
    assert notes == {
        "Preflight": "", "PlanFanOut": skipped, "FilterSweeps": skipped, "SummarizeFanOut": skipped,
        "SampleNegatives": skipped, "CheckSample": skipped, "ValidateManifest": skipped,
        "PublishManifest": "", "Report": "not reached",
    }  # fmt: skip
    own = StateTimes(state="Report", entered=at(1013), ended=at(1015), on_aws=False)
    report = by_name(line_of(files, own=own))["Report"].actual
    assert report is not None
    assert (report.begin, report.end) == (13, 15)


def test_a_mini_test_and_a_quarantine_stand_where_they_began(files: RunFiles) -> None:
    write(files, {"MiniTest": (-90, 0), **dict(list(TIMES.items())[:5]), "Quarantine": (221, 229)})
    line = line_of(files)
    assert [state.state for state in line.states] == [
        "MiniTest", "Preflight", "PlanFanOut", "FilterSweeps", "SummarizeFanOut", "SampleNegatives",
        "CheckSample", "ValidateManifest", "Quarantine", "PublishManifest", "Report",
    ]  # fmt: skip
    first = line.states[0]
    assert first.planned is None
    assert first.actual is not None
    assert (first.actual.begin, first.actual.end) == (-90, 0)
    # The next execution makes no mini-test.
    write(files, {"Preflight": (0, 10)}, later=1000)
    assert [state.state for state in line_of(files).states if state.actual] == ["Preflight"]


def test_without_times_there_is_a_plan(files: RunFiles) -> None:
    line = line_of(files)
    assert line.started is None
    assert {state.note for state in line.states} == {"not recorded"}
    assert all(state.planned and not state.actual for state in line.states)


def test_without_prices_there_are_times(files: RunFiles) -> None:
    write(files, TIMES, on_aws=True)
    line = time_line(last_execution(files), [], None, None, None)
    assert [state.state for state in line.states if state.actual] == [
        "Preflight", "PlanFanOut", "FilterSweeps", "SummarizeFanOut", "SampleNegatives", "CheckSample",
        "ValidateManifest", "PublishManifest", "Report",
    ]  # fmt: skip
    assert {state.actual.usd for state in line.states if state.actual} == {None}


def test_times_that_are_damaged_are_named(files: RunFiles) -> None:
    write(files, TIMES)
    Path(files.state_times("Report")).write_text('{"state": "Report"}')
    with pytest.raises(RunStateError, match=r"states/Report\.json.*damaged"):
        last_execution(files)
