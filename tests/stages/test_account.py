"""Gate 1's checks of the AWS account: what they say, what they wake, and what a run may take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.stub import Stubber
from conftest import CONFIGS, config_text, edited
from pipeline import as_input, make_request

from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.run import SweepInput
from lensneg.schema.states import WAKE
from lensneg.stages.preflight import account
from lensneg.stages.preflight import gate1 as preflight
from lensneg.stages.preflight.map_seconds import map_seconds_of

SESSION = get_session()


def stubbed(answers: dict[str, list[tuple[str, Any]]]) -> Callable[[str], Any]:
    """botocore's clients with canned answers, which botocore checks against its models; errors as texts."""
    clients = {}
    for service, calls in answers.items():
        client = SESSION.create_client(
            service, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        stub = Stubber(client)
        for operation, answer in calls:
            if isinstance(answer, str):
                stub.add_client_error(operation, answer, "no")
            else:
                stub.add_response(operation, answer)
        stub.activate()
        clients[service] = client
    return lambda service: clients[service]


def application(state: str = "STOPPED", starts: bool = True, cpu: str = "64 vCPU") -> dict[str, Any]:
    return {
        "application": {
            "applicationId": "app",
            "arn": "arn:aws:emr-serverless:us-east-1:123456789012:/applications/app",
            "releaseLabel": "emr-7.13.0",
            "type": "Spark",
            "state": state,
            "createdAt": 0,
            "updatedAt": 0,
            "autoStartConfiguration": {"enabled": starts},
            "maximumCapacity": {"cpu": cpu, "memory": "256 GB"},
        }
    }


ON_AWS = {
    account.ON_AWS_VARIABLE: "Preflight",
    account.APPLICATION_VARIABLE: "app",
    account.FILTER_VARIABLE: "FilterSweep",
}


def account_of(
    emr: Any = None, vcpus: Any = 64.0, free: Any = 1000, reserved: int | None = None
) -> Callable[[str], Any]:
    """An account that answers so; a text is the error of the call."""
    quota = vcpus if isinstance(vcpus, str) else {"Quota": {"Value": vcpus}}
    settings = free if isinstance(free, str) else {"AccountLimit": {"UnreservedConcurrentExecutions": free}}
    own = {} if reserved is None else {"ReservedConcurrentExecutions": reserved}
    return stubbed(
        {
            "emr-serverless": [("get_application", emr or application())],
            "service-quotas": [("get_service_quota", quota)],
            "lambda": [("get_account_settings", settings), ("get_function_concurrency", own)],
        }
    )


def account_failures(**answers: Any) -> set[str]:
    """The checks that fail where 500 items would run at a time."""
    checks = list(account.account_checks(account.Limits(500), ON_AWS, account_of(**answers)))
    assert [c.name for c in checks] == ["emr_application", "emr_vcpu_quota", "lambda_concurrency"]
    return {c.name + ("" if c.critical else " (warning)") for c in checks if not c.passed}


def test_the_account_is_looked_at_on_aws_alone() -> None:
    assert list(account.account_checks(account.Limits(500), {}, stubbed({}))) == []
    assert account_failures() == set()


APPLICATION_STATES = SESSION.get_service_model("emr-serverless").shape_for("ApplicationState").enum


@pytest.mark.parametrize("state", APPLICATION_STATES)
def test_an_application_that_starts_by_itself_fails_nothing_unless_it_is_gone(state: str) -> None:
    """STOPPING too, as after the job of another run: the state machine tries the start again."""
    gone = {"emr_application"} if state == "TERMINATED" else set()
    assert account_failures(emr=application(state)) == gone
    asleep = set() if state in ("STARTING", "STARTED") else {"emr_application"}
    assert account_failures(emr=application(state, starts=False)) == asleep


def test_a_quota_that_is_small_is_a_warning_and_lowers_what_the_run_takes() -> None:
    assert account_failures(vcpus=16.0) == {"emr_vcpu_quota (warning)"}
    assert account_failures(vcpus=7.0) == {"emr_vcpu_quota"}  # less than a driver and an executor
    assert account_failures(free=10) == {"lambda_concurrency (warning)"}
    assert account_failures(free=10, reserved=500) == set()
    assert account_failures(reserved=100) == {"lambda_concurrency (warning)"}
    assert account_failures(free=0) == {"lambda_concurrency"}
    for answers, taken in (
        ({}, (500, 64)),
        ({"free": 10, "vcpus": 20.0}, (10, 20)),
        ({"free": 10, "reserved": 100}, (100, 64)),
        ({"free": 0}, (1, 64)),  # 0 would be no limit at all
        ({"vcpus": "AccessDeniedException", "free": "AccessDeniedException"}, (500, 64)),
        ({"emr": "AccessDeniedException"}, (500, 16)),
    ):
        limits = account.Limits(500)
        list(account.account_checks(limits, ON_AWS, account_of(**answers)))
        assert (limits.concurrency, limits.vcpus) == taken, answers


def test_the_warning_names_the_quota_the_time_and_the_command() -> None:
    seconds = {10: 2016.0, 500: 60.0}
    _, vcpus, items = account.account_checks(
        account.Limits(500), ON_AWS, account_of(free=10, vcpus=16.0), seconds.__getitem__
    )
    account_has = "10 unreserved in this account and Region (quota L-B99A9384)"
    assert items.actual == f"{account_has}; the map takes about 34 min instead of 60 s"
    assert "request-service-quota-increase --service-code lambda --quota-code L-B99A9384" in items.remedy
    assert "--desired-value 1000" in items.remedy
    assert vcpus.actual.startswith("16 vCPUs in this account and Region (quota L-D05C8A75)")
    assert "--service-code emr-serverless --quota-code L-D05C8A75 --desired-value 64" in vcpus.remedy


def test_a_quota_that_costs_no_time_is_no_warning() -> None:
    """A run of a few items takes no more at a time."""
    checks = account.account_checks(account.Limits(500), ON_AWS, account_of(free=10), lambda _: 12.0)
    assert all(check.passed for check in checks)


@pytest.mark.parametrize(
    ("answers", "check"),
    [
        ({"emr": "AccessDeniedException"}, "emr_application"),
        ({"vcpus": "AccessDeniedException"}, "emr_vcpu_quota"),
        ({"free": "AccessDeniedException"}, "lambda_concurrency"),
    ],
)
def test_what_may_not_be_looked_at_is_a_warning(answers: dict[str, str], check: str) -> None:
    assert account_failures(**answers) == {f"{check} (warning)"}


def test_gate_1_returns_what_the_account_allows(
    gate_sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, client = account.account_checks, account_of(free=1, vcpus=12.0)
    config = tmp_path / "config.yaml"
    several_items = {"execution.target_item_bytes": 2**20}
    config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), several_items))
    request = make_request(gate_sky, config, tmp_path / "out", "one", "full")
    off_aws = preflight.preflight(as_input(request))
    assert (off_aws.max_concurrency, off_aws.max_vcpus) == (2, 16)
    monkeypatch.setattr(
        account,
        "account_checks",
        lambda limits, map_seconds: real(limits, ON_AWS, client, map_seconds=map_seconds),
    )
    result = preflight.preflight(as_input(request))
    assert (result.max_concurrency, result.max_vcpus) == (1, 12)
    assert result.gate.passed == off_aws.gate.passed
    checks = json.loads(Path(tmp_path / "out/runs/one/gates/gate1.json").read_text())["checks"]
    [items] = [check for check in checks if check["name"] == "lambda_concurrency"]
    assert (items["passed"], items["critical"]) == (False, False)
    assert "the map takes about" in items["actual"]


