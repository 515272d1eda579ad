"""How far a run is: its states, the map's items, the job, and what it has cost so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lensneg import cost, storage
from lensneg.awscall import Aws
from lensneg.awsops.history import Execution, History, StateVisit, describe
from lensneg.run import RunFiles, mini_test_id

#: MB of the FilterSweep function in template.yaml.
FILTER_MEMORY_MB: Final = 1769

#: Stats files that are read to learn how long an item takes, while the map goes on.
_STATS_READ: Final = 16


@dataclass(frozen=True)
class MapProgress:
    """Items of a map, by what became of them."""

    total: int
    done: int
    failed: int
    running: int


@dataclass(frozen=True)
class JobProgress:
    """A job run of EMR Serverless. Hours are those billed; until they are known, those used so far."""

    job_run_id: str
    state: str
    details: str
    seconds: float | None
    vcpu_hours: float | None
    memory_gb_hours: float | None


@dataclass(frozen=True)
class Cost:
    """Dollars so far, by part; an estimate from the table of prices and what was measured."""

    lambda_usd: float = 0.0
    emr_usd: float = 0.0
    step_functions_usd: float = 0.0

    @property
    def total(self) -> float:
        """All parts."""
        return self.lambda_usd + self.emr_usd + self.step_functions_usd

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.lambda_usd + other.lambda_usd,
            self.emr_usd + other.emr_usd,
            self.step_functions_usd + other.step_functions_usd,
        )


@dataclass(frozen=True)
class Snapshot:
    """A moment of an execution, with the mini-test that it made."""

    execution: Execution
    visits: tuple[StateVisit, ...]
    map: MapProgress | None
    job: JobProgress | None
    cost: Cost
    at: datetime
    mini_test: Snapshot | None = None

    @property
    def total_cost(self) -> Cost:
        """With that of the mini-test."""
        return self.cost + self.mini_test.total_cost if self.mini_test else self.cost


def take_snapshot(aws: Aws, execution: Execution, out: str) -> Snapshot:
    """Read how far an execution is.

    Parameters
    ----------
    aws : Aws
    execution : Execution
        As just described.
    out : str
        The stack's output prefix, for an input that names none: the map's stats files are below it.
    """
    named = execution.input.get("out")
    out = named if isinstance(named, str) and named else out
    return _snapshot(aws, execution, RunFiles(out, execution.run_id or execution.name))


def _snapshot(aws: Aws, execution: Execution, files: RunFiles) -> Snapshot:
    history = execution.history(aws)
    maps = [
        aws.read("stepfunctions", "describe_map_run", mapRunArn=arn)["itemCounts"] for arn in history.map_runs
    ]
    jobs = [
        aws.read("emr-serverless", "get_job_run", applicationId=application, jobRunId=job)["jobRun"]
        for application, job in history.jobs
    ]
    at = datetime.now(UTC)
    mini_test = None
    for arn in history.mini_tests[-1:]:
        below = RunFiles(files.out, mini_test_id(files.run_id))
        mini_test = _snapshot(aws, describe(aws, arn), below)
    items = _map_progress(maps[-1]) if maps else None
    item_seconds = _item_seconds(files, items.done) if items and items.done else 0.0
    return Snapshot(
        execution=execution,
        visits=history.visits,
        map=items,
        job=_job_progress(jobs[-1]) if jobs else None,
        cost=cost_so_far(history, maps, jobs, item_seconds, at),
        at=at,
        mini_test=mini_test,
    )


def _map_progress(counts: dict[str, int]) -> MapProgress:
    return MapProgress(
        total=counts["total"],
        done=counts["succeeded"],
        failed=counts["failed"] + counts["timedOut"] + counts["aborted"],
        running=counts["running"],
    )


def _job_progress(job: dict[str, Any]) -> JobProgress:
    used = job.get("billedResourceUtilization") or job.get("totalResourceUtilization") or {}
    return JobProgress(
        job_run_id=job["jobRunId"],
        state=job["state"],
        details=job.get("stateDetails", ""),
        seconds=job.get("totalExecutionDurationSeconds"),
        vcpu_hours=used.get("vCPUHour"),
        memory_gb_hours=used.get("memoryGBHour"),
    )


def _item_seconds(files: RunFiles, done: int) -> float:
    """Return the seconds of the items that are done: their sum if it is written, else some, scaled."""
    try:
        return float(storage.read_json(files.summary)["task_seconds"])
    except FileNotFoundError:
        pass
    try:
        listed = storage.list_files(files.stats_folder)
    except FileNotFoundError:
        return 0.0
    step = max(1, len(listed) // _STATS_READ)
    some = [float(storage.read_json(info.uri)["seconds"]) for info in listed[::step][:_STATS_READ]]
    return sum(some) / len(some) * done if some else 0.0


def cost_so_far(
    history: History,
    maps: list[dict[str, int]],
    jobs: list[dict[str, Any]],
    item_seconds: float,
    at: datetime,
) -> Cost:
    """Return what an execution has cost, as far as can be known while it goes on.

    Functions by the time of their states; the map by its items' seconds; the job by EMR's own figures of
    its use, and until there are any by the workers of configs/rates.yaml. S3's and the logs' share is
    left out: ``lensneg cost`` has them.

    Parameters
    ----------
    history : History
    maps : list of dict
        ``itemCounts`` of each map run.
    jobs : list of dict
        ``jobRun`` of each job.
    item_seconds : float
        Of all items that are done, together.
    at : datetime
        Now, for what has not ended.
    """
    prices, rates = cost.load_prices(cost.PRICES_FILE), cost.load_rates(cost.RATES_FILE).rates
    graph = json.loads(storage.read_bytes(cost.GRAPH_FILE))["States"].values()
    child_states = sum(len(state["ItemProcessor"]["States"]) for state in graph if state["Type"] == "Map")
    began = sum(c["total"] - c["pending"] for c in maps)
    tasks = [visit for visit in history.visits if visit.is_task]
    seconds = sum(((visit.exited or at) - visit.entered).total_seconds() for visit in tasks)
    gigabyte_seconds = item_seconds * FILTER_MEMORY_MB / 1024 + seconds * rates.task_memory.value / 1024
    attempts = began + sum(1 + visit.failures for visit in tasks)
    of_child = child_states + rates.child_start_transitions.value
    transitions = len(history.visits) + sum(v.failures for v in history.visits) + began * of_child
    emr = 0.0
    for job in jobs:
        used = job.get("billedResourceUtilization") or job.get("totalResourceUtilization")
        if used:
            cores, memory = used.get("vCPUHour", 0.0), used.get("memoryGBHour", 0.0)
        else:
            begun = job.get("startedAt")
            hours = ((job.get("endedAt") or at) - begun).total_seconds() / 3600 if begun else 0.0
            workers = rates.executors.value
            cores = hours * (rates.driver_vcpu.value + workers * rates.executor_vcpu.value)
            memory = hours * (rates.driver_memory.value + workers * rates.executor_memory.value)
        emr += cores * prices.emr_vcpu_hour.each + memory * prices.emr_gb_hour.each
    return Cost(
        lambda_usd=gigabyte_seconds * prices.lambda_gb_second.each + attempts * prices.lambda_request.each,
        emr_usd=emr,
        step_functions_usd=transitions * prices.step_functions_transition.each,
    )


def changes(before: Snapshot | None, now: Snapshot, prefix: str = "") -> Iterator[str]:
    """Say in plain lines what is new since an earlier snapshot of the same execution.

    Parameters
    ----------
    before : Snapshot or None
        None at the start: then everything is new.
    now : Snapshot
    prefix : str
        What to put before each line.

    Yields
    ------
    str
        The map's items once for each tenth that is done, and whenever one failed.
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
    """Return a snapshot for a program."""
    execution = snapshot.execution

    def time(value: datetime | None) -> str | None:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None

    return {
        "run_id": execution.run_id,
        "execution": execution.name,
        "execution_arn": execution.arn,
        "status": execution.status,
        "error": execution.error,
        "cause": execution.cause,
        "started": time(execution.started),
        "ended": time(execution.ended),
        "states": [
            {
                "name": visit.name,
                "entered": time(visit.entered),
                "exited": time(visit.exited),
                "failures": visit.failures,
            }
            for visit in snapshot.visits
        ],
        "map": asdict(snapshot.map) if snapshot.map else None,
        "job": asdict(snapshot.job) if snapshot.job else None,
        "usd": {**asdict(snapshot.cost), "total": snapshot.total_cost.total},
        "mini_test": as_json(snapshot.mini_test) if snapshot.mini_test else None,
    }
