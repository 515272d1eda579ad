"""Step Functions on one machine: moto's interpreter with the local Lambda and EMR Serverless.

This module alone uses moto's internals, and moto's version is pinned. It changes moto in six ways:

- Lambda tasks go to :class:`lensneg.local.lambdas.LocalLambda`. moto would make an AWS client for each task,
  which takes longer than a small item.
- The state of an execution is read from moto's record of it, for the same reason.
- ``emr-serverless:startJobRun.sync``, which moto lacks, goes to
  :class:`lensneg.local.emr.LocalEmrServerless`.
- ``states:startExecution.sync:2`` passes its parameters on under botocore's names. moto leaves them under the
  names of Step Functions.
- Whether a job or a nested execution has ended is looked at 25 times as often.
- items.json, which Step Functions reads from S3, is put into moto's S3 when it has been planned. Tables stay
  on disk.
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.state.exec.state_task import (
    lambda_eval_utils,
    state_task_factory,
)

# moto's service for nested executions. It has imported all that a service needs, under short names.
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_sfn as sfn,
)
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from lensneg import storage
from lensneg.local.emr import FINAL_STATES, LocalEmrServerless, operation
from lensneg.local.lambdas import LocalLambda
from lensneg.schema.resources import SPARK_JOB, STATE_MACHINE

_REGION: Final = "us-east-1"
_ACCOUNT: Final = "123456789012"
_ROLE: Final = f"arn:aws:iam::{_ACCOUNT}:role/local"
_POLL_SECONDS: Final = 0.02


def substitutions(spark_submit_parameters: str, graph: Path = STATE_MACHINE) -> dict[str, str]:
    """Return the values of a graph's ``${Tokens}`` for one machine. template.yaml has those for AWS."""
    functions = re.findall(r"\$\{(\w+)FunctionArn\}", graph.read_text())
    return {
        "Partition": "aws",
        **{f"{name}FunctionArn": name for name in functions},
        "MapResultsBucket": "local",
        "EmrApplicationId": "local",
        "EmrJobRoleArn": _ROLE,
        "SparkEntryPoint": str(SPARK_JOB),
        "SparkSubmitParameters": spark_submit_parameters,
    }


def render(values: Mapping[str, str], graph: Path = STATE_MACHINE) -> str:
    """Return a graph with its tokens replaced, as SAM's DefinitionSubstitutions does.

    Raises
    ------
    KeyError
        If the graph has a token without a value.
    """
    return re.sub(r"\$\{(\w+)\}", lambda m: json.dumps(values[m[1]])[1:-1], graph.read_text())


def job_options(definition: str) -> str:
    """Return the spark-submit parameters that a graph gives to the Spark job, but the numbers of executors.

    Parameters
    ----------
    definition : str
        The graph, rendered.

    Returns
    -------
    str
        With ``{}`` for each number.
    """
    submit = json.loads(definition)["States"]["SampleNegatives"]["Parameters"]["JobDriver"]["SparkSubmit"]
    [(form, given)] = re.findall(r"^States\.Format\('([^']*)', '([^']*)'", submit["SparkSubmitParameters.$"])
    return str(form.replace("{}", given, 1))


class Machine:
    """A state machine, registered in moto's interpreter within :func:`local_machine`.

    Attributes
    ----------
    definition : str
        Its graph, rendered.
    """

    def __init__(self, definition: str, name: str = "lensneg") -> None:
        self.definition = definition
        self._client = boto3.client("stepfunctions", region_name=_REGION)
        self._arn = self._client.create_state_machine(name=name, definition=definition, roleArn=_ROLE)[
            "stateMachineArn"
        ]

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
            The answer of DescribeExecution: ``status``, ``output``, ``error``, ``cause``; and the ``state``
            that the execution entered last.
        """
        started = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(data))
        arn = started["executionArn"]
        record = _record(arn)
        try:
            while record.status == "RUNNING":
                time.sleep(_POLL_SECONDS)
        except BaseException:  # above all Ctrl-C: no other state may follow the current one
            self._client.stop_execution(executionArn=arn, error="Interrupted", cause="stopped from outside")
            raise
        events = self._client.get_execution_history(executionArn=arn)["events"]
        entered = [event.get("stateEnteredEventDetails", {}).get("name", "") for event in events]
        state = next(filter(None, reversed(entered)), "")
        return {**self._client.describe_execution(executionArn=arn), "state": state}


def _record(arn: str) -> Any:
    """Return moto's record of an execution."""
    return stepfunctions_parser_backends[_ACCOUNT][_REGION].describe_execution(arn)


@contextmanager
def local_machine(
    functions: LocalLambda, emr: LocalEmrServerless, spark_submit_parameters: str
) -> Iterator[Machine]:
    """Register the state machine in moto's interpreter, for as long as the context lasts."""
    config: Any = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
    # A failed task and a Fail state are part of the outcome, so moto need not log them.
    logging.getLogger("moto").setLevel(logging.CRITICAL)
    with (
        # The functions read sweeps from the user's own S3 endpoint. moto answers only for AWS's.
        patch.dict(os.environ, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}),
        mock_aws(config=config),
        patch.object(lambda_eval_utils, "_invoke_lambda_function", _lambda_invoker(functions)),
        patch.object(state_task_factory, "state_task_service_for", _task_services(emr)),
        patch.object(state_task_service_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", _POLL_SECONDS),
    ):
        boto3.client("s3", region_name=_REGION).create_bucket(Bucket="local")
        yield Machine(render(substitutions(spark_submit_parameters)))


