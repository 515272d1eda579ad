"""Executions of a stack's state machine: their input, and how one is found, started, stopped and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lensneg import storage
from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack
from lensneg.aws.history import Execution, describe
from lensneg.aws.uploads import Upload, catalog_upload, config_upload, sweep_uploads
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import RunRecord
from lensneg.storage.errors import error_code

#: What the state machine adds to an execution's name for that of its mini-test.
MINI_TEST_SUFFIX: Final = "-mini-test"

#: A job run in one of these states has ended.
JOB_ENDED: Final = frozenset({"SUCCESS", "FAILED", "CANCELLED"})


@dataclass(frozen=True)
class Inputs:
    """What an execution is made from.

    Attributes
    ----------
    uploads : list of Upload
        The files that must be in the bucket first.
    execution : dict
        The execution's input, but for its run id.
    """

    uploads: list[Upload]
    execution: dict[str, Any]


def gather_inputs(
    stack: Stack,
    *,
    config: str,
    positives: Sequence[str],
    exclude: Sequence[str] = (),
    sweeps: str | None = None,
    mode: str = "test-then-full",
    max_concurrency: int | None = None,
) -> Inputs:
    """Check a config and catalogues, and return where they belong and the input that names them.

    Parameters
    ----------
    stack : Stack
    config : str
    positives, exclude : sequence of str
        Each as ``FILE?option=value``; files are local, or in the bucket already.
    sweeps : str, optional
        A local folder of sweep files that are not in S3 yet.
    mode : str
    max_concurrency : int, optional

    Raises
    ------
    InputError
        If one of them is wrong.
    """
    config_file = config_upload(stack, config)
    positive_files = [catalog_upload(stack, text) for text in positives]
    exclude_files = [catalog_upload(stack, text) for text in exclude]
    sweep_files = sweep_uploads(stack, sweeps) if sweeps else []
    execution: dict[str, Any] = {
        "mode": mode,
        "config": config_file.option,
        "sweeps": stack.sweeps_uri,
        "positives": [entry.option for entry in positive_files],
        "exclude": [entry.option for entry in exclude_files],
        "out": stack.out_uri,
    }
    if max_concurrency is not None:
        execution["max_concurrency"] = max_concurrency
    return Inputs([config_file, *positive_files, *exclude_files, *sweep_files], execution)


def new_run_id() -> str:
    """Return a run id made of the time."""
    return datetime.now(UTC).strftime("run-%Y%m%dT%H%M%SZ")


def start(aws: Aws, stack: Stack, name: str, execution: dict[str, Any]) -> str:
    """Start an execution, and return its ARN; empty in a dry run.

    Raises
    ------
    InputError
        If the input is wrong, or there was an execution of this name.
    """
    RunRequest.of_input(execution)
    try:
        started = aws.change(
            "stepfunctions",
            "start_execution",
            stateMachineArn=stack.state_machine_arn,
            name=name,
            input=json.dumps(execution),
        )
    except InputError as error:
        if error_code(error.__cause__) != "ExecutionAlreadyExists":
            raise
        raise InputError(
            "there was an execution of this name",
            where=name,
            remedy=(
                f"lensneg aws resume {execution['run_id']} goes on with its run, and another "
                "--run-id makes another run"
            ),
        ) from error
    return str(started.get("executionArn", ""))


def list_executions(aws: Aws, stack: Stack) -> list[dict[str, Any]]:
    """Return what Step Functions lists of the stack's executions, newest first."""
    found = aws.pages(
        "stepfunctions", "list_executions", "executions", stateMachineArn=stack.state_machine_arn
    )
    return sorted(found, key=lambda entry: entry["startDate"], reverse=True)


def executions_of(aws: Aws, stack: Stack, run_id: str | None) -> Iterator[Execution]:
    """Yield a run's executions, newest first; mini-tests are part of the execution that started them.

    Parameters
    ----------
    aws : Aws
    stack : Stack
    run_id : str or None
        None for those of all runs.
    """
    any_listed = False
    for entry in list_executions(aws, stack):
        name = entry["name"]
        if name.endswith(MINI_TEST_SUFFIX):
            continue
        if run_id is not None and name != run_id and not name.startswith(f"{run_id}-"):
            continue
        execution = describe(aws, entry["executionArn"])
        if run_id is None or execution.run_id == run_id:
            any_listed = True
            yield execution
    if run_id is not None and not any_listed:
        # One that has just been started may not be listed yet.
        arn = f"{stack.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
        try:
            yield describe(aws, arn)
        except InputError as error:
            if error_code(error.__cause__) != "ExecutionDoesNotExist":
                raise


