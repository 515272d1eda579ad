"""Standard output and standard error without a reader, closed or full: no result depends on who looks on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

PROGRAM = """
import sys
from lensneg.commands.streams import use_patient_streams
from lensneg.commands.common import console, complain, say, show
use_patient_streams()
try:
    for number in range(3):
        show(f"result {number}")
        console.print("a table")
        say("remark")
        complain("error")
    sys.stdout and sys.stdout.flush()
except Exception as error:
    open(sys.argv[1], "w").write(str(error))
    sys.exit(3)
sys.exit(7)
"""


def without_reader() -> IO[bytes]:
    """The end of a pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "wb")


def run(stdout: IO[bytes] | int, stderr: IO[bytes] | int, said: Path) -> int:
    command = [sys.executable, "-c", PROGRAM, str(said)]
    return subprocess.run(command, stdout=stdout, stderr=stderr, timeout=60).returncode


def test_a_reader_that_goes_away_changes_no_exit_code(tmp_path: Path) -> None:
    said = tmp_path / "said"
    for number in range(3):
        with without_reader() as gone, (tmp_path / "rest").open("wb") as rest:
            streams = [(gone, rest), (rest, gone), (gone, gone)][number]
            assert run(*streams, said) == 7
    assert not said.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_remarks_may_be_lost_on_a_full_disk_and_results_may_not(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with open("/dev/full", "wb") as full:
        assert run(subprocess.DEVNULL, full, said) == 7
        assert not said.exists()
        assert run(full, subprocess.DEVNULL, said) == 3
    assert said.read_text().startswith("standard output: No space left on device; ")


def test_a_closed_stream_does_not_give_its_number_to_a_file(tmp_path: Path) -> None:
    program = PROGRAM.replace(
        "try:", "print(open('/dev/null').fileno(), file=open(sys.argv[1], 'w'))\ntry:", 1
    )
    command = 'exec "$@" >&- 2>&-'
    words = [sys.executable, "-c", program, str(tmp_path / "number")]
    assert subprocess.run(["sh", "-c", command, "sh", *words], timeout=60).returncode == 7
    assert int((tmp_path / "number").read_text()) > 2


def test_a_character_that_the_encoding_lacks_is_printed_as_its_number(tmp_path: Path) -> None:
    program = PROGRAM.replace('"a table"', '"\\udce9 \\u2503"')
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "said")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 7, (tmp_path / "said").read_text()
    assert "\\udce9 \\u2503" in done.stdout


def test_ctrl_c_while_modules_are_imported_ends_the_command_without_a_traceback() -> None:
    program = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "lensneg.commands.sweeps":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from lensneg.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")
