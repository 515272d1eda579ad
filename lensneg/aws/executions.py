"""Executions of a stack's state machine: their input, and how one is found, started, stopped and resumed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lensneg import storage
from lensneg.aws.calls import Aws, in_place_of
from lensneg.aws.deployment import Stack
from lensneg.aws.history import Execution, describe
from lensneg.aws.uploads import Upload, catalog_upload, config_upload, sweep_uploads
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.resources import config_path
from lensneg.schema.run import RunRecord
from lensneg.storage.errors import error_code

#: What the state machine adds to an execution's name for that of its mini-test.
MINI_TEST_SUFFIX: Final = "-mini-test"

#: A job run in one of these states has ended.
JOB_ENDED: Final = frozenset({"SUCCESS", "FAILED", "CANCELLED"})


@dataclass(frozen=True)
class Inputs:
    """The input of an execution, and the files that must be in the bucket first."""

    request: RunRequest
    uploads: list[Upload]


def gather_inputs(
    stack: Stack,
    run_id: str,
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
    run_id : str
    config : str
        A file, or the name of a shipped config.
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
    config_file = config_upload(stack, config_path(config))
    positive_files = [catalog_upload(stack, text) for text in positives]
    exclude_files = [catalog_upload(stack, text) for text in exclude]
    sweep_files = sweep_uploads(stack, sweeps) if sweeps else []
    data: dict[str, object] = {
        "run_id": run_id,
        "mode": mode,
        "config": config_file.option,
        "sweeps": stack.sweeps_uri,
        "positives": [entry.option for entry in positive_files],
        "exclude": [entry.option for entry in exclude_files],
        "out": stack.out_uri,
    }
    if max_concurrency is not None:
        data["max_concurrency"] = max_concurrency
    uploads = [config_file, *positive_files, *exclude_files, *sweep_files]
    return Inputs(RunRequest.of_input(data), uploads)


def new_run_id() -> str:
    """Return a run id made of the time."""
    return datetime.now(UTC).strftime("run-%Y%m%dT%H%M%SZ")


def start(aws: Aws, stack: Stack, name: str, request: RunRequest) -> str:
    """Start an execution, and return its ARN; empty in a dry run.

    Raises
    ------
    InputError
        If there was an execution of this name.
    """
    remedy = (
        f"lensneg aws resume {request.run_id} goes on with its run, and another --run-id makes another run"
    )
    exists = InputError("there was an execution of this name", where=name, remedy=remedy)
    with in_place_of("ExecutionAlreadyExists", exists):
        started = aws.change(
            "stepfunctions",
            "start_execution",
            stateMachineArn=stack.state_machine_arn,
            name=name,
            input=json.dumps(request.as_input()),
        )
    return str(started.get("executionArn", ""))


def list_executions(aws: Aws, stack: Stack) -> list[Execution]:
    """Return the stack's executions, newest first; mini-tests are part of the execution that started them."""
    arn = stack.state_machine_arn
    found = aws.pages("stepfunctions", "list_executions", "executions", stateMachineArn=arn)
    listed = [Execution.of_aws(entry) for entry in found if not entry["name"].endswith(MINI_TEST_SUFFIX)]
    return sorted(listed, key=lambda execution: execution.started, reverse=True)


def executions_of(aws: Aws, stack: Stack, run_id: str) -> list[Execution]:
    """Return a run's executions, newest first."""
    listed = list_executions(aws, stack)
    named = [e for e in listed if e.name == run_id or e.name.startswith(f"{run_id}-")]
    found = [e for e in (describe(aws, entry.arn) for entry in named) if e.run_id == run_id]
    if found:
        return found
    # One that has just been started may not be listed yet.
    arn = f"{stack.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
    try:
        return [describe(aws, arn)]
    except InputError as error:
        if error_code(error.__cause__) != "ExecutionDoesNotExist":
            raise
        return []


def find_execution(aws: Aws, stack: Stack, run_id: str | None) -> Execution:
    """Return the newest execution of a run, or of all runs.

    Raises
    ------
    InputError
        If there is none.
    """
    if run_id is None:
        found = [describe(aws, entry.arn) for entry in list_executions(aws, stack)[:1]]
    else:
        found = executions_of(aws, stack, run_id)
    if not found:
        whose = f"of run {run_id}" if run_id else "at all"
        raise InputError(
            f"no execution {whose} (Step Functions forgets them after 90 days)",
            where=f"stack {stack.name}",
            remedy="lensneg aws status lists them, lensneg aws start starts one",
        )
    return found[0]


@dataclass(frozen=True)
class Resumption:
    """What to start so that a run goes on: the execution's name and input, and where that was found."""

    name: str
    request: RunRequest
    source: str


def plan_resumption(aws: Aws, stack: Stack, run_id: str) -> Resumption:
    """Find the input of a run's last execution; where that is forgotten, make it of the run's record.

    Raises
    ------
    InputError
        If the run goes on or has succeeded, or nothing is known of it.
    """
    earlier = executions_of(aws, stack, run_id)
    if not earlier:
        # Its executions are forgotten, but their names may not be free yet.
        name = f"{run_id}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        uri = RunFiles(stack.out_uri, run_id).run
        return Resumption(name, _recorded_request(uri, run_id), uri)
    last, where = earlier[0], f"run {run_id}"
    if last.status == "RUNNING":
        remedy = f"lensneg aws watch {run_id} follows it, lensneg aws stop {run_id} ends it"
        raise InputError(f"execution {last.name} is under way", where=where, remedy=remedy)
    if last.status == "SUCCEEDED":
        what = f"execution {last.name} has succeeded: there is nothing to resume"
        raise InputError(what, where=where, remedy=f"lensneg aws download {run_id} fetches the manifest")
    names = {execution.name for execution in earlier}
    name = next(name for n in range(2, 10_000) if (name := f"{run_id}-{n}") not in names)
    return Resumption(name, RunRequest.of_input(json.loads(last.input or "{}")), f"execution {last.name}")


def _recorded_request(uri: str, run_id: str) -> RunRequest:
    """Return the request that a run's record stands for."""
    try:
        record = RunRecord.read(uri)
    except FileNotFoundError as error:
        remedy = "is it of this stack? lensneg aws status lists runs"
        raise InputError(f"no execution and no {uri}", where=f"run {run_id}", remedy=remedy) from error
    return RunRequest(
        run_id=run_id,
        mode=record.mode,
        config=record.config.uri,
        sweeps=storage.common_folder([entry.uri for entry in record.sweeps]),
        positives=tuple(record.specs("positives")),
        exclude=tuple(record.specs("exclude")),
        out=record.out,
    )


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
    family = [execution, *(describe(aws, arn) for arn in execution.history(aws).mini_tests)]
    stopped = []
    for member in family:
        if member.status == "RUNNING":
            said = {"error": "Stopped", "cause": "lensneg aws stop"}
            aws.change("stepfunctions", "stop_execution", executionArn=member.arn, **said)
            stopped.append(f"execution {member.name}")
    for member in family:
        history = member.history(aws)
        for (application, job), found in zip(history.jobs, history.read_jobs(aws), strict=True):
            if found.state not in JOB_ENDED | {"CANCELLING"}:
                aws.change("emr-serverless", "cancel_job_run", applicationId=application, jobRunId=job)
                stopped.append(f"job run {job}, which was {found.state}")
    if not stopped:
        raise InputError(f"execution {execution.name} is {execution.status}: there is nothing to stop")
    return stopped
