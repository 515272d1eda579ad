"""docs/recovery.md shows what each case of the plan's section 8 and appendix B looks like. Each case is
provoked here, and the page's words are compared with what is printed. ``…`` stands there for what differs."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from astropy.io import fits
from botocore.awsrequest import AWSResponse
from cloud import Cloud, aws, deployed_account
from conftest import CONFIGS, config_text, edited
from moto.core.botocore_stubber import MockRawResponse
from nearrun import NearLambda, draw_no_figures, ended
from pipeline import OPEN_GATES, JobStandIn
from plainrun import draw_plainly
from test_documented_commands import blocks

from functions import filter_sweep
from lensneg import storage
from lensneg.commands.failure import failure_of, fault_of_error
from lensneg.errors import InputError
from lensneg.local import run as local_run
from lensneg.local import runner
from lensneg.local.lambdas import Invocation
from lensneg.mocksky import write_mock_sky
from lensneg.schema.states import StateError
from lensneg.stages.check_sample.gate3 import check_sample

PAGE = Path(__file__).parents[2] / "docs" / "recovery.md"


def symptoms() -> dict[str, str]:
    """The page's blocks of printed text, by the heading that they stand below and their number there."""
    lines, found = PAGE.read_text().splitlines(), dict[str, str]()
    for start, language, block in blocks(PAGE.read_text()):
        if language == "text":
            heading = next(line for line in reversed(lines[:start]) if line.startswith("## "))[3:]
            number = sum(name.rpartition(" ")[0] == heading for name in found)
            found[f"{heading} {number + 1}"] = "\n".join(block)
    return found


def assert_shown(symptom: str, printed: str) -> None:
    """Each line of the symptom is printed. A terminal may break a long line of it."""
    unbroken = " ".join(printed.split())
    for line in symptom.splitlines():
        words = ".*".join(map(re.escape, line.split("…")))
        assert re.search(words, printed) or re.search(words, unbroken), f"{line}\n--- in\n{printed}"


class Here:
    """A folder with a small sky, and the command line in this process."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.patch, self.capsys = folder, patch, capsys
        self.job: Callable[[Path], None] = draw_plainly
        #: Called before a function of that name is invoked; what it returns is the answer.
        self.before: dict[str, Callable[[], Invocation | None]] = {}
        here = self

        class Functions(NearLambda):
            def invoke(self, function_name: str, body: str) -> Invocation:
                answer = here.before.get(function_name, lambda: None)()
                return answer or super().invoke(function_name, body)

        def job(_log_folder: Path, _on_step: Any) -> Any:
            return JobStandIn(here.job)

        patch.setattr(runner, "LocalEmrServerless", job)
        patch.setattr(runner, "LocalLambda", Functions)
        patch.setattr(local_run, "run_in_process", runner.run_locally)
        draw_no_figures(patch)

    def prints(self, *words: str, code: int) -> str:
        found = ended(self.patch, *words)
        printed = self.capsys.readouterr()
        assert found == code, printed
        return printed.out + printed.err

    def run(self, *more: str, code: int, config: str = "config.yaml") -> str:
        inputs = ("--config", config, "--sweeps", "sweeps", "--positives", "positives.csv", "--out", "out")
        return self.prints("run", *inputs, "--run-id", "first", *more, code=code)

    def sweeps(self) -> list[Path]:
        return sorted((self.folder / "sweeps").iterdir())


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    write_mock_sky(folder, files=2, rows=4_000, seed=31)
    changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3}
    (folder / "config.yaml").write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
    return folder


@pytest.fixture
def here(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    shutil.copytree(sky, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path, monkeypatch, capsys)


def bad_config(here: Here) -> str:
    text = Path("config.yaml").read_text()
    Path("bad.yaml").write_text(text.replace("  nside: 128\n", "  nsides: 128\n"))
    return here.run(config="bad.yaml", code=2)


def no_mini_test(here: Here) -> str:
    config = Path("config.yaml")
    config.write_text(config.read_text().replace("mini_test_files: 2", "mini_test_files: 1"))
    return here.run("--mode", "full", code=1)


def hole_in_a_file(here: Here) -> str:
    for path in here.sweeps():
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 20_000] = bytes(20_000)
        path.write_bytes(data)
    return here.run("--mode", "test", code=1)


def broken_job(here: Here) -> str:
    def job(_: Path) -> None:
        raise RuntimeError("java.lang.OutOfMemoryError: Java heap space")

    here.job = job
    return here.run("--mode", "test", code=1)


def cut_a_part(folder: Path) -> None:
    part = sorted(folder.rglob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-1])


def damaged_sample(here: Here) -> str:
    here.before["ValidateManifest"] = lambda: cut_a_part(Path("out/runs/first/sample"))
    return here.run("--mode", "test", code=1)


def damaged_manifest(here: Here) -> str:
    here.run(code=0)
    cut_a_part(Path("out/manifests/first"))
    return here.prints("validate", "out/manifests/first", code=1)


def stopped(here: Here) -> str:
    """Ctrl-C in the midst of the run. tests/faults/test_stop.py has that of a run with processes."""
    here.before["PlanFanOut"] = lambda: signal.raise_signal(signal.SIGINT)
    return here.run(code=130)


def killed_workers(here: Here) -> str:
    killed = {"errorType": "Runtime.ExitError", "errorMessage": "injected"}
    here.before["FilterSweep"] = lambda: Invocation(error=killed)
    return here.run("--mode", "test", code=1)


def short_memory(here: Here) -> str:
    def filter_item(*_: Any) -> None:
        raise MemoryError

    here.patch.setattr(filter_sweep, "filter_item", filter_item)
    return here.run("--mode", "test", code=1)


def late_function(here: Here) -> str:
    late = {"errorType": "Sandbox.Timedout", "errorMessage": "CheckSample took more than 900 s and was ended"}
    here.before["CheckSample"] = lambda: Invocation(error=late)
    return here.run("--mode", "test", code=3)


def lacking_column(here: Here) -> str:
    for path in here.sweeps():
        with fits.open(path) as hdus:
            columns = fits.ColDefs([column for column in hdus[1].columns if column.name != "SERSIC"])
            table = fits.BinTableHDU.from_columns(columns, header=None, name="SWEEP")
            fits.HDUList([hdus[0], table]).writeto(f"{path}.new")
        os.replace(f"{path}.new", path)
    return here.run("--mode", "test", code=1)


def locked_folder(here: Here) -> str:
    """Root may list all; so the system's answer is made up."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    Path("sweeps/locked").mkdir()
    here.patch.setattr(os, "scandir", refuse)
    return here.run("--mode", "test", code=1)


