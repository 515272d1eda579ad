"""lensneg aws: an operator's commands, on the executed graph; what each says when something is missing."""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
import yaml
from botocore import xform_name
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from click.testing import CliRunner, Result
from cloud import NOON, Cloud, InOrder, deployed_account
from conftest import CONFIGS
from published import publish

from lensneg import storage
from lensneg.aws import progress
from lensneg.aws.calls import Aws, Call
from lensneg.aws.deployment import read_stack, require_complete
from lensneg.aws.history import Execution, History, StateVisit, describe, read_history
from lensneg.aws.readiness import preflight
from lensneg.cli import cli
from lensneg.cost.planned_run import FILTER_MEMORY_MB
from lensneg.errors import InputError, TransientError
from lensneg.schema.publication import Latest
from lensneg.stages.preflight import account as account_module
from lensneg.storage.errors import aws_errors

CONFIG = CONFIGS / "negative_sampling_v1.yaml"


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
def lenses(tmp_path: Path) -> str:
    path = tmp_path / "lenses.csv"
    path.write_text("name,ALPHA,DELTA\na,10.0,-20.0\n")
    return f"{path}?ra=ALPHA&dec=DELTA"


@pytest.fixture
def no_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at quotas: moto has no GetAccountSettings."""
    monkeypatch.setattr(account_module, "account_checks", lambda *_: iter(()))


def aws(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["aws", *arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def start(lenses: str, run_id: str, *more: str) -> None:
    aws("start", "--config", str(CONFIG), "--positives", lenses, "--run-id", run_id, *more)


def test_a_run_is_started_with_what_upload_prints_and_followed_to_its_end(cloud: Cloud, lenses: str) -> None:
    printed = aws("upload", "--config", str(CONFIG), "--positives", lenses).output.partition("run_id")[2]
    start(lenses, "whole")
    execution = json.loads(cloud.execution("whole")["input"])
    assert execution == {"run_id": "whole", **json.loads(printed[printed.index("{") :])}
    result = aws("watch", "whole", "--every", "0.1")
    for expected in (
        "mini-test: Preflight entered",
        "mini-test: FilterSweeps done",
        "map: 3 of 3 items done, 0 at work",
        "SUCCESS, 77 s, 2.00 vCPU-hours",
        "PublishManifest done",
        "whole SUCCEEDED",
    ):
        assert expected in result.stderr, expected
    assert "run whole, execution whole" in result.stdout
    told = json.loads(aws("status", "whole", "--json").stdout)
    assert told["map"] == {"total": 3, "done": 3, "failed": 0, "running": 0}
    assert told["states"][-1]["name"] == "Report"
    assert told["mini_test"]["status"] == "SUCCEEDED"
    # Two jobs of 2 vCPU-hours and 8 GB-hours.
    job = 2 * 0.052624 + 8 * 0.0057785
    assert told["usd"]["emr_usd"] == pytest.approx(job)
    assert told["usd"]["total"] == pytest.approx(2 * job, abs=0.01)
    assert "SUCCEEDED" in aws("status").stdout
    with pytest.raises(InputError, match="lensneg aws resume whole"):
        start(lenses, "whole")
    with pytest.raises(InputError, match="nothing to resume"):
        aws("resume", "whole")


def test_a_gate_that_failed_is_exit_code_1_with_its_cause(cloud: Cloud, lenses: str) -> None:
    cloud.functions.failing_gate = 2
    start(lenses, "gated", "--mode", "test")
    result = aws("watch", "gated", "--every", "0.1", code=1)
    assert "Gate2FanOutComplete: too few rows: fetch more" in result.stdout


def test_stop_ends_execution_and_job_and_resume_goes_on(cloud: Cloud, lenses: str) -> None:
    cloud.emr.go_on.clear()
    start(lenses, "held", "--mode", "test", "--max-concurrency", "7")
    cloud.job_runs()
    with pytest.raises(InputError, match=r"under way.*lensneg aws stop held"):
        aws("resume", "held")
    explained = aws("stop", "held", "--explain").stdout
    assert "aws stepfunctions stop-execution --execution-arn arn:" in explained
    assert "aws emr-serverless cancel-job-run --application-id local --job-run-id job" in explained
    assert cloud.execution("held")["status"] == "RUNNING"
    assert cloud.emr.cancelled == []
    stopped = json.loads(aws("stop", "held", "--json").stdout)["stopped"]
    assert stopped[0] == "execution held"
    assert cloud.emr.cancelled == [stopped[1].split()[2].rstrip(",")]
    assert cloud.ended("held")["status"] == "ABORTED"
    with pytest.raises(InputError, match="held is ABORTED: there is nothing to stop"):
        aws("stop", "held")
    cloud.emr.go_on.set()
    aws("resume", "held")
    assert json.loads(cloud.execution("held-2")["input"]) == json.loads(cloud.execution("held")["input"])
    assert json.loads(cloud.execution("held-2")["input"])["max_concurrency"] == 7
    assert "execution held-2" in aws("watch", "held", "--every", "0.1").stdout


def test_a_run_that_step_functions_forgot_is_resumed_from_its_record(cloud: Cloud, tmp_path: Path) -> None:
    record = storage.read_json(publish(tmp_path, "old").run)
    record["out"], record["config"]["uri"] = "s3://sky/out", "s3://sky/configs/plan.yaml"
    record["sweeps"][0]["uri"] = "s3://sky/sweeps/sweep-000p005-005p010.fits"
    record["catalogs"][0]["spec"] = {
        "uri": "s3://sky/catalogs/l.csv",
        "ra": "A B",
        "where": {"g": ["A", "B"]},
    }
    storage.write_json("s3://sky/out/runs/old/run.json", record)
    started = json.loads(aws("resume", "old", "--json").stdout)
    execution = json.loads(cloud.execution(started["execution_arn"].rpartition(":")[2])["input"])
    assert execution == {
        "run_id": "old",
        "mode": "full",
        "config": "s3://sky/configs/plan.yaml",
        "sweeps": "s3://sky/sweeps",
        "positives": ["s3://sky/catalogs/l.csv?ra=A+B&where.g=A%2CB"],
        "exclude": [],
        "out": "s3://sky/out",
    }
    with pytest.raises(
        InputError, match=r"run nobody: no execution and no s3://sky/out/runs/nobody/run\.json"
    ):
        aws("resume", "nobody")
    with pytest.raises(InputError, match="no execution of run nobody"):
        aws("status", "nobody")


def test_a_manifest_is_fetched_and_every_byte_of_it_checked(cloud: Cloud, tmp_path: Path) -> None:
    files = publish(tmp_path, "shown")
    for path in Path(files.manifest_folder).rglob("*"):
        if path.is_file():
            name = path.relative_to(files.manifest_folder)
            storage.put_file(str(path), f"s3://sky/out/manifests/shown/{name}")
    Latest(run_id="shown", manifest="", config_sha256="", started_at="", published_at="").write(
        "s3://sky/out/latest.json"
    )
    part = "negatives/part-00000.parquet"
    good = Path(files.manifest_folder, part).read_bytes()
    storage.write_bytes(f"s3://sky/out/manifests/shown/{part}", good[:-1] + b"x")
    to = tmp_path / "here"
    result = aws("download", "--to", str(to), code=1)
    assert f"WRONG: {part}" in result.stdout
    assert not (to / part).exists()
    assert not (to / "manifest.json").exists()
    storage.write_bytes(f"s3://sky/out/manifests/shown/{part}", good)
    told = json.loads(aws("download", "shown", "--to", str(to), "--json").stdout)
    assert told["whole"] is True
    outcomes = {f["name"]: f["outcome"] for f in told["files"]}
    assert outcomes == {part: "fetched", "positives/part-00000.parquet": "there already"}
    for path in to.rglob("*.*"):
        assert path.read_bytes() == Path(files.manifest_folder, path.relative_to(to)).read_bytes()
    assert (to / "manifest.json").exists()
    with pytest.raises(InputError, match="not published"):
        aws("download", "nobody", "--to", str(to))
    evil = json.loads(Path(files.manifest).read_text())
    evil["negatives"]["files"][0]["name"] = "../../evil"
    storage.write_json("s3://sky/out/manifests/evil/manifest.json", evil)
    with pytest.raises(Exception, match=r"negatives.files.0.name: got '../../evil'"):
        aws("download", "evil", "--to", str(tmp_path / "evil"))


def test_what_is_explained_is_what_the_aws_command_takes(cloud: Cloud, no_quotas: None, lenses: str) -> None:
    start(lenses, "told", "--mode", "test")
    aws("watch", "told", "--every", "0.1")
    lines: list[str] = []
    for command in (
        ["start", "--config", str(CONFIG), "--positives", lenses, "--run-id", "never"],
        ["upload", "--config", str(CONFIG), "--positives", lenses],
        ["preflight"],
        ["watch", "told"],
        ["status"],
        ["status", "told"],
        ["download", "told"],
    ):
        lines += aws(*command, "--explain").stdout.splitlines()
    assert not any(e == "never" for e in aws("status").stdout.split()), "an explained start starts nothing"
    session = botocore.session.get_session()
    seen = set()
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "aws", line
        if words[1] == "s3":
            continue
        service, operation, options = words[1].replace("s3api", "s3"), words[2], words[3::2]
        model = session.get_service_model(service)
        [name] = [n for n in model.operation_names if xform_name(n, "-") == operation]
        shape = model.operation_model(name).input_shape
        assert shape is not None
        assert {o.removeprefix("--") for o in options} <= {xform_name(m, "-") for m in shape.members}, line
        seen.add(operation)
    assert {"describe-stacks", "start-execution", "describe-map-run", "get-job-run"} <= seen


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "StartExecution")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), "no AWS credentials.*AWS_PROFILE"),
        (NoRegionError(), "AWS_DEFAULT_REGION"),
        (refusal("ExpiredTokenException", "old"), "does not accept the credentials.*aws sso login"),
        (refusal("AccessDeniedException", "no"), "lack states:StartExecution"),
        (
            refusal("AccessDenied", "User: x is not authorized to perform: iam:PassRole on resource: y"),
            "lack iam:PassRole",
        ),
        (refusal("ExecutionDoesNotExist", "gone"), "stepfunctions: refuses states:StartExecution: gone"),
    ],
)
def test_errors_say_what_to_do(error: Exception, expected: str) -> None:
    with (
        pytest.raises(InputError, match=expected),
        aws_errors("stepfunctions", Call("stepfunctions", "start_execution").iam_action),
    ):
        raise error


def test_an_execution_that_is_not_there_is_named() -> None:
    class Forgetful:
        def describe_execution(self, executionArn: str) -> None:  # noqa: N803 (boto3's name)
            raise refusal("ExecutionDoesNotExist", "gone")

    with pytest.raises(InputError, match="arn:x: no such execution; lensneg aws status"):
        describe(Aws(make_client=lambda _: Forgetful()), "arn:x")


def test_throttling_may_be_tried_again() -> None:
    with pytest.raises(TransientError, match="tries again"), aws_errors("lambda", "lambda:X"):
        raise refusal("ThrottlingException", "slow")


def test_a_stack_that_is_not_there_or_not_complete_is_named(cloud: Cloud, lenses: str) -> None:
    with pytest.raises(InputError, match=r"stack nowhere: no such stack.*--stack"):
        aws("start", "--stack", "nowhere", "--config", str(CONFIG), "--positives", lenses)
    stack = read_stack("lensneg")
    require_complete(stack)
    with pytest.raises(InputError, match=r"UPDATE_IN_PROGRESS: wait until it has ended"):
        require_complete(replace(stack, status="UPDATE_IN_PROGRESS"))
    with pytest.raises(InputError, match=r"UPDATE_FAILED: deploy it again.*describe-stack-events"):
        require_complete(replace(stack, status="UPDATE_FAILED"))


def test_an_input_in_s3_must_be_where_the_functions_may_read(cloud: Cloud, lenses: str) -> None:
    storage.write_bytes("s3://sky/elsewhere/plan.yaml", CONFIG.read_bytes())
    with pytest.raises(InputError, match="only below s3://sky/configs/"):
        aws("start", "--config", "s3://sky/elsewhere/plan.yaml", "--positives", lenses)
    storage.write_bytes("s3://sky/configs/there.yaml", CONFIG.read_bytes())
    found = aws("upload", "--config", "s3://sky/configs/there.yaml", "--positives", lenses).stdout
    assert '"config": "s3://sky/configs/there.yaml"' in found


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


def test_without_credentials_preflight_stops_there() -> None:
    class NoOne:
        def get_caller_identity(self) -> None:
            raise NoCredentialsError

    found = list(preflight(Aws(make_client=lambda _: NoOne()), "lensneg", 10))
    assert [check.name for check in found] == ["prices", "credentials"]
    assert "aws sso login" in found[1].remedy


def visit(name: str, start_s: float, end_s: float | None, **more: Any) -> StateVisit:
    end = None if end_s is None else NOON + timedelta(seconds=end_s)
    return StateVisit(name, NOON + timedelta(seconds=start_s), end, **more)


def test_cost_is_what_a_pocket_calculator_says() -> None:
    history = History((visit("A", 0, 10, is_task=True), visit("B", 10, None)))
    counts = {"total": 100, "pending": 60}
    hour = {"startedAt": NOON, "state": "RUNNING"}
    cost = progress.cost_so_far(history, [counts], [hour], 1024.0, NOON + timedelta(hours=1))
    # 1,024 s at 1,769 MB and 10 s at 2,048 MB; 40 items and one task; 2 states, and 40 children of 2.
    assert cost.lambda_usd == pytest.approx((1769 + 20) * 0.0000166667 + 41 * 0.2 / 1e6)
    assert cost.step_functions_usd == pytest.approx((2 + 40 * 2) * 0.025 / 1000)
    # No figures yet: a driver of 4 vCPU and 16 GB and 3 executors like it, for an hour.
    assert cost.emr_usd == pytest.approx(16 * 0.052624 + 64 * 0.0057785)


def test_the_map_function_has_the_memory_that_its_cost_assumes() -> None:
    text = (CONFIGS.parent / "template.yaml").read_text().partition("  FilterSweepFunction:\n")[2]
    assert f"MemorySize: {FILTER_MEMORY_MB}\n" in text[:400]


def test_only_what_is_new_is_told() -> None:
    def snapshot(visits: tuple[StateVisit, ...], done: int, failed: int = 0) -> progress.Snapshot:
        execution = Execution("arn", "r", "RUNNING", {}, NOON)
        items = progress.MapProgress(100, done, failed, 5)
        return progress.Snapshot(execution, visits, items, None, progress.Cost(), NOON)

    first = snapshot((visit("FilterSweeps", 0, None),), 11)
    assert list(progress.changes(None, first)) == [
        "FilterSweeps entered",
        "map: 11 of 100 items done, 5 at work",
    ]
    assert list(progress.changes(first, snapshot(first.visits, 19))) == []
    assert list(progress.changes(first, snapshot(first.visits, 19, failed=1))) == [
        "map: 19 of 100 items done, 5 at work, 1 FAILED"
    ]
    later = (visit("FilterSweeps", 0, 61, failures=2), visit("SummarizeFanOut", 61, None))
    assert list(progress.changes(first, snapshot(later, 12))) == [
        "FilterSweeps: 2 attempts failed",
        "FilterSweeps done in 61 s",
        "SummarizeFanOut entered",
    ]


def test_a_history_of_step_functions_is_read() -> None:
    def event(kind: str, **details: Any) -> dict[str, Any]:
        return {"type": kind, "timestamp": NOON, **details}

    entered = event("TaskStateEntered", stateEnteredEventDetails={"name": "SampleNegatives"})
    submitted = {"resourceType": "emr-serverless", "output": '{"ApplicationId": "app", "JobRunId": "00f"}'}
    history = read_history(
        [
            entered,
            event("TaskScheduled", taskScheduledEventDetails={"resourceType": "emr-serverless"}),
            event("TaskSubmitted", taskSubmittedEventDetails=submitted),
            event("TaskFailed"),
            event("TaskStateExited"),
        ]
    )
    assert history.jobs == (("app", "00f"),)
    assert history.visits == (StateVisit("SampleNegatives", NOON, NOON, failures=1),)


def test_a_terminal_gets_a_live_view() -> None:
    from rich.console import Console

    from lensneg.commands.aws_screen import follow

    def snapshots() -> Iterator[progress.Snapshot]:
        for status in ("RUNNING", "SUCCEEDED"):
            execution = Execution("arn", "r", status, {"run_id": "r"}, NOON, error="")
            yield progress.Snapshot(execution, (visit("Preflight", 0, 5),), None, None, progress.Cost(), NOON)

    console = Console(force_terminal=True, width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    take: Callable[[], progress.Snapshot] = snapshots().__next__
    assert follow(console, take, 0.01).execution.status == "SUCCEEDED"
    text = console.export_text()
    assert "Preflight" in text
    assert "0:05" in text
