"""lensneg aws: an operator's commands, on the executed graph."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from cloud import Cloud, aws, deployed_account
from conftest import CONFIGS
from published import publish
from usage import told

from lensneg import storage
from lensneg.aws.deployment import read_stack, require_complete
from lensneg.errors import InputError
from lensneg.schema.publication import Latest
from lensneg.stages.preflight import account as account_module

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
    monkeypatch.setattr(account_module, "account_checks", lambda *_, **__: iter(()))


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


def test_a_run_is_resumed_beside_runs_with_names_like_its_own(cloud: Cloud, lenses: str) -> None:
    cloud.functions.failing_gate = 2
    for run_id in ("first", "first-2", "first-3-mini-test"):
        start(lenses, run_id, "--mode", "test")
        cloud.ended(run_id)
    aws("resume", "first")
    assert json.loads(cloud.execution("first-3")["input"])["run_id"] == "first"
    cloud.ended("first-3")
    # The execution first-3 is one of run first, and there is no run first-3.
    for command in ("status", "watch", "stop"):
        with pytest.raises(InputError, match="no execution of run first-3"):
            aws(command, "first-3")
    with pytest.raises(InputError, match="goes on if it is one of run first-3, and another --run-id"):
        start(lenses, "first-3")


def test_a_run_whose_name_ends_like_that_of_a_mini_test_is_listed(cloud: Cloud, lenses: str) -> None:
    cloud.emr.go_on.set()
    for run_id in ("a-mini-test", "b", "b-mini-test-mini-test"):
        start(lenses, run_id, "--mode", "test-then-full" if run_id == "b" else "test")
        cloud.ended(run_id)
    cloud.ended("b-mini-test")
    listed = {entry["name"] for entry in json.loads(aws("status", "--json").stdout)["executions"]}
    assert {"a-mini-test", "b", "b-mini-test-mini-test"} <= listed
    assert "b-mini-test" not in listed, "the mini-test of b"
    assert "run a-mini-test" in aws("status", "a-mini-test").stdout


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
        "positives": ["s3://sky/catalogs/l.csv?ra=A B&where.g=A,B"],
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
    assert f"{part}: missing in s3://sky/out/manifests/shown, or not of the SHA-256" in told(result.stderr)
    assert not (to / part).exists()
    assert not (to / "manifest.json").exists()
    storage.write_bytes(f"s3://sky/out/manifests/shown/{part}", good)
    said = json.loads(aws("download", "shown", "--to", str(to), "--json").stdout)
    assert said["whole"] is True
    outcomes = {f["name"]: f["outcome"] for f in said["files"]}
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


def operations_of(lines: list[str]) -> set[str]:
    """The operations of aws commands, once botocore's models say that they are there and take the options."""
    session = botocore.session.get_session()
    seen = set()
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "aws", line
        if words[1] == "s3":
            continue
        service, operation, options = words[1].replace("s3api", "s3"), words[2], words[3::2]
        if operation == "invoke":  # its last word is a file
            options = options[:-1]
        model = session.get_service_model(service)
        [name] = [n for n in model.operation_names if xform_name(n, "-") == operation]
        shape = model.operation_model(name).input_shape
        assert shape is not None
        known = {xform_name(m, "-") for m in shape.members} | {"cli-binary-format"}
        assert {o.removeprefix("--") for o in options} <= known, line
        seen.add(operation)
    return seen


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
    seen = operations_of(lines)
    assert {"describe-stacks", "start-execution", "describe-map-run", "get-job-run"} <= seen


def test_a_stack_that_is_not_there_or_not_complete_is_named(cloud: Cloud, lenses: str) -> None:
    with pytest.raises(InputError, match=r"stack nowhere: no such stack.*--stack"):
        aws("start", "--stack", "nowhere", "--config", str(CONFIG), "--positives", lenses)
    stack = read_stack("lensneg")
    require_complete(stack)
    with pytest.raises(InputError, match=r"UPDATE_IN_PROGRESS; wait until it has ended"):
        require_complete(replace(stack, status="UPDATE_IN_PROGRESS"))
    with pytest.raises(InputError, match=r"UPDATE_FAILED; deploy it again.*describe-stack-events"):
        require_complete(replace(stack, status="UPDATE_FAILED"))


def test_an_input_in_s3_must_be_where_the_functions_may_read(cloud: Cloud, lenses: str) -> None:
    storage.write_bytes("s3://sky/elsewhere/plan.yaml", CONFIG.read_bytes())
    with pytest.raises(InputError, match="only below s3://sky/configs/"):
        aws("start", "--config", "s3://sky/elsewhere/plan.yaml", "--positives", lenses)
    storage.write_bytes("s3://sky/configs/there.yaml", CONFIG.read_bytes())
    found = aws("upload", "--config", "s3://sky/configs/there.yaml", "--positives", lenses).stdout
    assert '"config": "s3://sky/configs/there.yaml"' in found


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("start --positives lenses.csv --run-id first", {"start-execution"}),
        ("upload --positives lenses.csv", set()),
        (
            "preflight",
            {"describe-state-machine", "invoke", "get-role", "get-application", "get-service-quota"},
        ),
        ("watch first", {"describe-execution", "describe-map-run", "get-job-run"}),
        ("watch", {"list-executions", "describe-execution"}),
        ("status", {"list-executions"}),
        ("stop first", {"stop-execution", "cancel-job-run"}),
        ("resume first", {"start-execution"}),
        ("download", set()),
    ],
)
def test_explain_needs_no_credentials(
    command: str, made: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    storage.s3_client.cache_clear()
    Path("lenses.csv").write_text("name,ra,dec\na,10.0,-20.0\n")
    result = aws(*command.split(), "--explain")
    lines = result.stdout.splitlines()
    assert {"describe-stacks"} | made <= operations_of(lines)
    assert "first" not in command or "first" in result.stdout
    assert "words in capitals stand for what AWS would answer" in result.stderr
    assert json.loads(aws(*command.split(), "--explain", "--json").stdout) == {
        "commands": lines,
        "failure": None,
    }
    storage.s3_client.cache_clear()