def _lambda_invoker(functions: LocalLambda) -> Callable[..., dict[str, Any]]:
    """Return a replacement for moto's call of the Lambda API, with the same answers."""

    def invoke(parameters: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        name, body = parameters["FunctionName"], parameters["Payload"]
        text = body.decode() if isinstance(body, bytes) else body
        result, error = functions.invoke(name, text)
        answer = {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
        if error is not None:
            return {**answer, "FunctionError": "Unhandled", "Payload": error}
        if name == "PlanFanOut" and result["bucket"] == "local":
            # The Map's ItemReader reads items.json from moto's S3.
            key, s3 = result["key"], boto3.client("s3", region_name=_REGION)
            s3.put_object(Bucket="local", Key=key, Body=storage.read_bytes(f"/{key}"))
        return {**answer, "Payload": result}

    return invoke


def _task_services(emr: LocalEmrServerless) -> Callable[[str], Any]:
    """Return moto's factory of task services, with EMR Serverless and with working nested executions."""
    original = state_task_factory.state_task_service_for
    start_shape = operation("emr-serverless", "StartJobRun").input_shape
    start_parameters = {name[0].upper() + name[1:] for name in start_shape.members}

    class WithoutTokens:
        """A service whose tasks do not wait for a token in a thread. At a stop that thread would fail."""

        def _eval_sync(self, **arguments: Any) -> Any:
            return super()._eval_sync(**{**arguments, "callback_endpoint": None})  # type: ignore[misc]

    class StartExecution(WithoutTokens, sfn.StateTaskServiceSfn):  # type: ignore[misc]
        """``arn:aws:states:::states:startExecution.sync:2``."""

        def _normalise_parameters(self, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
            super()._normalise_parameters(parameters)
            self._to_boto_request(parameters, operation("stepfunctions", "StartExecution").input_shape)

        def _build_sync2_resolver(self, env: Any, **arguments: Any) -> Callable[[], Any]:
            record = _record(env.stack[-1]["ExecutionArn"])
            resolve = super()._build_sync2_resolver(env=env, **arguments)
            return lambda: None if record.status == "RUNNING" else resolve()

        def _normalise_response(
            self, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
        ) -> None:
            name = "DescribeExecution" if service_action_name == "describe_execution" else "StartExecution"
            self._from_boto_response(response, operation("stepfunctions", name).output_shape)

    class StartJobRun(WithoutTokens, sfn.StateTaskServiceCallback):  # type: ignore[misc]
        """``arn:aws:states:::emr-serverless:startJobRun.sync``."""

        def __init__(self) -> None:
            # moto's base class expects that every callback service supports task tokens.
            super().__init__({sfn.ResourceCondition.Sync, sfn.ResourceCondition.WaitForTaskToken})

        def _get_supported_parameters(self) -> set[str]:
            return start_parameters

        def _normalise_parameters(self, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
            self._to_boto_request(parameters, start_shape)

        def _from_error(self, env: Any, ex: Exception) -> Any:
            """Name an error of the service as Step Functions does (docs/architecture.md)."""
            if not isinstance(ex, ClientError):
                return super()._from_error(env=env, ex=ex)
            name = f"EMRServerless.{ex.response['Error']['Code']}"
            details = sfn.TaskFailedEventDetails(
                resource=self._get_sfn_resource(),
                resourceType=self._get_sfn_resource_type(),
                error=name,
                cause=str(ex),
            )
            return sfn.FailureEvent(
                env=env,
                error_name=sfn.CustomErrorName(name),
                event_type=sfn.HistoryEventType.TaskFailed,
                event_details=sfn.EventDetails(taskFailedEventDetails=details),
            )

        def _eval_service_task(self, env: Any, normalised_parameters: Any, **_: Any) -> None:
            env.stack.append(emr.start_job_run(**normalised_parameters))

        def _build_sync_resolver(self, env: Any, **_: Any) -> Callable[[], Any]:
            job_run_id = env.stack.pop()["JobRunId"]

            def resolve() -> dict[str, Any] | None:
                run = emr.get_job_run(job_run_id)
                if run.state not in FINAL_STATES:
                    return None
                if run.state == "SUCCESS":
                    return {"JobRun": run.describe()}
                failed = sfn.StatesErrorNameType.StatesTaskFailed
                details = sfn.TaskFailedEventDetails(
                    resource=self._get_sfn_resource(),
                    resourceType=self._get_sfn_resource_type(),
                    error=failed.to_name(),
                    cause=json.dumps(run.describe()),
                )
                raise sfn.FailureEventException(
                    sfn.FailureEvent(
                        env=env,
                        error_name=sfn.StatesErrorName(typ=failed),
                        event_type=sfn.HistoryEventType.TaskFailed,
                        event_details=sfn.EventDetails(taskFailedEventDetails=details),
                    )
                )

            return resolve

    added = {"emr-serverless": StartJobRun, "states": StartExecution}

    def state_task_service_for(service_name: str) -> Any:
        return added[service_name]() if service_name in added else original(service_name=service_name)

    return state_task_service_for
