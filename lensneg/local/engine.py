"""Step Functions on one machine: moto's interpreter, joined to the local Lambda and EMR Serverless.

All that reaches inside moto is in this module, and moto is pinned to the version it was written for:

- Lambda tasks go straight to :class:`lensneg.local.lambdas.LocalLambda`: moto makes an AWS client for each
  and answers it itself, which takes longer than a small item, on a core that has other work;
- whether an execution still runs is asked of moto's own record, for the same reason;
- ``emr-serverless:startJobRun.sync``, which moto's interpreter lacks, goes to
  :class:`lensneg.local.emr.LocalEmrServerless`;
- ``states:startExecution.sync:2`` exists there, but passes its parameters on under the names that Step
  Functions gives them and not under botocore's;
- items.json, which Step Functions itself reads from S3, is put into moto's S3 when it has been planned.
  No table ever is: those stay on disk.
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import boto3
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from moto import mock_aws
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import (
    lambda_eval_utils,
    state_task_factory,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
    ResourceCondition,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (  # noqa: E501
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from lensneg import storage
from lensneg.local.emr import FINAL_STATES, LocalEmrServerless
from lensneg.local.lambdas import LocalLambda
from lensneg.schema.resources import SPARK_JOB, STATE_MACHINE

_REGION: Final = "us-east-1"
_ACCOUNT: Final = "123456789012"
_ROLE: Final = f"arn:aws:iam::{_ACCOUNT}:role/local"
_POLL_SECONDS: Final = 0.1


def substitutions(spark_submit_parameters: str) -> dict[str, str]:
    """Return the values of the graph's ``${Tokens}`` on one machine; template.yaml has those of AWS."""
    functions = re.findall(r"\$\{(\w+)FunctionArn\}", STATE_MACHINE.read_text())
    return {
        **{f"{name}FunctionArn": name for name in functions},
        "MapResultsBucket": "local",
        "EmrApplicationId": "local",
        "EmrJobRoleArn": _ROLE,
        "EmrLogUri": "s3://local/logs/",
        "SparkEntryPoint": str(SPARK_JOB),
        "SparkSubmitParameters": spark_submit_parameters,
    }


def render(values: Mapping[str, str]) -> str:
    """Return the graph with its tokens replaced, as SAM's DefinitionSubstitutions does.

    Raises
    ------
    KeyError
        If the graph has a token without a value.
    """
    return re.sub(r"\$\{(\w+)\}", lambda m: json.dumps(values[m[1]])[1:-1], STATE_MACHINE.read_text())


class Machine:
    """The state machine, registered and ready to be executed; see :func:`local_machine`."""

    def __init__(self, spark_submit_parameters: str) -> None:
        self._client = boto3.client("stepfunctions", region_name=_REGION)
        self._arn = self._client.create_state_machine(
            name="lensneg", definition=render(substitutions(spark_submit_parameters)), roleArn=_ROLE
        )["stateMachineArn"]

    def execute(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Run an execution to its end.

        Parameters
        ----------
        name : str
            The execution's name.
        data : mapping
            Its input.

        Returns
        -------
        dict
            As DescribeExecution gives it: ``status``, ``output``, ``error``, ``cause``.
        """
        arn = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(data))[
            "executionArn"
        ]
        record = stepfunctions_parser_backends[_ACCOUNT][_REGION].describe_execution(arn)
        try:
            while True:
                if record.status != "RUNNING":
                    return dict(self._client.describe_execution(executionArn=arn))
                time.sleep(_POLL_SECONDS)
        except BaseException:  # Ctrl-C above all: no state may follow the one that is under way
            self._client.stop_execution(executionArn=arn, error="Interrupted", cause="stopped from outside")
            raise

    def states_entered(self, name: str) -> list[str]:
        """Return the names of the states that an execution entered, in order."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        pages = self._client.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]


@contextmanager
def local_machine(
    functions: LocalLambda, emr: LocalEmrServerless, spark_submit_parameters: str
) -> Iterator[Machine]:
    """Register the state machine in moto's interpreter, for as long as the context lasts."""
    config: Any = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
    with (
        # Someone's own S3 endpoint is for the sweeps, which the functions read; moto answers only for AWS's.
        patch.dict(os.environ, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}),
        mock_aws(config=config),
        patch.object(lambda_eval_utils, "_invoke_lambda_function", _lambda_invoker(functions)),
        patch.object(state_task_factory, "state_task_service_for", _task_services(emr)),
    ):
        _silence_moto()
        boto3.client("s3", region_name=_REGION).create_bucket(Bucket="local")
        yield Machine(spark_submit_parameters)


