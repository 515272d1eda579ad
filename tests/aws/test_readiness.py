"""lensneg aws preflight: what is missing, and what to do about it."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import NoCredentialsError
from cloud import Cloud, InOrder, aws, deployed_account, refusal
from conftest import CONFIGS

from lensneg import storage
from lensneg.aws.calls import Aws
from lensneg.aws.readiness import preflight
from lensneg.stages.preflight import account as account_module


@pytest.fixture(scope="module")
def account() -> Iterator[Cloud]:
    with deployed_account() as account:
        yield account


@pytest.fixture
def cloud(account: Cloud) -> Cloud:
    account.functions.failing_gate = 0
    account.emr.go_on.set()
    return account


@pytest.fixture
def no_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at quotas: moto has no GetAccountSettings."""
    monkeypatch.setattr(account_module, "account_checks", lambda *_, **__: iter(()))


def checks(aws_: Aws, today: date) -> dict[str, Any]:
    return {check.name: check for check in preflight(aws_, "lensneg", 1000, today)}


def test_preflight_names_what_is_missing_with_its_remedy(cloud: Cloud, no_quotas: None) -> None:
    result = json.loads(aws("preflight", "--json", code=1).stdout)
    found = {check["name"]: check for check in result["checks"]}
    assert result["ready"] is False
    for name in ("credentials", "region", "stack", "bucket", "state_machine"):
        assert found[name]["passed"], name
    assert "lensneg aws upload --sweeps" in found["sweeps"]["remedy"]
    assert "deploy the stack again" in found["role local"]["remedy"], "the role of the machine is not there"
    assert found["function FilterSweep"]["passed"] is False
    assert "failed" in aws("preflight", code=1).stdout


def test_preflight_passes_in_an_account_that_is_in_order(cloud: Cloud) -> None:
    storage.write_bytes("s3://sky/sweeps/sweep-000p005-005p010.fits", b"x")
    storage.write_bytes("s3://sky/code/job.py", b"x")
    make = boto3.client

    fine = ("lambda", "iam", "emr-serverless", "service-quotas")

    def client(service: str) -> Any:
        return InOrder() if service in fine else make(service)

    published = yaml.safe_load((CONFIGS / "prices.yaml").read_text())["date"]
    found = checks(Aws(make_client=client), published + timedelta(days=10))
    assert {name for name, check in found.items() if not check.passed} == set()
    assert {"emr_vcpu_quota", "lambda_concurrency", "function Report", "role local"} <= set(found)
    old = checks(Aws(make_client=client), published + timedelta(days=400))
    assert [c.name for c in old.values() if not c.passed] == ["prices"]
    assert not old["prices"].critical

    def without_iam(service: str) -> Any:
        class Denied:
            def get_role(self, **_: str) -> None:
                raise refusal("AccessDenied", "no")

        return Denied() if service == "iam" else client(service)

    role = checks(Aws(make_client=without_iam), published)["role local"]
    assert (role.passed, role.critical) == (False, False)
    assert "iam:GetRole" in role.remedy


