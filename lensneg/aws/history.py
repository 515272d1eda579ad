"""An execution as AWS describes it: its input, its status, its states, its map and its jobs."""

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
        Name of the state.
    entered : datetime
        When it was entered.
    exited : datetime or None
        When it was left, if it was.
    failures : int
        Number of attempts of its task that failed.
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
    """The numbers of items of a map."""

    total: int
    done: int
    failed: int
    running: int

    @classmethod
    def of_aws(cls, counts: Mapping[str, int]) -> Self:
        """Make it from the ``itemCounts`` of a map run."""
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        return cls(counts["total"], counts["succeeded"], failed, counts["running"])


@dataclass(frozen=True)
class JobProgress:
    """A job run of EMR Serverless. Its hours are those billed, or those used until these are known."""

    job_run_id: str
    state: str
    details: str
    seconds: float | None
    vcpu_hours: float | None
    memory_gb_hours: float | None

    @classmethod
    def of_aws(cls, job: Mapping[str, Any]) -> Self:
        """Make it from a ``jobRun``."""
        used = job.get("billedResourceUtilization") or job.get("totalResourceUtilization") or {}
        seconds, begun = job.get("totalExecutionDurationSeconds"), job.get("startedAt")
        if seconds is None and begun:
            seconds = ((job.get("endedAt") or datetime.now(UTC)) - begun).total_seconds()
        details, hours = job.get("stateDetails", ""), (used.get("vCPUHour"), used.get("memoryGBHour"))
        return cls(job["jobRunId"], job["state"], details, seconds, *hours)


@dataclass(frozen=True)
class History:
    """The content of an execution's events.

    Attributes
    ----------
    visits : tuple of StateVisit
        The states, in order.
    map_runs : tuple of str
        ARNs of the map runs; several if the Map was tried again.
    jobs : tuple of (str, str)
        Application and job run of each job.
    mini_tests : tuple of str
        ARNs of the executions that were started for mini-tests.
    """

    visits: tuple[StateVisit, ...] = ()
    map_runs: tuple[str, ...] = ()
    jobs: tuple[tuple[str, str], ...] = ()
    mini_tests: tuple[str, ...] = ()

    def read_maps(self, aws: Aws) -> list[MapProgress]:
        """Read the counts of each map run."""
        described = [aws.read("stepfunctions", "describe_map_run", mapRunArn=arn) for arn in self.map_runs]
        return [MapProgress.of_aws(found["itemCounts"]) for found in described]

    def read_jobs(self, aws: Aws) -> list[JobProgress]:
        """Read the state of each job run."""
        described = [
            aws.read("emr-serverless", "get_job_run", applicationId=application, jobRunId=job)
            for application, job in self.jobs
        ]
        return [JobProgress.of_aws(found["jobRun"]) for found in described]


def read_history(events: Iterable[Mapping[str, Any]]) -> History:
    """Sort an execution's events by state.

    An event belongs to the state that was entered last, as the graph has no parallel branches and the map's
    children have histories of their own.

    Parameters
    ----------
    events : iterable of mapping
        The events of GetExecutionHistory, oldest first.

    Returns
    -------
    History
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
        Its identifiers.
    status : str
        RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
    started : datetime
        When it began.
    ended : datetime or None
        When it ended, if it has.
    error, cause : str
        Why it failed; empty if it did not.
    input : str
        Its input in JSON; empty if the execution comes from a list.
    run_id, out : str or None
        The run and the output prefix in the input. The input of a mini-test has none.
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
        """Make it from an entry of ListExecutions or from DescribeExecution."""
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
        """Read its events."""
        return read_history(
            aws.pages("stepfunctions", "get_execution_history", "events", executionArn=self.arn)
        )


def describe(aws: Aws, arn: str) -> Execution:
    """Read the description of an execution.

    Parameters
    ----------
    aws : Aws
        Makes the call.
    arn : str
        The execution.

    Returns
    -------
    Execution

    Raises
    ------
    InputError
        If there is no such execution.
    """
    absent = InputError("no such execution", where=arn, remedy="lensneg aws status lists them")
    with in_place_of("ExecutionDoesNotExist", absent):
        return Execution.of_aws(aws.read("stepfunctions", "describe_execution", executionArn=arn))
