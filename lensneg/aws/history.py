"""An execution as AWS describes it: its input and status, its states, its map and its jobs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from lensneg.aws.calls import Aws, in_place_of
from lensneg.errors import InputError


@dataclass(frozen=True)
class StateVisit:
    """A state that an execution entered.

    Attributes
    ----------
    name : str
    entered : datetime
    exited : datetime or None
        None where it has not been left.
    failures : int
        Attempts of its task that failed.
    is_task : bool
        Whether it invoked a function.
    """

    name: str
    entered: datetime
    exited: datetime | None = None
    failures: int = 0
    is_task: bool = False


@dataclass(frozen=True)
class MapProgress:
    """Items of a map, by what became of them."""

    total: int
    done: int
    failed: int
    running: int

    @classmethod
    def of_aws(cls, counts: Mapping[str, int]) -> Self:
        """Take the ``itemCounts`` of a map run."""
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        return cls(counts["total"], counts["succeeded"], failed, counts["running"])

    @property
    def begun(self) -> int:
        """Items that are done, have failed or are at work."""
        return self.done + self.failed + self.running


@dataclass(frozen=True)
class JobProgress:
    """A job run of EMR Serverless. Hours are those billed; until they are known, those used so far."""

    job_run_id: str
    state: str
    details: str
    seconds: float | None
    vcpu_hours: float | None
    memory_gb_hours: float | None

    @classmethod
    def of_aws(cls, job: Mapping[str, Any]) -> Self:
        """Take a ``jobRun``."""
        used = job.get("billedResourceUtilization") or job.get("totalResourceUtilization") or {}
        seconds, begun = job.get("totalExecutionDurationSeconds"), job.get("startedAt")
        if seconds is None and begun:
            seconds = ((job.get("endedAt") or datetime.now(UTC)) - begun).total_seconds()
        details, hours = job.get("stateDetails", ""), (used.get("vCPUHour"), used.get("memoryGBHour"))
        return cls(job["jobRunId"], job["state"], details, seconds, *hours)


@dataclass(frozen=True)
class History:
    """What an execution's events say.

    Attributes
    ----------
    visits : tuple of StateVisit
    map_runs : tuple of str
        ARNs; more than one where the Map was tried again.
    jobs : tuple of (str, str)
        Application and job run.
    mini_tests : tuple of str
        ARNs of the executions that it started.
    """

    visits: tuple[StateVisit, ...] = ()
    map_runs: tuple[str, ...] = ()
    jobs: tuple[tuple[str, str], ...] = ()
    mini_tests: tuple[str, ...] = ()

    def read_maps(self, aws: Aws) -> list[MapProgress]:
        """Read how far each map run is."""
        described = [aws.read("stepfunctions", "describe_map_run", mapRunArn=arn) for arn in self.map_runs]
        return [MapProgress.of_aws(found["itemCounts"]) for found in described]

    def read_jobs(self, aws: Aws) -> list[JobProgress]:
        """Read how far each job run is."""
        described = [
            aws.read("emr-serverless", "get_job_run", applicationId=application, jobRunId=job)
            for application, job in self.jobs
        ]
        return [JobProgress.of_aws(found["jobRun"]) for found in described]


def read_history(events: Iterable[Mapping[str, Any]]) -> History:
    """Sort an execution's events by state.

    Parameters
    ----------
    events : iterable of mapping
        As GetExecutionHistory gives them, oldest first. The graph has no parallel branches and the map's
        children have histories of their own, so an event belongs to the state that was entered last.
    """
    visits: list[StateVisit] = []
    map_runs: list[str] = []
    jobs: list[tuple[str, str]] = []
    mini_tests: list[str] = []
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered"):
            visits.append(StateVisit(event["stateEnteredEventDetails"]["name"], event["timestamp"]))
        elif kind.endswith("StateExited") and visits:
            visits[-1] = replace(visits[-1], exited=event["timestamp"])
        elif kind in ("TaskFailed", "TaskTimedOut", "TaskSubmitFailed", "TaskStartFailed") and visits:
            visits[-1] = replace(visits[-1], failures=visits[-1].failures + 1)
        elif kind == "TaskScheduled" and event["taskScheduledEventDetails"]["resourceType"] == "lambda":
            visits[-1] = replace(visits[-1], is_task=True)
        elif kind == "MapRunStarted":
            map_runs.append(event["mapRunStartedEventDetails"]["mapRunArn"])
        elif kind == "TaskSubmitted":
            started = json.loads(event["taskSubmittedEventDetails"].get("output") or "{}")
            if "JobRunId" in started:
                jobs.append((started["ApplicationId"], started["JobRunId"]))
            if "ExecutionArn" in started:
                mini_tests.append(started["ExecutionArn"])
    return History(tuple(visits), tuple(map_runs), tuple(jobs), tuple(mini_tests))


@dataclass(frozen=True)
class Execution:
    """An execution.

    Attributes
    ----------
    arn, name : str
    status : str
        RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
    started : datetime
    ended : datetime or None
    error, cause : str
        Empty unless it failed.
    input : str
        JSON; empty in a list of executions.
    run_id, out : str or None
        The run and the output prefix that the input names; None where it names none, as that of a mini-test.
    """

    arn: str
    name: str
    status: str
    started: datetime
    ended: datetime | None = None
    error: str = ""
    cause: str = ""
    input: str = ""
    run_id: str | None = None
    out: str | None = None

    @classmethod
    def of_aws(cls, found: Mapping[str, Any]) -> Self:
        """Take an execution as Step Functions lists or describes it."""
        text = found.get("input", "")
        data = json.loads(text or "{}")
        texts = {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
        return cls(
            arn=found["executionArn"],
            name=found["name"],
            status=found["status"],
            started=found["startDate"],
            ended=found.get("stopDate"),
            error=found.get("error", ""),
            cause=found.get("cause", ""),
            input=text,
            run_id=texts.get("run_id"),
            out=texts.get("out"),
        )

    def history(self, aws: Aws) -> History:
        """Read what its events say."""
        return read_history(
            aws.pages("stepfunctions", "get_execution_history", "events", executionArn=self.arn)
        )


def describe(aws: Aws, arn: str) -> Execution:
    """Read an execution's description.

    Raises
    ------
    InputError
        If there is no such execution.
    """
    absent = InputError("no such execution", where=arn, remedy="lensneg aws status lists them")
    with in_place_of("ExecutionDoesNotExist", absent):
        return Execution.of_aws(aws.read("stepfunctions", "describe_execution", executionArn=arn))