def _lambda_invoker(functions: LocalLambda) -> Callable[..., dict[str, Any]]:
    """Return what stands in for moto's call of the Lambda API; it answers as that does."""

    def invoke(parameters: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        name, body = parameters["FunctionName"], parameters["Payload"]
        text = body.decode() if isinstance(body, bytes) else body
        result, error = functions.invoke(name, text)
        answer = {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
        if error is not None:
            return {**answer, "FunctionError": "Unhandled", "Payload": error}
        if name == "PlanFanOut" and result["bucket"] == "local":
            _serve_items(result["bucket"], result["key"])
        return {**answer, "Payload": result}

    return invoke


def _serve_items(bucket: str, key: str) -> None:
    """Put a planned items.json where the Map's ItemReader looks for it."""
    boto3.client("s3", region_name=_REGION).put_object(
        Bucket=bucket, Key=key, Body=storage.read_bytes(f"/{key}")
    )


def _silence_moto() -> None:
    """Keep moto's interpreter from logging what the outcome says anyway: a Fail state, a failed task."""
    logging.getLogger("moto").setLevel(logging.CRITICAL)


def _operation(service: str, name: str) -> OperationModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service).operation_model(name)


def _task_services(emr: LocalEmrServerless) -> Callable[[str], Any]:
    """Return moto's factory of task services, with EMR Serverless added and nested executions mended."""
    original = state_task_factory.state_task_service_for
    start_shape = _operation("emr-serverless", "StartJobRun").input_shape
    assert start_shape is not None
    start_parameters = {name[0].upper() + name[1:] for name in start_shape.members}

    class WithoutTokens:
        """No thread that waits for a task's token: nobody sends one, and at a stop it would fail aloud."""

        def _eval_sync(self, **arguments: Any) -> Any:
            return super()._eval_sync(**{**arguments, "callback_endpoint": None})  # type: ignore[misc]

    class StateTaskServiceStartExecution(WithoutTokens, StateTaskServiceSfn):  # type: ignore[misc]
        """``arn:aws:states:::states:startExecution.sync:2``."""

        def _normalise_parameters(self, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
            super()._normalise_parameters(parameters)
            self._to_boto_request(parameters, _operation("stepfunctions", "StartExecution").input_shape)

        def _normalise_response(
            self, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
        ) -> None:
            name = "DescribeExecution" if service_action_name == "describe_execution" else "StartExecution"
            self._from_boto_response(response, _operation("stepfunctions", name).output_shape)

    class StateTaskServiceEmrServerless(WithoutTokens, StateTaskServiceCallback):  # type: ignore[misc]
        """``arn:aws:states:::emr-serverless:startJobRun.sync``."""

        def __init__(self) -> None:
            # moto's base class expects every callback service to know task tokens.
            super().__init__({ResourceCondition.Sync, ResourceCondition.WaitForTaskToken})

        def _get_supported_parameters(self) -> set[str]:
            return start_parameters

        def _normalise_parameters(self, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
            self._to_boto_request(parameters, start_shape)

        def _eval_service_task(
            self,
            env: Any,
            resource_runtime_part: Any,
            normalised_parameters: Any,
            state_credentials: Any,
        ) -> None:
            env.stack.append(emr.start_job_run(**normalised_parameters))

        def _build_sync_resolver(
            self,
            env: Any,
            resource_runtime_part: Any,
            normalised_parameters: Any,
            state_credentials: Any,
        ) -> Callable[[], Any]:
            job_run_id = env.stack.pop()["JobRunId"]

            def resolve() -> dict[str, Any] | None:
                run = emr.get_job_run(job_run_id)
                if run.state not in FINAL_STATES:
                    return None
                if run.state == "SUCCESS":
                    return {"JobRun": run.describe()}
                raise FailureEventException(self._failed(env, run.describe()))

            return resolve

        def _failed(self, env: Any, description: dict[str, Any]) -> Any:
            failed = StatesErrorNameType.StatesTaskFailed
            return FailureEvent(
                env=env,
                error_name=StatesErrorName(typ=failed),
                event_type=HistoryEventType.TaskFailed,
                event_details=EventDetails(
                    taskFailedEventDetails=TaskFailedEventDetails(
                        resource=self._get_sfn_resource(),
                        resourceType=self._get_sfn_resource_type(),
                        error=failed.to_name(),
                        cause=json.dumps(description),
                    )
                ),
            )

    def state_task_service_for(service_name: str) -> Any:
        if service_name == "emr-serverless":
            return StateTaskServiceEmrServerless()
        if service_name == "states":
            return StateTaskServiceStartExecution()
        return original(service_name=service_name)

    return state_task_service_for
