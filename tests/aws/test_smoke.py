"""lensneg aws smoke: the real graph in an account of moto's, with objects of other people in it.

The functions are stand-ins that publish the local run's manifest; one test runs the real handlers."""

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from cloud import Cloud, Emr, Functions, deployed_account
from moto.s3.models import s3_backends
from nearrun import draw_no_figures, run_here
from plainrun import draw_plainly
from usage import told

from lensneg import storage
from lensneg.aws import own_stack, smoke
from lensneg.aws.deployment import Stack, read_stack
from lensneg.aws.own_stack import OwnStack
from lensneg.cli import cli
from lensneg.commands import aws_smoke
from lensneg.errors import InputError
from lensneg.local import worker
from lensneg.local.lambdas import Invocation
from lensneg.schema.check import Check
from lensneg.schema.config import config_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.publication import Latest

OPERATE = Path(__file__).parents[2] / "docs" / "operate.md"

LATEST = Latest(run_id="theirs", manifest="m", config_sha256="c", started_at="s", published_at="p")


class Handlers(Functions):
    """Functions that publish the local run's manifest, or the real handlers, in this process."""

    def __init__(self, reference: Path) -> None:
        super().__init__()
        self.are_real = False
        self.before: Callable[[str], object] = lambda _name: None
        #: Number of items of each run.
        self.items: dict[str, int] = {}
        self._here = RunFiles.of_root(f"{reference}/here/runs/smoke-0123abcd")

    def invoke(self, name: str, body: str) -> Invocation:
        self.before(name)
        if self.are_real:
            answer = Invocation(**worker.invoke(name, body))
            if name == "PlanFanOut":
                self.items[storage.basename(json.loads(body)["root"])] = answer.result["count"]
            return answer
        if name == "PublishManifest":
            self._publish(RunFiles.of_root(json.loads(body)["root"]))
        return super().invoke(name, body)

    def _publish(self, files: RunFiles) -> None:
        run_id = files.run_id.removesuffix("-test")
        sha256 = config_sha256(smoke.make_config(run_id))
        if files.run_id != run_id:
            storage.write_bytes(files.mini_test(sha256, "code"), b"passed")
            return
        for info in storage.list_files(self._here.manifest_folder):
            name = info.uri.removeprefix(self._here.manifest_folder)
            storage.put_file(info.uri, f"{files.manifest_folder}{name}")
        storage.write_bytes(files.config_version(run_id, "1.0.0"), b"claimed")
        LATEST.model_copy(update={"run_id": run_id}).write(files.latest)


