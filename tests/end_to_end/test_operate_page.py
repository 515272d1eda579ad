"""docs/operate.md shows what each command prints. The commands are run here, in an account with the stack
deployed, and the page's words are compared. ``…`` stands there for what differs. tests/aws/test_smoke.py has
the smoke test's."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from cloud import Cloud, InOrder, deployed_account
from published import publish
from test_documented_commands import blocks, put_manifest
from test_recovery_page import assert_shown

from lensneg import storage
from lensneg.cli import cli
from lensneg.commands import common

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"


def shown() -> list[tuple[list[str], str]]:
    """The page's command lines, with what is printed below them; without those of the smoke test."""
    found: list[tuple[list[str], str]] = []
    commands: list[str] = []
    for _, language, block in blocks(PAGE.read_text()):
        if language == "sh":
            commands = [re.sub(r"\s+#.*", "", line) for line in block]
        elif language == "text" and not commands[0].startswith(("lensneg aws smoke", "sam local")):
            found.append((commands, "\n".join(block)))
    return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with deployed_account() as cloud, pytest.MonkeyPatch.context() as patch:
        make = boto3.client
        in_order = ("lambda", "iam", "service-quotas")
        patch.setattr(
            boto3, "client", lambda *a, **k: InOrder() if a[:1] and a[0] in in_order else make(*a, **k)
        )
        patch.setattr(cloud.emr, "get_application", InOrder().get_application, raising=False)
        storage.write_bytes("s3://sky/sweeps/sweep-000p005-005p010.fits", b"x")
        storage.write_bytes("s3://sky/code/job.py", b"x")
        folder = tmp_path_factory.mktemp("published")
        put_manifest(Path(publish(folder, "first").manifest_folder), "s3://sky/out/manifests/first")
        cloud.emr.go_on.set()
        yield cloud


def test_the_page_shows_what_the_commands_print(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for screen in (common.console, common.notes, common.errors):
        monkeypatch.setattr(screen, "_width", 160)
    for name in ("lenses.csv", "others.csv"):
        Path(name).write_text("name,ra,dec\na,1.5,6.5\n")
    pairs = shown()
    assert [commands[0].split()[1:3] for commands, _ in pairs] == [
        ["aws", "preflight"], ["aws", "start"], ["aws", "watch"], ["aws", "download"], ["cost"],
    ]  # fmt: skip
    for commands, text in pairs:
        result = CliRunner().invoke(cli, shlex.split(commands[0])[1:])
        assert result.exit_code == 0, result.output
        assert_shown(text, result.stdout + result.stderr)


def test_the_figures_of_the_first_table_are_those_of_the_model() -> None:
    """The dollars and minutes of a run: all of DR10 with 1,000 functions and with 10, and a mini-test."""
    page = PAGE.read_text()
    totals = {}
    for concurrency in ("1000", "10"):
        out = CliRunner().invoke(cli, ["cost", "--concurrency", concurrency]).stdout
        [(seconds, usd)] = re.findall(r"total, estimated +([\d,]+) +([\d.]+)", out)
        [mini_test] = re.findall(r"mini-test ([\d.]+) USD", out)
        totals[concurrency] = float(seconds.replace(",", "")), float(usd) + float(mini_test)
    many, few = (round(totals[name][0] / 60 + 3) for name in ("1000", "10"))
    assert f"{many} min with 1,000 functions at a time, {few} min with 10 | {totals['1000'][1]:.2f} |" in page
