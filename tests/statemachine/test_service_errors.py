"""Errors with which AWS answers a task before our code runs, injected into each Task state of the graph."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from cloud import Cloud, deployed_account
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sfn
from pipeline import GRAPH
from test_state_machine import states

TASKS = {name: state for name, state in states(GRAPH) if state["Type"] == "Task"}
FUNCTIONS = [name for name, state in TASKS.items() if state["Resource"].endswith("lambda:invoke")]

#: What Invoke answers while a function that was idle for weeks, or was updated, is made ready.
NOT_READY = (
    "CodeArtifactUserPendingException",
    "CodeArtifactUserDeletedException",
    "ResourceNotReadyException",
    "ResourceConflictException",
)

#: More refusals for want of concurrency than any retrier of the other errors allows.
THROTTLES = ("TooManyRequestsException",) * 8


def refusal(service: str, operation: str, code: str, unmodelled: bool = False) -> ClientError:
    """The error of an operation, once botocore's model has been asked whether it has it."""
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    assert unmodelled or code in {shape.name for shape in model.error_shapes}
    metadata = {"HTTPStatusCode": 409, "RequestId": "x"}
    return ClientError(
        {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": metadata}, operation
    )


class Injected:
    """An account whose tasks are refused with given errors, one after the other, before they succeed."""

    def __init__(self, cloud: Cloud, patch: pytest.MonkeyPatch) -> None:
        self.cloud = cloud
        self.waits: list[float] = []
        self.left: defaultdict[str, list[ClientError]] = defaultdict(list)
        self.calls: Counter[str] = Counter()
        self.events: dict[str, str] = {}
        invoke, start_job_run = cloud.functions.invoke, cloud.emr.start_job_run

        def invoking(name: str, body: str) -> Any:
            self._count(name)
            self.events[name] = body
            return invoke(name, body)

        def starting(**parameters: Any) -> Any:
            self._count("SampleNegatives")
            self.tokens.append(parameters["clientToken"])
            self.submitted.append(parameters["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"])
            return start_job_run(**parameters)

        self.tokens: list[str] = []
        self.submitted: list[str] = []
        patch.setattr(cloud.functions, "invoke", invoking)
        patch.setattr(cloud.emr, "start_job_run", starting)
        patch.setattr(retrier_decl, "time", SimpleNamespace(sleep=self.waits.append))

    def _count(self, name: str) -> None:
        self.calls[name] += 1
        if self.left[name]:
            raise self.left[name].pop(0)

    def run(self, name: str, **data: Any) -> dict[str, Any]:
        """An execution, at its end."""
        self.cloud.functions.failing_gate = data.pop("failing_gate", 0)
        client = boto3.client("stepfunctions")
        machines = client.list_state_machines()["stateMachines"]
        [machine] = [each for each in machines if each["name"] == "lensneg"]
        request = f'{{"run_id": "{name}", "out": "s3://sky/out", "mode": "{data.get("mode", "full")}"}}'
        client.start_execution(stateMachineArn=machine["stateMachineArn"], name=name, input=request)
        return self.cloud.ended(name)


@pytest.fixture(scope="module")
def account() -> Iterator[Cloud]:
    with deployed_account() as account:
        account.emr.go_on.set()
        yield account


@pytest.fixture
def injected(account: Cloud, monkeypatch: pytest.MonkeyPatch) -> Injected:
    return Injected(account, monkeypatch)


def test_nine_states_invoke_functions() -> None:
    assert len(FUNCTIONS) == 9
    assert set(TASKS) - set(FUNCTIONS) == {"MiniTest", "SampleNegatives"}


def test_functions_that_are_not_ready_or_throttled_are_waited_for(injected: Injected) -> None:
    """Each of them is refused by every error, one after the other, and is then invoked."""
    codes = (*NOT_READY, *THROTTLES)
    for name in FUNCTIONS:
        injected.left[name] = [refusal("lambda", "Invoke", code) for code in codes]
    execution = injected.run("publishes")
    assert execution["status"] == "SUCCEEDED", execution
    execution = injected.run("does-not", failing_gate=4)
    assert (execution["status"], execution["error"]) == ("FAILED", "Gate4OutputValid")
    assert {name: injected.left[name] for name in FUNCTIONS} == {name: [] for name in FUNCTIONS}
    assert all(injected.calls[name] > len(codes) for name in FUNCTIONS)
    assert len(injected.waits) == len(codes) * len(FUNCTIONS)


def test_a_function_whose_code_cannot_be_made_ready_is_not_waited_for(injected: Injected) -> None:
    """AWS says of this error that the function needs to be deployed again."""
    injected.left["PlanFanOut"] = [refusal("lambda", "Invoke", "CodeArtifactUserFailedException")]
    execution = injected.run("broken")
    assert (execution["status"], execution["error"]) == ("FAILED", "Lambda.CodeArtifactUserFailedException")
    assert injected.waits == []


def mean_waits(retry: dict[str, Any]) -> list[float]:
    """The waits of a retrier in seconds: with full jitter each is half of its limit, in the mean."""
    limits = (
        retry["IntervalSeconds"] * retry["BackoffRate"] ** i for i in range(min(50, retry["MaxAttempts"]))
    )
    waits = [min(limit, retry["MaxDelaySeconds"]) / 2 for limit in limits]
    return waits + [waits[-1]] * (retry["MaxAttempts"] - len(waits))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_waking_takes_minutes_and_throttling_as_long_as_the_execution(name: str) -> None:
    waking, throttled = TASKS[name]["Retry"][:2]
    assert 300 <= sum(mean_waits(waking)) <= 900
    assert sum(mean_waits(throttled)) > 2 * GRAPH["TimeoutSeconds"]
    # An attempt has four events of history. 25,000 end an execution.
    assert 4 * throttled["MaxAttempts"] < 25_000


#: What StartJobRun may answer, and what stands for an error that its model does not have.
START_REFUSED = (
    "ConflictException",
    "ValidationException",
    "InternalServerException",
    "ServiceQuotaExceededException",
    "ThrottlingException",
    "SdkClientException",
    "AWSEMRServerlessException",
)


def test_a_job_that_may_not_start_yet_is_started_later(injected: Injected) -> None:
    injected.left["SampleNegatives"] = [
        refusal("emr-serverless", "StartJobRun", code, unmodelled=code not in START_REFUSED[:3])
        for code in START_REFUSED
    ]
    execution = injected.run("starts-late")
    assert execution["status"] == "SUCCEEDED", execution
    assert injected.calls["SampleNegatives"] == 1 + len(injected.waits) == 1 + len(START_REFUSED)
    assert len(set(injected.tokens)) == 1, "EMR starts no second job for a token"


def test_the_application_limits_the_executors_that_follow_the_sample(injected: Injected) -> None:
    """Preflight's vCPUs reach SummarizeFanOut, and its executors the job."""
    injected.run("sized")
    assert json.loads(injected.events["SummarizeFanOut"])["state"]["max_vcpus"] == 16
    assert "initialExecutors=2 --conf spark.dynamicAllocation.maxExecutors=2" in injected.submitted[0]


def test_a_job_that_is_refused_for_good_is_judged_by_gate_3(injected: Injected) -> None:
    code = "ResourceNotFoundException"
    injected.left["SampleNegatives"] = [refusal("emr-serverless", "StartJobRun", code)]
    assert injected.run("no-application")["status"] == "SUCCEEDED"
    assert injected.waits == []
    assert f"EMRServerless.{code}" in injected.events["CheckSample"]


def test_a_mini_test_that_may_not_start_is_judged_by_gate_1(
    injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise refusal("stepfunctions", "StartExecution", "ExecutionLimitExceeded")

    nested = SimpleNamespace(start_execution=refuse)
    monkeypatch.setattr(state_task_service_sfn, "boto_client_for", lambda **_: nested)
    injected.run("no-mini-test", mode="test-then-full")
    assert "StepFunctions.ExecutionLimitExceeded" in injected.events["Preflight"]