def test_an_inactive_function_is_woken_and_a_small_quota_is_a_warning(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write_bytes("s3://sky/sweeps/sweep-000p005-005p010.fits", b"x" * 10**6)
    storage.write_bytes("s3://sky/code/job.py", b"x")
    woken = []

    class Idle(InOrder):
        def get_function_configuration(self, FunctionName: str) -> dict[str, str]:  # noqa: N803
            return {"State": "Inactive"} if FunctionName == "Report" else {"State": "Active"}

        def invoke(self, **parameters: str) -> None:
            woken.append(parameters)
            raise refusal("CodeArtifactUserPendingException", "not yet")

        def get_function_concurrency(self, **_: str) -> dict[str, int]:
            return {}

    make, idle = boto3.client, Idle()
    fine = ("lambda", "iam", "emr-serverless", "service-quotas")
    monkeypatch.setattr(boto3, "client", lambda *a, **k: idle if a[0] in fine else make(*a, **k))
    result = json.loads(aws("preflight", "--json", "--max-concurrency", "1000").stdout)
    found = {check["name"]: check for check in result["checks"]}
    assert result["ready"]
    report = found["function Report"]
    assert (report["passed"], report["critical"]) == (False, False)
    assert report["actual"] == "inactive: will be woken"
    assert found["function FilterSweep"]["passed"]
    assert [(call["FunctionName"], call["InvocationType"]) for call in woken] == [("Report", "Event")]
    # One item of 1 MB takes no longer with 10 at a time.
    assert found["lambda_concurrency"]["passed"]
    for ra in range(5, 355, 5):
        storage.write_bytes(f"s3://sky/sweeps/sweep-{ra:03d}p005-{ra + 5:03d}p010.fits", b"x" * 10**5)
    [limit] = [
        check
        for check in json.loads(aws("preflight", "--json").stdout)["checks"]
        if check["name"] == "lambda_concurrency"
    ]
    assert (limit["passed"], limit["critical"]) == (False, False)
    assert "10 unreserved in this account and Region (quota L-B99A9384); the map takes" in limit["actual"]
    assert "10 unreserved" in aws("preflight").stdout
    woken.clear()
    explained = aws("preflight", "--explain").stdout
    assert "aws lambda invoke --function-name Report --invocation-type Event" in explained
    assert woken == []
    for info in storage.list_files("s3://sky/sweeps"):
        storage.delete(info.uri)


def test_without_credentials_preflight_stops_there() -> None:
    class NoOne:
        def get_caller_identity(self) -> None:
            raise NoCredentialsError

    found = list(preflight(Aws(make_client=lambda _: NoOne()), "lensneg", 10))
    assert [check.name for check in found] == ["prices", "credentials"]
    assert "aws sso login" in found[1].remedy


@pytest.mark.parametrize(
    ("denied", "check", "ready"),
    [
        ("sts", "credentials", True),  # IAM cannot forbid it; whether the stack is in order is looked at
        ("iam", "role local", True),
        ("cloudformation", "stack", False),  # nothing is known of what it holds
        ("stepfunctions", "state_machine", False),  # nothing is known of functions and roles
    ],
)
def test_a_look_that_is_not_permitted(
    cloud: Cloud, no_quotas: None, monkeypatch: pytest.MonkeyPatch, denied: str, check: str, ready: bool
) -> None:
    storage.write_bytes("s3://sky/sweeps/sweep-000p005-005p010.fits", b"x")
    storage.write_bytes("s3://sky/code/job.py", b"x")

    class Denied:
        meta = SimpleNamespace(region_name="us-east-1")

        def __getattr__(self, _operation: str) -> Any:
            def refuse(**_: Any) -> None:
                raise refusal("AccessDenied", "no")

            return refuse

    others: dict[str, Any] = {"lambda": InOrder(), "iam": InOrder()} | {denied: Denied()}
    make = boto3.client
    monkeypatch.setattr(boto3, "client", lambda *a, **k: others.get(a[0]) or make(*a, **k))
    result = json.loads(aws("preflight", "--json", code=0 if ready else 1).stdout)
    found = {entry["name"]: entry for entry in result["checks"]}
    assert result["ready"] is ready
    assert (found[check]["passed"], found[check]["critical"]) == (False, not ready)
    assert ({"bucket", "state_machine", "function Report", "role local"} <= set(found)) is ready
    monkeypatch.setitem(others, "lambda", None)  # moto has no function Report
    assert json.loads(aws("preflight", "--json", code=1).stdout)["ready"] is False


def test_a_service_at_fault_is_not_a_fault_of_the_stack(cloud: Cloud) -> None:
    class Broken:
        def get_caller_identity(self) -> None:
            raise refusal("InternalFailure", "oops")

    found = list(preflight(Aws(make_client=lambda _: Broken()), "lensneg", 10))
    assert [check.name for check in found] == ["prices", "credentials"]
    assert (found[1].actual, found[1].critical) == ("not known", True)
    assert "the same command tries again" in found[1].remedy


def test_without_the_stack_preflight_stops_there(cloud: Cloud) -> None:
    result = json.loads(aws("preflight", "--stack", "nowhere", "--json", code=1).stdout)
    assert [check["name"] for check in result["checks"]][-1] == "stack"
    assert "no such stack" in result["checks"][-1]["actual"]
    assert "make deploy" in result["checks"][-1]["remedy"]
