"""Names of files and columns may hold control characters. A terminal never gets them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.markup import escape

from lensneg.commands import common

#: What a terminal acts on, but line ends, and rich's own codes of colours and styles.
RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
STYLE = re.compile(r"\x1b\[[\d;]*m")
EVERY = "".join(map(chr, [*range(32), *range(127, 160)])) + "\x1b]0;title\x07\x1b[2J"


def run(arguments: list[str]) -> tuple[int, str]:
    """The exit code and all output of a command that believes to write to a terminal."""
    ended = subprocess.run(
        [sys.executable, "-m", "lensneg", *arguments],
        capture_output=True,
        env={"FORCE_COLOR": "1"},
        check=False,
    )
    return ended.returncode, (ended.stdout + ended.stderr).decode()


def test_a_message_about_a_column_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "esc\x1b[31m\x9b.csv"
    path.write_bytes(b"na\x1b[31mme,r\x1b]0;title\x07a,decl\nL1,1,2\n")
    code, text = run(["sweeps", "list", "--near", str(path)])
    assert code == 2
    assert not RAW.search(STYLE.sub("", text)), repr(text)
    assert r"na\x1b[31mme" in text
    assert r"esc\x1b[31m\x9b.csv" in text
    code, text = run(["sweeps", "li\x1b[31mst"])
    assert code == 2
    assert r"li\x1b[31mst" in text


@pytest.mark.parametrize("console", ["console", "notes", "errors"])
def test_every_console(console: str) -> None:
    one: Console = getattr(common, console)
    table = common.plain_table(EVERY, EVERY)
    table.add_row(escape(EVERY))
    with one.capture() as printed:
        one.print(EVERY, markup=False, soft_wrap=True)
        one.print(table)
    assert not RAW.search(STYLE.sub("", printed.get()))
    assert r"\x1b[2J" in printed.get()


def test_json_keeps_every_character_as_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_json({EVERY: EVERY})
    text = capsys.readouterr().out
    assert not RAW.search(text)
    assert json.loads(text) == {EVERY: EVERY}
