"""How far a run is, and what it has cost so far."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cloud import NOON
from conftest import CONFIGS
from rich.console import Console

from lensneg.aws import progress
from lensneg.aws.history import Execution, History, JobProgress, MapProgress, StateVisit
from lensneg.aws.run_cost_so_far import Cost, cost_so_far
from lensneg.commands.aws_screen import follow
from lensneg.cost.planned_run import FILTER_MEMORY_MB


def visit(name: str, start_s: float, end_s: float | None, **more: Any) -> StateVisit:
    end = None if end_s is None else NOON + timedelta(seconds=end_s)
    return StateVisit(name, NOON + timedelta(seconds=start_s), end, **more)


def test_cost_is_what_a_pocket_calculator_says() -> None:
    history = History((visit("A", 0, 10, is_task=True), visit("B", 10, None)))
    items = MapProgress(total=100, done=30, failed=1, running=9)
    job = JobProgress("j", "RUNNING", "", seconds=3600, vcpu_hours=None, memory_gb_hours=None)
    cost = cost_so_far(history, [items], [job], 1024.0, NOON + timedelta(hours=1))
    # 1,024 s at 1,024 MB and 10 s at 2,048 MB; 40 items and one task; 2 states, and 40 children of 2.
    assert cost.lambda_usd == pytest.approx((1024 + 20) * 0.0000166667 + 41 * 0.2 / 1e6)
    assert cost.step_functions_usd == pytest.approx((2 + 40 * 2) * 0.025 / 1000)
    # No figures yet: a driver of 4 vCPU and 16 GB and 3 executors like it, for an hour.
    assert cost.emr_usd == pytest.approx(16 * 0.052624 + 64 * 0.0057785)


def test_the_map_function_has_the_memory_that_its_cost_assumes() -> None:
    text = (CONFIGS.parent / "template.yaml").read_text().partition("  FilterSweepFunction:\n")[2]
    assert f"MemorySize: {FILTER_MEMORY_MB}\n" in text[:400]


def test_only_what_is_new_is_told() -> None:
    def snapshot(visits: tuple[StateVisit, ...], done: int, failed: int = 0) -> progress.Snapshot:
        execution = Execution("arn", "r", "RUNNING", NOON)
        items = MapProgress(100, done, failed, 5)
        return progress.Snapshot(execution, visits, items, None, Cost(), NOON)

    first = snapshot((visit("FilterSweeps", 0, None),), 11)
    assert list(progress.changes(None, first)) == [
        "FilterSweeps entered",
        "map: 11 of 100 items done, 5 at work",
    ]
    assert list(progress.changes(first, snapshot(first.visits, 19))) == []
    assert list(progress.changes(first, snapshot(first.visits, 19, failed=1))) == [
        "map: 19 of 100 items done, 5 at work, 1 FAILED"
    ]
    later = (visit("FilterSweeps", 0, 61, failures=2), visit("SummarizeFanOut", 61, None))
    assert list(progress.changes(first, snapshot(later, 12))) == [
        "FilterSweeps: 2 attempts failed",
        "FilterSweeps done in 61 s",
        "SummarizeFanOut entered",
    ]


def test_a_terminal_gets_a_live_view() -> None:
    def snapshots() -> Iterator[progress.Snapshot]:
        for status in ("RUNNING", "SUCCEEDED"):
            execution = Execution("arn", "r", status, NOON, run_id="r")
            yield progress.Snapshot(execution, (visit("Preflight", 0, 5),), None, None, Cost(), NOON)

    console = Console(force_terminal=True, width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    take: Callable[[], progress.Snapshot] = snapshots().__next__
    assert follow(console, take, 0.01).execution.status == "SUCCEEDED"
    text = console.export_text()
    assert "Preflight" in text
    assert "0:05" in text
