"""An execution as Step Functions tells of it: its description, and what its events say of each state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lensneg.aws.calls import Aws
from lensneg.errors import InputError
from lensneg.storage.errors import error_code


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
    input : dict
    started : datetime
    ended : datetime or None
    error, cause : str
        Empty unless it failed.
    """

    arn: str
    name: str
    status: str
    input: dict[str, Any]
    started: datetime
    ended: datetime | None = None
    error: str = ""
    cause: str = ""

    @property
    def run_id(self) -> str | None:
        """The run that its input names; None where that names none, as that of a mini-test."""
        found = self.input.get("run_id")
        return found if isinstance(found, str) else None

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
    try:
        found = aws.read("stepfunctions", "describe_execution", executionArn=arn)
    except InputError as error:
        if error_code(error.__cause__) != "ExecutionDoesNotExist":
            raise
        remedy = "lensneg aws status lists them"
        raise InputError("no such execution", where=arn, remedy=remedy) from error.__cause__
    try:
        data = json.loads(found.get("input") or "{}")
    except ValueError:
        data = {}
    return Execution(
        arn=arn,
        name=found["name"],
        status=found["status"],
        input=data if isinstance(data, dict) else {},
        started=found["startDate"],
        ended=found.get("stopDate"),
        error=found.get("error", ""),
        cause=found.get("cause", ""),
    )
