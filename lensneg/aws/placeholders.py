"""Answers that stand for those of AWS, so that ``--explain`` needs no credentials.

Words in capitals stand for what AWS would answer.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

from lensneg.aws.deployment import OUTPUTS
from lensneg.schema.resources import STATE_MACHINE

_MACHINE: Final = "arn:aws:states:REGION:ACCOUNT:stateMachine:STATE_MACHINE"
_EXECUTION: Final = "arn:aws:states:REGION:ACCOUNT:execution:STATE_MACHINE:EXECUTION"
_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)

Answer = Mapping[str, Any]


def is_signed_in() -> bool:
    """Return whether boto3 finds credentials and a Region."""
    import botocore.session
    from botocore.exceptions import BotoCoreError

    session = botocore.session.get_session()
    with suppress(BotoCoreError):
        return bool(session.get_config_variable("region") and session.get_credentials())
    return False


def placeholder_clients(status: str) -> Callable[[str], Any]:
    """Return what makes clients that call nothing.

    Parameters
    ----------
    status : str
        The status of the execution that a run has.
    """
    return lambda _service: _Client(status)


class _Client:
    """A client whose methods answer with placeholders, or lack credentials where no other call needs them."""

    meta = SimpleNamespace(region_name="REGION")

    def __init__(self, status: str) -> None:
        self._answers: dict[str, Callable[[Answer], Answer]] = {
            "describe_stacks": _stacks,
            "list_executions": lambda asked: {"executions": _executions(asked, status)},
            "describe_execution": lambda asked: _execution(asked["executionArn"], status),
            "get_execution_history": lambda _: {"events": _EVENTS},
            "describe_map_run": lambda _: {"itemCounts": dict.fromkeys(_COUNTS, 0)},
            "get_job_run": lambda _: {"jobRun": {"jobRunId": "JOB_RUN", "state": "RUNNING"}},
            "get_caller_identity": lambda _: {"Arn": "ARN", "Account": "ACCOUNT"},
            "get_bucket_location": lambda _: {"LocationConstraint": "REGION"},
            "describe_state_machine": lambda _: _MACHINE_ANSWER,
            "get_function_configuration": lambda _: {"State": "Inactive"},
            "get_account_settings": lambda _: {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}},
        }

    def __getattr__(self, operation: str) -> Callable[..., Answer]:
        if operation not in self._answers:
            from botocore.exceptions import NoCredentialsError

            raise NoCredentialsError
        return lambda **asked: self._answers[operation](asked)

    def get_paginator(self, operation: str) -> Any:
        """Return what gives the one page of an answer."""
        return SimpleNamespace(paginate=lambda **asked: [getattr(self, operation)(**asked)])


_COUNTS: Final = ("total", "succeeded", "failed", "timedOut", "aborted", "running")

_EVENTS: Final[list[Answer]] = [
    {"type": "MapRunStarted", "mapRunStartedEventDetails": {"mapRunArn": "MAP_RUN_ARN"}},
    {
        "type": "TaskSubmitted",
        "taskSubmittedEventDetails": {
            "output": json.dumps({"ApplicationId": "EMR_APPLICATION_ID", "JobRunId": "JOB_RUN"})
        },
    },
]

_MACHINE_ANSWER: Final = {
    "status": "ACTIVE",
    "name": "STATE_MACHINE",
    "definition": STATE_MACHINE.read_text(encoding="utf-8"),
    "roleArn": "arn:aws:iam::ACCOUNT:role/STATE_MACHINE_ROLE",
}


def _stacks(asked: Answer) -> Answer:
    values = {
        output: f"s3://DATA_BUCKET/{field.removesuffix('_uri')}" if field.endswith("_uri") else field.upper()
        for output, field in OUTPUTS.items()
    }
    values |= {"DataBucketName": "DATA_BUCKET", "StateMachineArn": _MACHINE}
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in values.items()]
    return {
        "Stacks": [{"StackName": asked["StackName"], "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}]
    }


def _executions(asked: Answer, status: str) -> list[Answer]:
    return [] if "statusFilter" in asked else [_execution(_EXECUTION, status)]


def _execution(arn: str, status: str) -> Answer:
    name = arn.rpartition(":")[2]
    given = {
        "run_id": name,
        "mode": "test-then-full",
        "config": "s3://DATA_BUCKET/configs/CONFIG",
        "sweeps": "s3://DATA_BUCKET/sweeps",
        "positives": ["s3://DATA_BUCKET/catalogs/CATALOGUE"],
        "out": "s3://DATA_BUCKET/out",
    }
    return {
        "executionArn": arn,
        "name": name,
        "status": status,
        "startDate": _NOW,
        "input": json.dumps(given),
    }
