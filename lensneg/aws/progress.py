"""The progress of a run: its states, the items of the map, the job, and the cost so far."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from lensneg.aws.calls import Aws
from lensneg.aws.history import Execution, JobProgress, MapProgress, StateVisit, describe
from lensneg.aws.run_cost_so_far import Cost, cost_so_far, item_seconds
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import mini_test_id


@dataclass(frozen=True)
class Snapshot:
    """An execution at a moment, with the mini-test that it started."""

    execution: Execution
    visits: tuple[StateVisit, ...]
    map: MapProgress | None
    job: JobProgress | None
    cost: Cost
    at: datetime
    mini_test: Self | None = None

    @property
    def total_cost(self) -> Cost:
        """The cost, with that of the mini-test."""
        return self.cost + self.mini_test.total_cost if self.mini_test else self.cost


def take_snapshot(aws: Aws, arn: str, out: str) -> Snapshot:
    """Read the progress of an execution.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    arn : str
        The execution.
    out : str
        The stack's output prefix, which holds the stats files of the map. It is used if the input has none.

    Returns
    -------
    Snapshot
    """
    execution = describe(aws, arn)
    return _snapshot(aws, execution, RunFiles(execution.out or out, execution.run_id or execution.name))


def _snapshot(aws: Aws, execution: Execution, files: RunFiles) -> Snapshot:
    history = execution.history(aws)
    maps, jobs, at = history.read_maps(aws), history.read_jobs(aws), datetime.now(UTC)
    mini_test = None
    for arn in history.mini_tests[-1:]:
        mini_test = _snapshot(aws, describe(aws, arn), RunFiles(files.out, mini_test_id(files.run_id)))
    items = maps[-1] if maps else None
    seconds_of_items = item_seconds(files, items.done) if items and items.done else 0.0
    cost = cost_so_far(history, maps, jobs, seconds_of_items, at)
    return Snapshot(execution, history.visits, items, jobs[-1] if jobs else None, cost, at, mini_test)


def changes(before: Snapshot | None, now: Snapshot, prefix: str = "") -> Iterator[str]:
    """Compare two snapshots of an execution.

    Parameters
    ----------
    before : Snapshot or None
        The earlier snapshot; None at the start, when everything is new.
    now : Snapshot
        The later snapshot.
    prefix : str
        Comes before each line.

    Yields
    ------
    str
        A line for each change. The map's items have one for each tenth that is done and for each failure.
    """
    if now.mini_test:
        yield from changes(before.mini_test if before else None, now.mini_test, f"{prefix}mini-test: ")
    old = before.visits if before else ()
    for i, visit in enumerate(now.visits):
        was = old[i] if i < len(old) else None
        if was is None:
            yield f"{prefix}{visit.name} entered"
        if visit.failures > (was.failures if was else 0):
            yield f"{prefix}{visit.name}: {attempts_text(visit)}"
        if visit.exited and (was is None or not was.exited):
            yield f"{prefix}{visit.name} done in {(visit.exited - visit.entered).total_seconds():.0f} s"
    if now.map and _tenths(before.map if before else None) != _tenths(now.map):
        yield f"{prefix}map: {map_text(now.map)}"
    was_job = before.job if before else None
    if now.job and (was_job is None or was_job.state != now.job.state):
        yield f"{prefix}job {job_text(now.job)}"
    if now.execution.status != "RUNNING" and (before is None or before.execution.status == "RUNNING"):
        yield f"{prefix}{now.execution.name} {now.execution.status}"


def _tenths(items: MapProgress | None) -> tuple[int, int] | None:
    return (10 * items.done // max(1, items.total), items.failed) if items else None


def attempts_text(visit: StateVisit) -> str:
    """Return a state's failed attempts in words."""
    return f"{visit.failures} attempt{'s' if visit.failures > 1 else ''} failed"


def map_text(items: MapProgress) -> str:
    """Return a map's counts in words."""
    text = f"{items.done:,} of {items.total:,} items done, {items.running:,} at work"
    return text + (f", {items.failed:,} FAILED" if items.failed else "")


def job_text(job: JobProgress) -> str:
    """Return a job's state in words."""
    text = f"{job.job_run_id} {job.state}"
    if job.seconds:
        text += f", {job.seconds:,.0f} s"
    if job.vcpu_hours:
        text += f", {job.vcpu_hours:.2f} vCPU-hours"
    return text + (f": {job.details}" if job.details and job.state == "FAILED" else "")


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot for ``--json``."""
    execution = snapshot.execution
    return {
        "run_id": execution.run_id,
        "execution": execution.name,
        "execution_arn": execution.arn,
        "status": execution.status,
        "error": execution.error,
        "cause": execution.cause,
        "started": _time(execution.started),
        "ended": _time(execution.ended),
        "states": [
            {"name": v.name, "entered": _time(v.entered), "exited": _time(v.exited), "failures": v.failures}
            for v in snapshot.visits
        ],
        "map": asdict(snapshot.map) if snapshot.map else None,
        "job": asdict(snapshot.job) if snapshot.job else None,
        "usd": {**asdict(snapshot.cost), "total": snapshot.total_cost.total},
        "mini_test": as_json(snapshot.mini_test) if snapshot.mini_test else None,
    }


def _time(value: datetime | None) -> str | None:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None
