"""An account with the stack deployed, for tests of ``lensneg aws``: moto's S3 and Step Functions with the
real graph, stand-ins for its functions and for the services that moto cannot do."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner, Result
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from pipeline import machine_with

from lensneg import storage
from lensneg.aws.deployment import OUTPUTS
from lensneg.cli import cli
from lensneg.local import worker
from lensneg.local.emr import JobRun
from lensneg.local.engine import Machine, render, substitutions
from lensneg.local.lambdas import Invocation
from lensneg.schema.item import Item, ItemStats
from lensneg.schema.pool import Footer
from lensneg.schema.resources import FETCH_MACHINE

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ITEMS = 3


def answer(service: str, operation: str, response: dict[str, Any], parameters: dict[str, str]) -> Any:
    """What a call answers, once botocore's model has been asked whether it could."""
    client = botocore.session.get_session().create_client(service, "us-east-1")
    with Stubber(client) as stubber:
        stubber.add_response(operation, response, parameters)
        return getattr(client, operation)(**parameters)


def stats_of_4_seconds(item_id: str) -> ItemStats:
    """What an item that took 4 seconds leaves."""
    item = Item(id=item_id, sweep="s", size=1, etag="e", first_row=0, n_rows=1, n_bytes=1)
    none = dict.fromkeys(("rows_in", "rows_kept", "candidate_matches", "bytes_read", "pool_bytes"), 0)
    return ItemStats(item=item, config_sha256="", code_version="", cut={}, counts=(), confusers={},
                     row_groups=(), positives_bytes=0, seconds=4.0, pool_sha256="", positives_sha256="",
                     pool_footer=Footer(size=0, sha256=""), **none)  # fmt: skip


class Functions:
    """The state machine's functions, reduced to what their next states read."""

    def __init__(self) -> None:
        self.failing_gate = 0

    def _gate(self, number: int, name: str) -> dict[str, Any]:
        return {"gate": name, "passed": number != self.failing_gate, "cause": "too few rows: fetch more"}

    def invoke(self, name: str, body: str) -> Invocation:
        event = json.loads(body)
        if name == "Preflight":
            event = event["input"]
            run_id, out = event.get("run_id"), event.get("out")
            if "mini_test_of" in event:
                run_id, out = event["mini_test_of"]["run_id"] + "-test", event["mini_test_of"]["out"]
            root = f"{out}/runs/{run_id}"
            gate = self._gate(1, "Gate1PreSubmission")
            return Invocation(
                {"gate": gate, "root": root, "max_concurrency": 2, "max_vcpus": 16, "published": False}
            )
        if name == "PlanFanOut":
            uri = f"{event['root']}/items.json"
            storage.write_json(uri, [{"id": str(i)} for i in range(ITEMS)])
            place = {"bucket": "sky", "key": storage.bucket_and_key(uri)[1], "count": ITEMS}
            return Invocation({**place, "tolerated_failure_percentage": 100})
        if name == "FilterSweep":
            stats_of_4_seconds(event["item"]["id"]).write(f"{event['root']}/stats/{event['item']['id']}.json")
            return Invocation({"item": event["item"]["id"], "rows_in": 1, "rows_kept": 1})
        gates = {"SummarizeFanOut": 2, "CheckSample": 3, "ValidateManifest": 4}
        if name in gates:
            names = {2: "Gate2FanOutComplete", 3: "Gate3SampleComplete", 4: "Gate4OutputValid"}
            return Invocation({"gate": self._gate(gates[name], names[gates[name]]), "executors": 2})
        if name in ("FetchSweep", "SummarizeFetch"):
            return Invocation(**worker.invoke(name, body))
        return Invocation({"kind": "manifest", "uri": "s3://sky/x"})

    def stop(self) -> None:
        """There is nothing to stop."""