def find_execution(aws: Aws, stack: Stack, run_id: str | None) -> Execution:
    """Return the newest execution of a run, or of all runs.

    Raises
    ------
    InputError
        If there is none.
    """
    found = next(executions_of(aws, stack, run_id), None)
    if found is None:
        whose = f"of run {run_id}" if run_id else "at all"
        raise InputError(
            f"stack {stack.name}: no execution {whose} (Step Functions forgets them after 90 days)",
            remedy="lensneg aws status lists them, lensneg aws start starts one",
        )
    return found


@dataclass(frozen=True)
class Resumption:
    """What to start so that a run goes on: the execution's name and input, and where that was found."""

    name: str
    execution: dict[str, Any]
    source: str


def plan_resumption(aws: Aws, stack: Stack, run_id: str) -> Resumption:
    """Find the input of a run's last execution; where that is forgotten, make it of the run's record.

    Raises
    ------
    InputError
        If the run goes on or has succeeded, or nothing is known of it.
    """
    earlier = list(executions_of(aws, stack, run_id))
    last = earlier[0] if earlier else None
    if last is not None and last.status == "RUNNING":
        raise InputError(
            f"run {run_id}: execution {last.name} is under way: lensneg aws watch {run_id} follows it, "
            f"lensneg aws stop {run_id} ends it"
        )
    if last is not None and last.status == "SUCCEEDED":
        raise InputError(
            f"run {run_id}: execution {last.name} has succeeded: there is nothing to resume",
            remedy=f"lensneg aws download {run_id} fetches the manifest",
        )
    names = {execution.name for execution in earlier}
    name = next(name for n in range(2, 10_000) if (name := f"{run_id}-{n}") not in names)
    if last is not None:
        return Resumption(name, last.input, f"execution {last.name}")
    files = RunFiles(stack.out_uri, run_id)
    try:
        record = RunRecord.read(files.run)
    except FileNotFoundError as error:
        raise InputError(
            f"run {run_id}: no execution and no {files.run}",
            remedy="is it of this stack? lensneg aws status lists runs",
        ) from error
    execution = {
        "run_id": run_id,
        "mode": record.mode,
        "config": record.config.uri,
        "sweeps": storage.common_folder([entry.uri for entry in record.sweeps]),
        "positives": [spec.text for spec in record.specs("positives")],
        "exclude": [spec.text for spec in record.specs("exclude")],
        "out": record.out,
    }
    # Its executions are forgotten, but their names may not be free yet.
    return Resumption(f"{run_id}-{datetime.now(UTC):%Y%m%dT%H%M%S}", execution, files.run)


def stop(aws: Aws, stack: Stack, run_id: str | None) -> list[str]:
    """Stop a run's execution and its mini-test, and cancel the job runs that go on.

    Step Functions cancels a job run that it waits for, but as well as it can; so this looks, and asks again.

    Returns
    -------
    list of str
        What was stopped.

    Raises
    ------
    InputError
        If nothing was under way.
    """
    execution = find_execution(aws, stack, run_id)
    family = [execution]
    family += [describe(aws, arn) for arn in execution.history(aws).mini_tests]
    stopped = []
    for member in family:
        if member.status == "RUNNING":
            aws.change(
                "stepfunctions",
                "stop_execution",
                executionArn=member.arn,
                error="Stopped",
                cause="lensneg aws stop",
            )
            stopped.append(f"execution {member.name}")
    for member in family:
        for application, job in member.history(aws).jobs:
            ids = {"applicationId": application, "jobRunId": job}
            state = aws.read("emr-serverless", "get_job_run", **ids)["jobRun"]["state"]
            if state not in JOB_ENDED | {"CANCELLING"}:
                aws.change("emr-serverless", "cancel_job_run", **ids)
                stopped.append(f"job run {job}, which was {state}")
    if not stopped:
        raise InputError(f"execution {execution.name} is {execution.status}: there is nothing to stop")
    return stopped
