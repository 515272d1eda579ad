"""Every kind of failure, provoked through the command line: it ends with the same block and its exit code."""

import ctypes
import json
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from conftest import CONFIGS
from published import publish
from usage import told

from lensneg.cli import cli, main
from lensneg.commands.run_failure import run_failure
from lensneg.local import worker
from lensneg.mocksky import write_mock_sky
from lensneg.schema.check import Check
from lensneg.schema.fan_out import FanOutSummary, PositiveCounts
from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles

RUN = "run --config negative_sampling_v1 --sweeps sky/sweeps --positives sky/positives.csv --out out"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small sky, a published run, and files that are no inputs."""
    folder = tmp_path_factory.mktemp("place")
    write_mock_sky(folder / "sky", files=2, rows=3_000, seed=31)
    publish(folder, "first")
    (folder / "prose.csv").write_text("It was a dark night.\nNo lens was seen.\n")
    (folder / "taken").touch()
    (folder / "locked").mkdir(mode=0o500)
    return folder


def lensneg(place: Path, words: str, before: Callable[[], None]) -> Ended:
    """The command in a process of its own, in which something is done before."""
    done = subprocess.run(
        [sys.executable, "-m", "lensneg", *shlex.split(words)],
        cwd=place,
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command in this process."""

    def run(words: str) -> Ended:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["lensneg", *shlex.split(words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def no_large_file() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def no_more_permission_than_others() -> None:
    """Take from root what lets it write everywhere (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP; refused to others, who lack it anyway


def in_the_sky(words: str) -> str:
    return RUN + " " + words


@pytest.mark.parametrize(
    ("words", "before", "code", "what", "faults"),
    [
        # The command line.
        ("run --no-such-option", None, 2, "lensneg run", "the command line: No such option '--no-"),
        ("nonsense", None, 2, "lensneg", "the command line: No such command 'nonsense'"),
        ("validate", None, 2, "lensneg validate", "the command line: Missing argument 'MANIFEST'"),
        # Inputs.
        (in_the_sky("--positives prose.csv"), None, 2, "lensneg run", "--positives {place}/prose.csv: "),
        (
            RUN.replace("sky/positives.csv", "sky/sweeps/sweep-000p005-005p010.fits"), None, 2, "lensneg run",
            "--positives {place}/sky/sweeps/sweep-000p005-005p010.fits: this is a sweep file, not a lens "
            "catalogue; name a catalogue of lenses here",
        ),
        (
            RUN.replace("sky/positives.csv", "gone.csv"), None, 2, "lensneg run",
            "--positives {place}/gone.csv: no such file; check the path",
        ),
        (
            RUN.replace("--out out", "--out taken/out"), None, 2, "lensneg run",
            "--out {place}/taken/out: it cannot be found (Not a directory); something on the way there",
        ),
        ("validate sky", None, 2, "lensneg validate", "{place}/sky: no published manifest there; give"),
        ("calibrate sky", None, 2, "lensneg calibrate", "{place}/sky: no published manifest there; give"),
        (
            "validate sky/sweeps/sweep-000p005-005p010.fits", None, 2, "lensneg validate",
            "or of another version of lensneg: it is not JSON (Invalid JSON: expected value at line 1 col",
        ),
        (
            RUN.replace("--config negative_sampling_v1", "--config v9"), None, 2, "lensneg run",
            "--config {place}/v9: no such file; correct its path, or name a shipped config: negative_sampl",
        ),
        (
            in_the_sky("--run-id 'a b'"), None, 2, "lensneg run",
            "the command line: Invalid value for '--run-id': 'a b': letters, digits, - and _, at most 63",
        ),
        (
            "rollback out second", None, 2, "lensneg rollback",
            "{place}/out: no published manifest of run second; name one of first",
        ),
        (
            "sweeps list --near gone.csv", None, 2, "lensneg sweeps list",
            "{place}/gone.csv: no such file; check the path",
        ),
        # The machine.
        (
            "export out --to csv --out tables", no_large_file, 3, "lensneg export",
            "{place}/tables/negatives.csv: the file would be larger than this process or file system allows "
            "(File too large); raise the limit",
        ),
        (
            "export out --to csv --out locked/tables", no_more_permission_than_others, 2, "lensneg export",
            "--out {place}/locked/tables: access is denied (Permission denied); give yourself the "
            "permission, or another folder",
        ),
        (
            "export out --to csv --out taken", None, 2, "lensneg export",
            "--out {place}/taken: a file; name a folder, which need not exist yet",
        ),
        (
            "export out --to csv --out /proc/x", None, 2, "lensneg export",
            "--out /proc/x: there is no such file or folder (No such file or directory); check the path",
        ),
        (
            RUN.replace("--out out", "--out /proc/x"), None, 2, "lensneg run",
            "--out /proc/x: there is no such file or folder (No such file or directory); check the path",
        ),
        (
            "mock-sky /proc/x --rows 500", None, 2, "lensneg mock-sky",
            "DIR /proc/x: there is no such file or folder (No such file or directory); check the path",
        ),
        (
            "init /proc/x", None, 2, "lensneg init",
            "DIR /proc/x: there is no such file or folder (No such file or directory); check the path",
        ),
        (
            "calibrate out", None, 2, "lensneg calibrate",
            "{place}/out/runs/first: no pool yet; name a run that has passed gate 2",
        ),
        (
            "sweeps fetch --near sky/positives.csv --to taken", None, 2, "lensneg sweeps fetch",
            "--to {place}/taken: a file; name a folder, which need not exist yet",
        ),
    ],
)  # fmt: skip
def test_a_failure_ends_with_its_block(
    place: Path, here: Any, words: str, before: Callable[[], None] | None, code: int, what: str, faults: str
) -> None:
    ended = lensneg(place, words, before) if before else here(words)
    assert ended.code == code, ended
    assert f"FAILED   {what}\n" in ended.err
    assert faults.format(place=place) in told(ended.err)
    assert "Errno" not in ended.err
    assert "Traceback" not in ended.err
    given = shlex.join(["lensneg", *shlex.split(words)])
    assert f"\ngo on    {what} --help\n" in ended.err or f"\ngo on    {given}\n" in ended.err


def test_a_handler_tells_an_error_of_the_operating_system_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(_event: object, _context: object) -> None:
        (tmp_path / "gone").read_bytes()

    monkeypatch.setattr("functions.report.handler", handler)
    error = worker.invoke("Report", "{}")["error"]
    why = "there is no such file or folder (No such file or directory); check the path"
    assert error == {"errorType": "FileNotFoundError", "errorMessage": f"{tmp_path}/gone: {why}"}


def test_json_holds_the_same_failure_and_nothing_else_is_on_standard_output(place: Path, here: Any) -> None:
    words = "validate sky -q --json"
    ended = here(words)
    fault = {
        "where": f"{place}/sky",
        "why": "no published manifest there",
        "remedy": "give an output folder, a run, a manifest's folder or its manifest.json",
    }
    assert json.loads(ended.out) == {
        "failure": {
            "what": "lensneg validate",
            "exit_code": 2,
            "faults": [fault],
            "command": f"lensneg {words}",
            "details": ["-v shows the traceback"],
        }
    }
    assert "sky: no published manifest there" in told(ended.err)
    assert json.loads(here("nonsense --json").out)["failure"]["exit_code"] == 2


def leaves(group: click.Group, words: str = "") -> Iterator[str]:
    """Every command, by its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{words}{name} ")
        else:
            yield f"{words}{name}"


@pytest.mark.parametrize("command", [*leaves(cli)])
def test_every_command_fails_with_one_json_object_and_its_keys_are_documented(
    here: Any, command: str
) -> None:
    for words in (f"{command} --no-such-option --json", f"{command} --json -q a b c d e f g"):
        ended = here(words)
        failure = json.loads(ended.out)["failure"]
        assert (ended.code, failure["exit_code"], failure["what"]) == (2, 2, f"lensneg {command}")
        assert told(ended.err)
    table = (
        (CONFIGS.parent / "docs/cli.md").read_text().partition("| command | keys |")[2].partition("\n\n")[0]
    )
    assert f"`{command}`" in table


def test_quiet_prints_nothing_unless_something_fails(here: Any) -> None:
    assert here("export out --to csv --out quiet -q") == (0, "", "")
    written = json.loads(here("export out --to csv --out quiet --json").out)
    assert (len(written["files"]), written["failure"]) == (4, None)


def failed_check(name: str, where: str = "") -> Check:
    return Check(name=name, passed=False, expected="two", actual="one", where=where, remedy="mend it")


def test_a_mini_test_that_failed_is_named_as_itself(tmp_path: Path) -> None:
    """Gate 1 of its run fails because of it, and is not at fault."""
    files, test = RunFiles(str(tmp_path), "one"), RunFiles(str(tmp_path), "one-test")
    Gate.of(1, [failed_check("mini_test_passed")]).write(files.gate(1))
    Gate.of(1, []).write(test.gate(1))
    Gate.of(2, [failed_check("rows_add_up", "b.json"), failed_check("n2_fraction")]).write(test.gate(2))
    failure = run_failure(files, "Gate1PreSubmission", "a cause", has_mini_test=True, command="go", logs="l")
    assert failure.what == "Gate2FanOutComplete of the mini-test one-test"
    assert (failure.exit_code, failure.command, failure.details) == (1, "go", (test.gate(2), "l"))
    assert told(failure.text()).splitlines() == [
        "b.json: rows_add_up: expected two, got one; mend it",
        "check n2_fraction: n2_fraction: expected two, got one; mend it",
    ]
    failure = run_failure(files, "Gate1PreSubmission", "a cause", command="go")
    assert failure.what == "Gate1PreSubmission of run one", "this run made no mini-test"


def test_each_item_that_failed_is_a_fault(tmp_path: Path) -> None:
    files = RunFiles(str(tmp_path), "one")
    Gate.of(1, []).write(files.gate(1))
    Gate.of(2, [failed_check("items_done")]).write(files.gate(2))
    assert "items_done: expected two" in run_failure(files, "Gate2FanOutComplete", "").text()
    missing = {f"sweep-{n}": f"/sky/sweep-{n}.fits: damaged; fetch it again" for n in range(7)}
    summary = {"items": 9, "items_done": 2, "missing": missing, "rows_in": 0, "rows_kept": 0, "cut": {}}
    summary |= {"n2_fraction": 0, "confusers": {}, "bytes_read": 0, "bytes_written": 0, "task_seconds": 0}
    summary |= {"positives": dict.fromkeys(PositiveCounts.model_fields, 0)}
    FanOutSummary.model_validate(summary).write(files.summary)
    failure = run_failure(files, "Gate2FanOutComplete", "")
    assert [fault.where for fault in failure.faults] == [f"item sweep-{n}" for n in range(7)]
    assert "item sweep-0: /sky/sweep-0.fits: damaged; fetch it again; mend it" in told(failure.text())
    assert "and 2 more, which --json names" in failure.text()


@pytest.mark.parametrize(
    ("error", "cause", "code"),
    [
        ("TransientError", '{"errorType": "TransientError", "errorMessage": "s3://a: busy"}', 3),
        ("Gate2FanOutComplete", "a: /disk/pool/a.parquet: No space left on device", 3),
        ("Gate3SampleComplete", "java.io.IOException: Disk quota exceeded", 3),
        ("Gate3SampleComplete", "too few rows", 1),
    ],
)
def test_a_run_that_broke_names_the_state(tmp_path: Path, error: str, cause: str, code: int) -> None:
    """A full disk breaks a run, whichever gate notices it."""
    files = RunFiles(str(tmp_path), "one")
    failure = run_failure(files, error, cause, state="PlanFanOut", command="go")
    assert (failure.what, failure.exit_code) == (f"{error} of run one", code)
    why = "s3://a: busy" if "busy" in cause else cause
    expected = f"{files.root}, state PlanFanOut: {why}; remove the cause, and give the command below"
    assert expected in told(failure.text())