class PlainEmr(Emr):
    """The job leaves a log. For the real handlers it draws, by sorting, from a copy of the run's files."""

    def __init__(self, functions: Handlers, folder: Path) -> None:
        super().__init__()
        self._functions, self._folder = functions, folder

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        started = super().start_job_run(**parameters)
        log = f"s3://sky/emr-logs/applications/{started['ApplicationId']}/jobs/{started['JobRunId']}/x.gz"
        storage.write_bytes(log, b"log")
        if self._functions.are_real:
            arguments = parameters["jobDriver"]["sparkSubmit"]["entryPointArguments"]
            root, copy = arguments[arguments.index("--run") + 1], self._folder / started["JobRunId"]
            names = {info.uri.removeprefix(f"{root}/") for info in storage.list_files(root)}
            for name in names:
                storage.write_bytes(str(copy / name), storage.read_bytes(f"{root}/{name}"))
            draw_plainly(copy)
            for path in copy.rglob("*"):
                if path.is_file() and str(path.relative_to(copy)) not in names:
                    storage.put_file(str(path), f"{root}/{path.relative_to(copy)}")
        return started


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a smoke test whose sky is made, and whose local run is published."""
    inputs = smoke.Inputs(tmp_path_factory.mktemp("build") / "smoke-0123abcd")
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch)
        draw_no_figures(patch)
        made = aws_smoke._make_sky("smoke-0123abcd", inputs)
        assert made.text == "2 sweep files, 40,000 rows"
        aws_smoke._run_here("smoke-0123abcd", inputs)
    return inputs.folder


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Cloud]:
    functions = Handlers(reference)
    emr = PlainEmr(functions, tmp_path_factory.mktemp("emr"))
    with deployed_account(functions, emr) as account:
        yield account


@pytest.fixture
def cloud(
    account: Cloud, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    """The account with versions in its bucket, objects of others, and the local run done beforehand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(aws_smoke, "_EVERY", 0.1)
    monkeypatch.setattr(smoke, "_IN_FLIGHT", 0.0)

    def take_sky(name: str, inputs: smoke.Inputs) -> smoke.Done:
        shutil.copytree(reference / "sky", inputs.sky)
        if not account.functions.are_real:  # nothing reads the rows
            for path in inputs.sweeps.iterdir():
                os.truncate(path, 2880)
        inputs.config.write_text(smoke.make_config(name))
        return smoke.Done("2 sweep files, 40,000 rows")

    monkeypatch.setattr(aws_smoke, "_make_sky", take_sky)
    here = Manifest.open(reference / "here")
    monkeypatch.setattr(aws_smoke, "_run_here", lambda *_: here)
    monkeypatch.setattr(smoke, "preflight", lambda *_: iter([in_order(True)]))
    draw_no_figures(monkeypatch)
    client = boto3.client("s3")
    client.put_bucket_versioning(Bucket="sky", VersioningConfiguration={"Status": "Enabled"})
    for key in (
        "sweeps/sweep-000p005-005p010.fits",
        "sweeps/smoke-/x",
        "configs/negative_sampling_v1.yaml",
        "catalogs/lenses.csv",
        "out/runs/theirs/run.json",
        "out/runs/smoke/run.json",
        "out/manifests/theirs/manifest.json",
        "out/minitests/abc-def.json",
        "out/configs/negative_sampling_v1-1.0.0.json",
        "map-results/theirs/x",
        "emr-logs/applications/local/jobs/job/x",
        "code/x/sample_negatives.py",
    ):
        for body in (b"old", b"new"):
            client.put_object(Bucket="sky", Key=key, Body=body)
    client.delete_object(Bucket="sky", Key="catalogs/lenses.csv")
    LATEST.write("s3://sky/out/latest.json")
    account.functions.before = lambda _name: None
    account.functions.are_real = False
    account.functions.failing_gate = 0
    account.emr.go_on.set()
    yield account
    account.forget_runs()
    empty_bucket()


def empty_bucket() -> None:
    """Make the bucket as new, without versions. No call of S3 can do that."""
    bucket = s3_backends["123456789012"]["aws"].buckets["sky"]
    bucket.keys.clear()
    bucket.versioning_status = None


def in_order(passed: bool) -> Check:
    remedy = "ask for more"
    return Check(name="quota", passed=passed, expected="10", actual="0", remedy=remedy, critical=True)


def everything(bucket: str = "sky") -> set[tuple[str, ...]]:
    """All versions of all objects, and which is the latest."""
    found = boto3.client("s3").list_object_versions(Bucket=bucket)
    entries = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    return {(e["Key"], e["VersionId"], e.get("ETag", ""), str(e["IsLatest"])) for e in entries}


