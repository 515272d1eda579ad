"""Executions of a stack's state machine: making their input, finding, starting, resuming them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from lensneg.aws.calls import Aws, in_place_of
from lensneg.aws.deployment import Stack
from lensneg.aws.history import Execution, describe
from lensneg.aws.uploads import (
    Upload,
    catalog_upload,
    config_uploads,
    pz_uploads,
    refuse_shared_targets,
    sweep_uploads,
    sweeps_option,
)
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import ROLES, Role
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.resources import config_path
from lensneg.schema.run import RunRecord
from lensneg.stages.preflight.kinds import recognise_inputs
from lensneg.storage.errors import error_code

#: The state machine adds this to an execution's name for that of its mini-test.
_MINI_TEST_SUFFIX: Final = "-mini-test"


def gather_inputs(
    stack: Stack,
    run_id: str,
    *,
    config: str,
    positives: Sequence[str],
    exclude: Sequence[str] = (),
    spectroscopic: Sequence[str] = (),
    suspects: Sequence[str] = (),
    hard_negatives: Sequence[str] = (),
    pz: str | None = None,
    sweeps: str | None = None,
    leave_out: Sequence[str] = (),
    mode: str = "test-then-full",
    max_concurrency: int | None = None,
    is_signed_in: bool = True,
) -> tuple[RunRequest, list[Upload]]:
    """Check a config and catalogues, and make the input that names them.

    Parameters
    ----------
    stack : Stack
        The stack to run on.
    run_id : str
        Name of the run.
    config : str
        The config: a file, local or in the bucket, or the name of a shipped config.
    positives, exclude, spectroscopic, suspects, hard_negatives : sequence of str
        The catalogues, each as ``FILE?option=value`` with a local file or one in the bucket.
    pz : str, optional
        The folder of the sweep files' ``-pz`` files, local or in the bucket.
    sweeps : str, optional
        A local folder of sweep files that are not in S3 yet; or a table or a HATS catalogue, local or in the
        bucket.
    leave_out : sequence of str
        Files or folders in it, or in the bucket's, that are no inputs.
    mode : str
        The mode of the run.
    max_concurrency : int, optional
        Number of map items at the same time.
    is_signed_in : bool
        Whether the bucket's sweep files can be listed, to see that positives lie in them.

    Returns
    -------
    request : RunRequest
        The input of an execution.
    uploads : list of Upload
        The files that must be in the bucket first.

    Raises
    ------
    InputError
        If one of them is wrong or of a wrong kind, or two different files would become one object in the
        bucket.
    """
    config_files = config_uploads(stack, config_path(config))
    given: dict[Role, Sequence[str]] = {
        "positives": positives,
        "exclude": exclude,
        "spectroscopic": spectroscopic,
        "suspects": suspects,
        "hard_negatives": hard_negatives,
    }
    catalogs = {role: [catalog_upload(stack, text, role) for text in texts] for role, texts in given.items()}
    sweep_files = sweep_uploads(stack, sweeps, leave_out) if sweeps else []
    data: dict[str, object] = {
        "run_id": run_id,
        "mode": mode,
        "config": config_files[0].option,
        "sweeps": sweeps_option(stack, sweep_files),
        "out": stack.out_uri,
    }
    for role, entries in catalogs.items():
        if entries or role in ROLES[:2]:
            data[role] = [entry.option for entry in entries]
    if leave_out:
        data["leave_out"] = list(leave_out)
    if max_concurrency is not None:
        data["max_concurrency"] = max_concurrency
    pz_files = pz_uploads(stack, pz) if pz else []
    if pz:
        data["pz"] = stack.sweeps_uri if pz_files else pz
    uploads = [*config_files, *chain.from_iterable(catalogs.values()), *sweep_files, *pz_files]
    refuse_shared_targets(uploads)
    request = RunRequest.of_input(data)
    if sweeps or is_signed_in:
        local = {role: list(texts) for role, texts in given.items() if texts or role in ROLES[:2]}
        named = RunRequest.of_input({**data, "sweeps": sweeps or request.sweeps, **local})
        recognise_inputs(named, Config.load(config_path(config)))
    return request, uploads


def start(aws: Aws, stack: Stack, name: str, request: RunRequest) -> str:
    """Start an execution.

    Parameters
    ----------
    aws : Aws
        Makes the call.
    stack : Stack
        The stack to run on.
    name : str
        Name of the execution.
    request : RunRequest
        Its input.

    Returns
    -------
    str
        ARN of the execution; empty in a dry run.

    Raises
    ------
    InputError
        If there was an execution of this name.
    """
    remedy = (
        f"lensneg aws resume {request.run_id} goes on if it is one of run {request.run_id}, and another "
        "--run-id makes another run"
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


def _all_executions(aws: Aws, stack: Stack) -> list[Execution]:
    """Return the stack's executions, newest first."""
    arn = stack.state_machine_arn
    found = aws.pages("stepfunctions", "list_executions", "executions", stateMachineArn=arn)
    return sorted(map(Execution.of_aws, found), key=lambda execution: execution.started, reverse=True)


