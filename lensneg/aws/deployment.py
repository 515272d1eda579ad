"""A deployed stack of template.yaml: its outputs, and what its bucket has to hold before a run."""

from dataclasses import dataclass
from typing import Final

from lensneg.aws.calls import Aws, in_place_of
from lensneg.errors import InputError


@dataclass(frozen=True)
class Stack:
    """The outputs of a stack, by the names that template.yaml gives them.

    Attributes
    ----------
    name, region : str
    status : str
        CloudFormation's word for how its last deployment ended, or that one goes on.
    data_bucket_name : str
        The bucket of configs, catalogues, sweeps, runs and manifests.
    configs_uri, catalogs_uri, sweeps_uri : str
        Where each kind of input belongs.
    out_uri : str
        The output prefix of all runs.
    state_machine_arn, emr_application_id, verdict_topic_arn, log_group_name, dashboard_url : str
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
    state_machine_arn: str
    emr_application_id: str
    spark_code_uri: str
    verdict_topic_arn: str
    log_group_name: str
    dashboard_url: str


def output_name(field: str) -> str:
    """Return the template's name of a field of :class:`Stack`.

    Examples
    --------
    >>> output_name("state_machine_arn")
    'StateMachineArn'
    """
    return "".join(word.capitalize() for word in field.split("_"))


#: The fields of :class:`Stack` that are outputs.
OUTPUT_FIELDS: Final = tuple(f for f in Stack.__dataclass_fields__ if f not in ("name", "status"))

#: What CloudFormation says of a stack that is whole: as deployed, or back as it was before.
COMPLETE: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
    }
)


def read_stack(name: str, aws: Aws | None = None) -> Stack:
    """Read the outputs of a deployed stack, in the Region of the environment.

    Raises
    ------
    InputError
        If there is no such stack, it is not finished, or it is none of template.yaml's.
    """
    absent = InputError(
        "no such stack in this account and Region",
        where=f"stack {name}",
        remedy="deploy it with sam build && sam deploy, or name another stack (--stack), profile "
        "(AWS_PROFILE) or Region (AWS_DEFAULT_REGION)",
    )
    with in_place_of("ValidationError", absent):
        [stack] = (aws or Aws()).read("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
    missing = [output_name(field) for field in OUTPUT_FIELDS if output_name(field) not in outputs]
    if missing:
        raise InputError(
            f"no output {', '.join(missing)}",
            where=f"stack {name} ({stack['StackStatus']})",
            remedy="is it a stack of template.yaml, and has its deployment ended?",
        )
    found = {field: outputs[output_name(field)] for field in OUTPUT_FIELDS}
    return Stack(name=name, status=stack["StackStatus"], **found)


def require_complete(stack: Stack) -> None:
    """Refuse a stack whose deployment goes on, or broke: a run would meet functions old and new.

    Raises
    ------
    InputError
    """
    if stack.status not in COMPLETE:
        ended = "wait until it has ended" if stack.status.endswith("_IN_PROGRESS") else "deploy it again"
        events = f"aws cloudformation describe-stack-events --stack-name {stack.name} says what happened"
        raise InputError(f"it is {stack.status}", where=f"stack {stack.name}", remedy=f"{ended} ({events})")
