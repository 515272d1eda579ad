"""A deployed stack of template.yaml: its outputs, and whether its deployment is complete."""

from dataclasses import dataclass
from typing import Final

from pydantic.alias_generators import to_pascal

from lensneg.aws.calls import Aws, in_place_of
from lensneg.errors import InputError


@dataclass(frozen=True)
class Stack:
    """A stack and its outputs, under the names that template.yaml gives them.

    Attributes
    ----------
    name, region : str
        Name and Region of the stack.
    status : str
        CloudFormation's status of the last deployment.
    data_bucket_name : str
        The bucket of configs, catalogues, sweeps, runs and manifests.
    configs_uri, catalogs_uri, sweeps_uri : str
        The prefix of each kind of input.
    out_uri, fetch_uri : str
        The output prefix of all runs, and that of all fetches.
    state_machine_arn, emr_application_id, verdict_topic_arn, log_group_name, dashboard_url : str
        Resources of the stack.
    fetch_state_machine_arn : str
        The state machine that fetches sweep files, or :data:`NO_FETCH`.
    spark_code_uri : str
        The entry point of this deployment's job runs.
    """

    name: str
    status: str
    region: str
    data_bucket_name: str
    configs_uri: str
    catalogs_uri: str
    sweeps_uri: str
    out_uri: str
    fetch_uri: str
    state_machine_arn: str
    fetch_state_machine_arn: str
    emr_application_id: str
    spark_code_uri: str
    verdict_topic_arn: str
    log_group_name: str
    dashboard_url: str


#: The output FetchStateMachineArn of a stack whose parameter FetchSweeps is false.
NO_FETCH: Final = "none"

#: The fields of :class:`Stack` by the names of the outputs that they hold, such as ``StateMachineArn``.
OUTPUTS: Final = {to_pascal(f): f for f in Stack.__dataclass_fields__ if f not in ("name", "status")}

#: The statuses of a complete stack: as deployed, or rolled back to what it was before.
COMPLETE: Final = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
)


def read_stack(name: str, aws: Aws | None = None) -> Stack:
    """Read the outputs of a deployed stack, in the Region of the environment.

    Parameters
    ----------
    name : str
        Name of the stack.
    aws : Aws, optional
        Makes the call.

    Returns
    -------
    Stack

    Raises
    ------
    InputError
        If there is no such stack, it is not finished, or it was not made from template.yaml.
    """
    absent = InputError(
        "no such stack in this account and Region",
        where=f"stack {name}",
        remedy="deploy it with make deploy, or name another stack (--stack), profile "
        "(AWS_PROFILE) or Region (AWS_DEFAULT_REGION)",
    )
    with in_place_of("ValidationError", absent):
        [stack] = (aws or Aws()).read("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
    missing, status = [output for output in OUTPUTS if output not in outputs], stack["StackStatus"]
    if missing:
        remedy = "is it a stack of template.yaml, and has its deployment ended?"
        what = f"no output {', '.join(missing)}"
        raise InputError(what, where=f"stack {name} ({status})", remedy=remedy)
    return Stack(name=name, status=status, **{field: outputs[output] for output, field in OUTPUTS.items()})


def require_complete(stack: Stack) -> None:
    """Refuse a stack whose deployment goes on or failed, as a run would use old functions and new ones.

    Raises
    ------
    InputError
        If the stack is not complete.
    """
    if stack.status not in COMPLETE:
        ended = "wait until it has ended" if stack.status.endswith("_IN_PROGRESS") else "deploy it again"
        events = f"aws cloudformation describe-stack-events --stack-name {stack.name} says what happened"
        raise InputError(f"it is {stack.status}", where=f"stack {stack.name}", remedy=f"{ended} ({events})")