def run_smoke(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["aws", "smoke", *arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def interrupted_smoke(cloud: Cloud) -> Result:
    """A smoke test that Ctrl-C ends while its job runs."""

    def interrupt() -> None:
        try:
            cloud.job_runs()
        except BaseException:
            cloud.emr.go_on.set()  # nothing else would end the run
            raise
        os.kill(os.getpid(), signal.SIGINT)

    cloud.emr.cancelled.clear()
    cloud.emr.go_on.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background of a shell ignores it
    thread = threading.Thread(target=interrupt)
    thread.start()
    result = run_smoke("--stack", "lensneg", code=130)
    thread.join()
    return result


def told_by(result: Result) -> dict[str, Any]:
    """What --json printed. The handlers print lines of metrics in this process before it."""
    return dict(json.loads(result.stdout[result.stdout.index("{\n") :]))


def steps_of(result: Result) -> dict[str, dict[str, Any]]:
    return {step["step"]: step for step in told_by(result)["steps"]}


def test_the_account_passes_and_holds_what_it_held_before(cloud: Cloud) -> None:
    cloud.functions.are_real = True
    before = everything()
    result = run_smoke("--stack", "lensneg", "--json")
    told, steps = told_by(result), steps_of(result)
    assert told["passed"] is True
    assert told["stack"] == "lensneg"
    assert list(steps) == [
        "make the sky", "run here", "upload", "preflight", "run on AWS", "download", "compare",
        "end the run", "remove the run", "remove the inputs", "remove the local files",
    ]  # fmt: skip
    # Two jobs of 2 vCPU-hours and 8 GB-hours each, and some cents at most for the rest.
    assert steps["run on AWS"]["usd"] == pytest.approx(2 * (2 * 0.052624 + 8 * 0.0057785), abs=0.05)
    assert told["usd"] == steps["run on AWS"]["usd"]
    assert all(step["seconds"] >= 0 and step["passed"] for step in steps.values())
    assert steps["compare"]["result"].startswith("the same content: 110 negatives ")
    assert "latest.json is as it was" in steps["remove the run"]["result"]
    assert everything() == before
    assert not any(Path("build").iterdir())
    assert sorted(cloud.functions.items.values()) == [1, 2], "a mini-test of one file, then both files"
    for step, words in documented():
        found = "PASSED" if step == "all" else steps[step]["result"]
        assert re.search(words, found), (step, words, found)


def documented() -> Iterator[tuple[str, str]]:
    """What docs/operate.md says that each step prints; ``…`` stands for what differs."""
    block = OPERATE.read_text().partition("## Smoke test")[2].partition("```text\n")[2].partition("```")[0]
    for line in block.splitlines()[2:]:
        step, _, words = line.partition(" …")
        yield step, ".*".join(re.escape(piece.strip()) for piece in words.split("…"))


def test_what_is_kept_is_named_and_complete(cloud: Cloud) -> None:
    before = everything()
    told = told_by(run_smoke("--stack", "lensneg", "--keep", "--json"))
    kept, run_id = told["kept"], told["run_id"]
    executed = json.loads(cloud.execution(run_id)["input"])
    assert executed["mode"] == "test-then-full"
    assert executed["max_concurrency"] == 2
    assert executed["sweeps"] == f"s3://sky/sweeps/{run_id}"
    made = {key for key, *_ in everything() - before}
    assert f"out/manifests/{run_id}/manifest.json" in made
    logs = {key for key in made if key.startswith("emr-logs/")}
    for key in made - logs - {"out/latest.json"}:
        assert any(f"s3://sky/{key}".startswith(entry) for entry in kept), key
    assert Path("build", run_id, "from_aws", "manifest.json").is_file()


def test_another_content_fails_and_both_hashes_are_shown(
    cloud: Cloud, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything()
    here = Manifest.open(reference / "here")
    part = here.record.negatives.model_copy(update={"content_sha256": "f" * 64})
    other = Manifest(here.uri, here.record.model_copy(update={"negatives": part}))
    monkeypatch.setattr(aws_smoke, "_run_here", lambda *_: other)
    result = run_smoke("--stack", "lensneg", "--json", code=1)
    error = steps_of(result)["compare"]["error"]
    real = here.record.negatives.content_sha256
    assert error["what"] == f"the content of negatives is {real} on AWS and {'f' * 64} here"
    assert error["remedy"]
    assert told_by(result)["passed"] is False
    assert everything() == before


def test_a_gate_that_fails_is_shown_with_its_words_and_all_is_removed(cloud: Cloud) -> None:
    before = everything()
    cloud.functions.failing_gate = 3
    result = run_smoke("--stack", "lensneg", "--json", code=1)
    error = steps_of(result)["run on AWS"]["error"]
    assert error["what"] == "FAILED Gate3SampleComplete: too few rows: fetch more"
    assert "docs/operate.md" in error["remedy"]
    assert "run on AWS: execution smoke-" in result.stderr
    assert "download" not in steps_of(result)
    assert everything() == before


def test_a_check_of_the_account_that_fails_ends_it_before_the_run(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything()
    monkeypatch.setattr(smoke, "preflight", lambda *_: iter([in_order(True), in_order(False)]))
    result = run_smoke("--stack", "lensneg", code=1)
    assert "preflight: stack lensneg: quota: expected 10, got 0 (ask for more)" in told(result.stderr)
    assert everything() == before


def test_ctrl_c_during_the_job_stops_the_run_and_all_is_removed(cloud: Cloud) -> None:
    before = everything()
    result = interrupted_smoke(cloud)
    assert "end the run: stopped execution smoke-" in result.stderr
    assert "interrupted (SIGINT); what it made is removed" in told(result.stderr)
    assert cloud.emr.cancelled
    assert everything() == before


def test_what_is_not_removed_is_named_and_the_rest_is_removed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_aws: Any, _bucket: str, prefixes: Any) -> int:
        if any(prefix.startswith("sweeps/") for prefix in prefixes):
            raise InputError(
                "3 of 3 objects are not removed", where="s3://sky", remedy="grant s3:DeleteObjectVersion"
            )
        return remove(_aws, _bucket, prefixes)

    remove = smoke.remove_below
    monkeypatch.setattr(smoke, "remove_below", refuse)
    result = run_smoke("--stack", "lensneg", "--json", code=1)
    steps = steps_of(result)
    assert steps["compare"]["passed"]
    assert steps["remove the inputs"]["error"]["remedy"] == "grant s3:DeleteObjectVersion"
    assert steps["remove the run"]["passed"]
    assert steps["remove the local files"]["passed"]


@pytest.mark.parametrize("key", ["sweeps/smoke-taken/x", "out/runs/smoke-taken/run.json"])
def test_objects_that_have_its_keys_already_are_refused_and_stay(
    cloud: Cloud, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "new_name", lambda: "smoke-taken")
    storage.write_bytes(f"s3://sky/{key}", b"theirs")
    before = everything()
    result = run_smoke("--stack", "lensneg", code=1)
    assert f"there is {key} already" in result.stderr
    assert everything() == before


def test_a_run_that_is_under_way_is_not_disturbed(cloud: Cloud) -> None:
    before = everything()
    waiting = threading.Event()
    cloud.functions.before = lambda _name: waiting.wait(20)
    client, theirs = boto3.client("stepfunctions"), json.dumps({"run_id": "theirs", "out": "s3://sky/out"})
    machine = read_stack("lensneg").state_machine_arn
    client.start_execution(stateMachineArn=machine, name="theirs", input=theirs)
    try:
        with pytest.raises(InputError, match=r"stack lensneg: execution theirs is under way; wait"):
            run_smoke("--stack", "lensneg")
        assert everything() == before
    finally:
        waiting.set()


def test_a_bucket_without_versions_and_the_surveys_bucket_are_as_before(cloud: Cloud) -> None:
    """SweepsBucketName names the survey's: the smoke test writes to the stack's own."""
    empty_bucket()
    LATEST.write("s3://sky/out/latest.json")
    client = boto3.client("s3")
    client.create_bucket(Bucket="survey")
    client.put_object(Bucket="survey", Key="sweep-000p005-005p010.fits", Body=b"x")
    before = everything("survey"), everything()
    outputs = boto3.client("cloudformation").outputs
    [output] = [entry for entry in outputs if entry["OutputKey"] == "SweepsUri"]
    output["OutputValue"] = "s3://survey"
    try:
        result = run_smoke("--stack", "lensneg")
    finally:
        output["OutputValue"] = "s3://sky/sweeps"
    assert (everything("survey"), everything()) == before
    for expected in ("stack lensneg in us-east-1", "seconds", "USD", "run on AWS", "SUCCEEDED", "PASSED"):
        assert expected in result.stdout, expected


class Deployed(OwnStack):
    """A stack whose deployment is that of the account, and whose end is noted."""

    def __init__(self, aws: Any, name: str) -> None:
        self._aws, self.name = aws, name
        self.calls: list[str] = []

    def deploy(self) -> Stack:
        self.calls.append("deploy")
        return read_stack("lensneg", self._aws)

    def delete(self) -> str:
        self.calls.append("delete")
        return "deleted"

    def delete_bucket(self) -> str:
        self.calls.append("delete its bucket")
        return "deleted"


@pytest.mark.parametrize("fails", [False, True])
def test_without_a_stack_one_is_deployed_and_deleted_last_also_after_a_failure(
    cloud: Cloud, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Deployed] = []

    def make(*arguments: Any) -> Deployed:
        made.append(Deployed(*arguments))
        return made[0]

    monkeypatch.setattr(own_stack, "OwnStack", make)
    monkeypatch.setattr(own_stack, "require_tools", lambda: None)
    monkeypatch.setattr(smoke, "preflight", lambda *_: iter([in_order(not fails)]))
    result = run_smoke("--json", code=int(fails))
    [stack] = made
    assert stack.name == f"lensneg-{told_by(result)['run_id']}"
    assert stack.calls == ["deploy", "delete", "delete its bucket"]
    steps = list(steps_of(result))
    assert steps[-4:] == [
        "remove the inputs",
        "delete the stack",
        "delete its bucket",
        "remove the local files",
    ]
    assert ("run on AWS" in steps) is not fails


def test_without_an_engine_or_with_an_unknown_stack_nothing_begins(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack() -> None:
        raise InputError("no container engine")

    monkeypatch.setattr(own_stack, "require_tools", lack)
    with pytest.raises(InputError, match="no container engine"):
        run_smoke()
    with pytest.raises(InputError, match="stack nowhere: no such stack"):
        run_smoke("--stack", "nowhere")
    assert not Path("build").exists()
