"""All commands, whatever they do: each has a full help with an example, the options that all have, and the
exit codes that the help of lensneg promises."""

import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from usage import parses

from lensneg import cli as module
from lensneg.cli import cli, main
from lensneg.commands.common import EXIT_CODES
from lensneg.errors import InputError, RunStateError

DOCS = Path(__file__).parents[2] / "docs"


def walk(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from walk(below, (*path, name))


COMMANDS = dict(walk(cli))
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


@pytest.fixture(autouse=True)
def no_log_for_later_tests() -> Iterator[None]:
    """-v lets lensneg log to standard error; tests that come later read that."""
    library = logging.getLogger("lensneg")
    handlers, level = library.handlers[:], library.level
    yield
    library.handlers[:] = handlers
    library.setLevel(level)


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["lensneg", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_commands_are_there() -> None:
    expected = {"mock-sky", "run", "cost", "reproduce", "export", "completion"}
    expected |= {"sweeps list", "sweeps fetch", "sweeps verify"}
    assert expected <= {" ".join(path) for path in LEAVES}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_complete_and_has_an_example(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(monkeypatch, capsys, *path, "--help")
    assert code == 0
    text = " ".join(out.split())
    assert re.search(rf"Example: lensneg {' '.join(path)}", text) or path == ()
    assert "Example: lensneg" in text
    assert r"\b" not in out, "click's mark of a paragraph that keeps its line breaks is one character"
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.opts}: no help"
            assert parameter.opts[-1] in out


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_example_is_a_command_that_lensneg_takes(path: tuple[str, ...]) -> None:
    example = (COMMANDS[path].help or "").partition("Example: ")[2].replace("\\\n", " ")
    commands = [text.split(">")[0] for text in re.split(r"\blensneg (?=[a-z])", example)[1:]]
    assert commands
    for text in commands:
        parses(shlex.split(text))


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_the_options_of_all(path: tuple[str, ...]) -> None:
    options = {option for parameter in LEAVES[path].params for option in parameter.opts}
    assert {"-q", "--quiet", "-v", "--verbose", "--json"} <= options


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_an_unknown_option_is_bad_usage(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, *path, "--no-such-option")
    assert code == 2
    assert "no-such-option" in err
    assert out == ""


def test_the_help_and_the_docs_name_the_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(monkeypatch, capsys, "--help")
    document = (DOCS / "cli.md").read_text()
    assert set(EXIT_CODES) == {0, 1, 2, 3, 130}
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{code}  {meaning}", out, re.MULTILINE)
        assert f"| {code} | {meaning} |" in document


def test_the_docs_name_every_command() -> None:
    document = (DOCS / "cli.md").read_text()
    for path in LEAVES:
        assert f"lensneg {' '.join(path)}" in document


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("what is wrong"), 2),
        (RunStateError("what is wrong"), 3),
        (OSError("what is wrong"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_ends_with_its_code_and_no_traceback(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(LEAVES["cost",], "callback", fail)
    found, out, err = run(monkeypatch, capsys, "cost")
    assert (found, out) == (code, "")
    assert "Traceback" not in err
    assert "what is wrong" in err or code == 130
    if code != 130:
        assert "Traceback" in run(monkeypatch, capsys, "cost", "-v")[2]
        assert "what is wrong" in run(monkeypatch, capsys, "cost", "-q")[2], "-q hides no error"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    script = subprocess.run(
        [sys.executable, "-m", "lensneg", "completion", shell], capture_output=True, text=True, check=True
    ).stdout
    assert "_LENSNEG_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_the_shell_is_told_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_LENSNEG_COMPLETE", "bash_complete")
    for words, index, expected in (
        ("lensneg sw", "1", "plain,sweeps"),
        ("lensneg sweeps f", "2", "plain,fetch"),
        ("lensneg run --mo", "2", "plain,--mode"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", index)
        assert expected in run(monkeypatch, capsys, *words.split()[1:])[1].split()


def test_help_imports_what_it_needs_and_no_more() -> None:
    """Each of these takes a good part of the 0.3 s that the help may take."""
    heavy = ["pyspark", "moto", "astropy", "healpy", "pyarrow", "requests", "boto3", "botocore", "numpy"]
    heavy += ["pydantic", "yaml", "matplotlib", "rich.progress", "rich.live", "rich.logging"]
    probe = f"import sys, json, lensneg.cli; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == []
    assert module.main is main