class Emr:
    """EMR Serverless: for the state machine a job, for the commands an API that botocore's model checks."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.jobs: dict[str, JobRun] = {}
        self.cancelled: list[str] = []

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        run = JobRun(f"job{len(self.jobs)}", parameters["applicationId"], parameters["name"], state="RUNNING")
        self.jobs[run.job_run_id] = run
        return {"ApplicationId": run.application_id, "JobRunId": run.job_run_id}

    def get_job_run(self, *job_run_id: str, **parameters: str) -> Any:
        run = self.jobs[parameters.get("jobRunId") or job_run_id[0]]
        if run.state == "RUNNING" and self.go_on.is_set():
            run.state = "SUCCESS"
        if job_run_id:
            return run
        told = {
            **dict.fromkeys(("arn", "createdBy", "executionRole", "releaseLabel", "stateDetails"), "x" * 60),
            **parameters,
            "state": run.state,
            "createdAt": NOON,
            "updatedAt": NOON,
            "jobDriver": {"sparkSubmit": {"entryPoint": "x"}},
            "totalExecutionDurationSeconds": 77,
            "billedResourceUtilization": {"vCPUHour": 2.0, "memoryGBHour": 8.0, "storageGBHour": 1.0},
        }
        return self._answer("get_job_run", {"jobRun": told}, parameters)

    def cancel_job_run(self, **parameters: str) -> Any:
        self.cancelled.append(parameters["jobRunId"])
        self.jobs[parameters["jobRunId"]].state = "CANCELLED"
        return self._answer("cancel_job_run", dict(parameters), parameters)

    @staticmethod
    def _answer(operation: str, response: dict[str, Any], parameters: dict[str, str]) -> Any:
        return answer("emr-serverless", operation, response, parameters)


class CloudFormation:
    """The stack: moto's own needs packages that nothing else does."""

    def __init__(self, outputs: dict[str, str]) -> None:
        self.meta = SimpleNamespace(region_name="us-east-1")
        self.outputs = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]

    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 (boto3's name)
        if StackName != "lensneg":
            raise refusal("ValidationError", f"Stack with id {StackName} does not exist")
        stack = {"StackName": StackName, "CreationTime": NOON, "StackStatus": "CREATE_COMPLETE"}
        response = {"Stacks": [{**stack, "Outputs": self.outputs}]}
        return answer("cloudformation", "describe_stacks", response, {"StackName": StackName})


class InOrder:
    """Services of an account in which preflight has nothing to find."""

    def get_function_configuration(self, **_: str) -> dict[str, str]:
        return {"State": "Active", "LastUpdateStatus": "Successful"}

    def get_role(self, **_: str) -> dict[str, Any]:
        return {"Role": {}}

    def get_application(self, **_: str) -> dict[str, Any]:
        return {"application": {"state": "STOPPED", "maximumCapacity": {"cpu": "16 vCPU"}}}

    def get_service_quota(self, **_: str) -> dict[str, Any]:
        return {"Quota": {"Value": 16.0}}

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 10}}

    def get_function_concurrency(self, FunctionName: str) -> dict[str, int]:  # noqa: N803 (boto3's name)
        assert FunctionName == "FilterSweep"
        return {"ReservedConcurrentExecutions": 1000}


class Cloud:
    """An account with the stack deployed."""

    def __init__(self, functions: Functions, emr: Emr) -> None:
        self.functions, self.emr = functions, emr

    def execution(self, name: str, machine: str = "lensneg") -> dict[str, Any]:
        client = boto3.client("stepfunctions")
        machines = {entry["name"]: entry for entry in client.list_state_machines()["stateMachines"]}
        arn = machines[machine]["stateMachineArn"].replace(":stateMachine:", ":execution:")
        return dict(client.describe_execution(executionArn=f"{arn}:{name}"))

    def ended(self, name: str, machine: str = "lensneg") -> dict[str, Any]:
        """Wait for an execution's end: moto, like Step Functions, says a moment later that it was stopped."""
        for _ in range(500):
            execution = self.execution(name, machine)
            if execution["status"] != "RUNNING":
                return execution
            time.sleep(0.02)
        pytest.fail(f"{name} does not end")

    def job_runs(self) -> None:
        """Wait until a job is under way."""
        for _ in range(3000):
            if any(job.state == "RUNNING" for job in self.emr.jobs.values()):
                return
            time.sleep(0.02)
        pytest.fail("no job was started")

    def forget_runs(self) -> None:
        """Let what goes on end, then forget all executions, jobs and outputs."""
        self.emr.go_on.set()
        self.functions.failing_gate = 0
        for machine in stepfunctions_parser_backends["123456789012"]["us-east-1"].state_machines:
            for execution in list(machine.executions):
                self.ended(execution.name, machine.name)
            machine.executions.clear()
        self.emr.jobs.clear()
        for info in storage.list_files("s3://sky/out"):
            storage.delete(info.uri)


@contextmanager
def deployed_account(functions: Any = None, emr: Any = None) -> Iterator[Cloud]:
    """An account where the stack ``lensneg`` is deployed, with the bucket ``sky``."""
    functions, emr = functions or Functions(), emr or Emr()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_PROFILE", raising=False)
        storage.s3_client.cache_clear()
        with machine_with(functions, emr) as machine:  # type: ignore[arg-type]
            storage.s3_client().create_bucket(Bucket="sky")
            fetch_graph = render(substitutions("", FETCH_MACHINE), FETCH_MACHINE)
            values = dict.fromkeys(OUTPUTS, "x")
            values |= {
                "Region": "us-east-1",
                "DataBucketName": "sky",
                "ConfigsUri": "s3://sky/configs",
                "CatalogsUri": "s3://sky/catalogs",
                "SweepsUri": "s3://sky/sweeps",
                "OutUri": "s3://sky/out",
                "SparkCodeUri": "s3://sky/code/job.py",
                "StateMachineArn": machine._arn,
                "FetchUri": "s3://sky/fetch",
                "FetchStateMachineArn": Machine(fetch_graph, "lensneg-fetch")._arn,
            }
            make = boto3.client
            stand_ins = {"emr-serverless": emr, "cloudformation": CloudFormation(values)}
            patch.setattr(boto3, "client", lambda *a, **k: stand_ins.get(a[0] if a else "") or make(*a, **k))
            yield Cloud(functions, emr)
            emr.go_on.set()
        storage.s3_client.cache_clear()


def aws(*arguments: str, code: int = 0) -> Result:
    """Run ``lensneg aws`` in this process; its errors are raised."""
    result = CliRunner().invoke(cli, ["aws", *arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def refusal(code: str, message: str) -> ClientError:
    """What boto3 raises where AWS refuses a call."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartExecution")