def list_executions(aws: Aws, stack: Stack) -> list[Execution]:
    """Return the stack's executions, newest first, without those of mini-tests."""
    listed = _all_executions(aws, stack)
    by_name = {execution.name: execution for execution in listed}
    return [execution for execution in listed if not _is_mini_test(execution, by_name)]


def _is_mini_test(execution: Execution, by_name: Mapping[str, Execution]) -> bool:
    """Return whether another execution started this one: it has the name, and was under way."""
    parent = by_name.get(execution.name.removesuffix(_MINI_TEST_SUFFIX), execution)
    if parent is execution or execution.started < parent.started:
        return False
    return parent.ended is None or execution.started <= parent.ended


def executions_of(aws: Aws, stack: Stack, run_id: str) -> list[Execution]:
    """Return a run's executions, newest first."""
    listed = list_executions(aws, stack)
    named = [e for e in listed if e.name == run_id or e.name.startswith(f"{run_id}-")]
    found = [e for e in (describe(aws, entry.arn) for entry in named) if e.run_id == run_id]
    if found:
        return found
    # An execution that has just been started may not be listed yet.
    arn = f"{stack.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
    try:
        new = describe(aws, arn)
    except InputError as error:
        if error_code(error.__cause__) != "ExecutionDoesNotExist":
            raise
        return []
    return [new] if new.run_id == run_id else []


def find_execution(aws: Aws, stack: Stack, run_id: str | None) -> Execution:
    """Return the newest execution of a run.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    stack : Stack
        The stack of the run.
    run_id : str or None
        The run; None for the newest execution of all runs.

    Returns
    -------
    Execution

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


def plan_resumption(aws: Aws, stack: Stack, run_id: str) -> tuple[str, RunRequest, str]:
    """Plan an execution that goes on with a run.

    Its input is that of the run's last execution. If Step Functions has forgotten that, it is made from the
    run's record.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    stack : Stack
        The stack of the run.
    run_id : str
        The run.

    Returns
    -------
    name : str
        Name of the new execution.
    request : RunRequest
        Its input.
    source : str
        Where the input was found.

    Raises
    ------
    InputError
        If the run goes on or has succeeded, or nothing is known of it.
    """
    earlier = executions_of(aws, stack, run_id)
    if not earlier:
        # Step Functions may not give the names of forgotten executions again yet.
        name = f"{run_id}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        uri = RunFiles(stack.out_uri, run_id).run
        return name, _recorded_request(uri, run_id), uri
    last, where = earlier[0], f"run {run_id}"
    if last.status == "RUNNING":
        remedy = f"lensneg aws watch {run_id} follows it, lensneg aws stop {run_id} ends it"
        raise InputError(f"execution {last.name} is under way", where=where, remedy=remedy)
    if last.status == "SUCCEEDED":
        what = f"execution {last.name} has succeeded: there is nothing to resume"
        raise InputError(what, where=where, remedy=f"lensneg aws download {run_id} fetches the manifest")
    names = {execution.name for execution in _all_executions(aws, stack)}  # also those of other runs
    name = next(name for n in range(2, 10_000) if (name := f"{run_id}-{n}") not in names)
    return name, RunRequest.of_input(json.loads(last.input or "{}")), f"execution {last.name}"


def _recorded_request(uri: str, run_id: str) -> RunRequest:
    """Make the request of a run from its record."""
    try:
        return RunRecord.read(uri).request(uri.rpartition("/runs/")[0])
    except FileNotFoundError as error:
        remedy = "is it of this stack? lensneg aws status lists runs"
        raise InputError(f"no execution and no {uri}", where=f"run {run_id}", remedy=remedy) from error