def lacking_positions(here: Here) -> str:
    Path("positives.csv").write_text("name,alpha,beta\na,1,2\n")
    return here.run("--mode", "test", code=2)


def late_job(_: Here) -> str:
    return check_sample("out/runs/first", StateError(Error="States.Timeout")).gate.cause


def start() -> None:
    config = str(CONFIGS / "negative_sampling_v1.yaml")
    aws("start", "--config", config, "--positives", "positives.csv", "--mode", "test", "--run-id", "first")


def follow(cloud: Cloud, code: int) -> str:
    start()
    result = aws("watch", "first", "--every", "0.1", code=code)
    return result.stdout + result.stderr


def failing_gate(cloud: Cloud) -> str:
    cloud.functions.failing_gate = 2
    return follow(cloud, code=1)


def stopped_execution(cloud: Cloud) -> str:
    cloud.emr.go_on.clear()
    start()
    cloud.job_runs()
    return aws("stop", "first").stdout


def denied_object(cloud: Cloud) -> str:
    """What a function's S3 client says, in the state machine's words."""
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    denied = AWSResponse("", 403, {"content-length": str(len(body))}, MockRawResponse(body))
    events = storage.s3_client().meta.events
    events.register_first("before-send.s3", lambda **_: denied, unique_id="denied")
    try:
        storage.read_bytes("s3://sky/sweeps/sweep-000p005-005p010.fits")
    except InputError as error:
        said = {"errorType": "InputError", "errorMessage": str(error)}
    finally:
        events.unregister("before-send.s3", unique_id="denied")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud.functions, "invoke", lambda *_: Invocation(error=said))
        return follow(cloud, code=3)


def denied_credentials(cloud: Cloud) -> str:
    make = boto3.client

    def client(service: str, **options: Any) -> Any:
        real = make(service, **options)
        if service == "stepfunctions":
            real.meta.events.register_first("before-send.sfn.StartExecution", lambda **_: denied)
        return real

    body = b'{"__type": "AccessDeniedException", "message": "User: arn:aws:iam::1:user/me is not authorized"}'
    denied = AWSResponse("", 400, {"content-length": str(len(body))}, MockRawResponse(body))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "client", client)
        with pytest.raises(InputError) as error:
            start()
    return failure_of([fault_of_error(error.value)], 2).text()


def late_state(cloud: Cloud) -> str:
    invoke, late = cloud.functions.invoke, {"errorType": "Sandbox.Timedout", "errorMessage": "injected"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cloud.functions,
            "invoke",
            lambda name, body: Invocation(error=late) if name == "PlanFanOut" else invoke(name, body),
        )
        return follow(cloud, code=3)


#: What provokes the lines of each block of the page.
HERE: dict[str, list[Callable[[Here], str]]] = {
    "It does not start 1": [bad_config],
    "It does not start 2": [no_mini_test],
    "A step fails 1": [hole_in_a_file],
    "A step fails 2": [broken_job],
    "The output is invalid 1": [damaged_sample],
    "The output is invalid 2": [damaged_manifest],
    "Emergency stop 1": [stopped],
    "Access denied 2": [locked_folder],
    "Out of memory 1": [killed_workers, short_memory],
    "Timeout 1": [late_function, late_job],
    "Unexpected schema 1": [lacking_column, lacking_positions],
}
IN_ACCOUNT: dict[str, Callable[[Cloud], str]] = {
    "A step fails 3": failing_gate,
    "Emergency stop 2": stopped_execution,
    "Access denied 1": denied_object,
    "Access denied 3": denied_credentials,
    "Timeout 2": late_state,
}


def test_each_symptom_of_the_page_is_provoked() -> None:
    assert symptoms().keys() == HERE.keys() | IN_ACCOUNT.keys()


@pytest.mark.parametrize("symptom", HERE)
def test_the_page_shows_what_is_printed(symptom: str, here: Here) -> None:
    printed = []
    for provoke in HERE[symptom]:
        shutil.rmtree("out", ignore_errors=True)
        here.before.clear()
        printed.append(provoke(here))
    assert_shown(symptoms()[symptom], "\n".join(printed))


# Below the tests that run the pipeline here: two mocked accounts would be in each other's way.
@pytest.fixture(scope="module")
def account() -> Iterator[Cloud]:
    with deployed_account() as account:
        yield account


@pytest.mark.parametrize("symptom", IN_ACCOUNT)
def test_the_page_shows_what_is_printed_of_an_account(
    symptom: str, account: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.forget_runs()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # so that no line is broken
    Path("positives.csv").write_text("name,ra,dec\na,10.0,-20.0\n")
    assert_shown(symptoms()[symptom], IN_ACCOUNT[symptom](account))