def test_the_time_of_the_map_is_that_of_its_waves() -> None:
    """40 equal items of a file each: with 10 at a time they take four waves, with 40 one."""
    config = Config.load(str(CONFIGS / "negative_sampling_v1.yaml"))
    config = config.model_copy(
        update={"execution": config.execution.model_copy(update={"target_item_bytes": 2**40})}
    )
    name = "s3://b/sweep-{:03d}p000-{:03d}p005.fits"
    sweeps = [
        SweepInput(
            uri=name.format(ra, ra + 5), size=10**10, etag="", rows=20_000_000, release=0, row_bytes=500
        )
        for ra in range(0, 200, 5)
    ]
    seconds = map_seconds_of(sweeps, config, full=True)
    assert 3.5 < seconds(10) / seconds(40) < 4.1
    # A mini-test takes a few files: they fit into ten at a time.
    few = map_seconds_of(sweeps, config, full=False)
    assert few(10) == few(40) == seconds(40)


# ---- Functions -------------------------------------------------------------------------------------------

STATES = SESSION.get_service_model("lambda").shape_for("State").enum
UPDATES = SESSION.get_service_model("lambda").shape_for("LastUpdateStatus").enum


class Functions:
    """Two functions, of which one is in a given state."""

    def __init__(self, refuse: bool = False, **configuration: str) -> None:
        self.configuration, self.refuse = configuration, refuse
        self.woken: list[dict[str, Any]] = []

    def get_function_configuration(self, FunctionName: str) -> dict[str, str]:  # noqa: N803 (boto3's name)
        return self.configuration if FunctionName == "Report" else {"State": "Active"}

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 1}}

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        self.woken.append(parameters)
        if self.refuse:
            raise ClientError({"Error": {"Code": "ResourceConflictException"}}, "Invoke")
        return {"StatusCode": 202}


class Denied:
    """A service that these credentials may not call."""

    def __getattr__(self, operation: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)


def functions_check(functions: Functions) -> Check:
    """The check of the functions, among those of an account that has nothing else."""
    environment = {account.ON_AWS_VARIABLE: "Preflight", account.FUNCTIONS_VARIABLE: "PlanFanOut,Report"}
    checks = account.account_checks(
        account.Limits(1), environment, lambda name: functions if name == "lambda" else Denied()
    )
    [check] = [check for check in checks if check.name == "functions_ready"]
    return check


@pytest.mark.parametrize("refuse", [False, True])
def test_an_inactive_function_is_woken(refuse: bool) -> None:
    """Its first call may be refused: that is what wakes it."""
    functions = Functions(refuse, State="Inactive", StateReason="The function is idle.")
    check = functions_check(functions)
    assert (check.verdict, check.actual) == (
        "warning",
        "Report: inactive: will be woken (The function is idle.)",
    )
    [call] = functions.woken
    assert (call["FunctionName"], call["InvocationType"]) == ("Report", "Event")
    assert json.loads(call["Payload"]) == WAKE


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("update", UPDATES)
def test_what_passes_by_itself_is_a_warning_and_all_else_a_failure(state: str, update: str) -> None:
    functions = Functions(State=state, LastUpdateStatus=update)
    verdict = functions_check(functions).verdict
    if (state, update) == ("Active", "Successful"):
        assert verdict == "ok"
    elif state in ("Active", "Inactive", "Pending") and update in ("Successful", "InProgress"):
        assert verdict == "warning"
    else:
        assert verdict == "failed"
    assert bool(functions.woken) == (state == "Inactive")
