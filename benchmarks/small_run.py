"""A small run: `lensneg run` on four small files, with its mini-test and without; and its Spark driver.

The two take turns. Measured are the seconds of the whole command, those to its first line, and the highest
resident set of the driver's Java.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import harness
from harness import BenchmarkError, ratio, spread, take_turns


def java_of(process: int) -> list[int]:
    """Return the process ids of Java below a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    below, grown = {process}, True
    while grown:
        more = {int(pid) for pid, parent, _ in rows if int(parent) in below} - below
        below, grown = below | more, bool(more)
    found = [int(pid) for pid, _, name in rows if int(pid) in below and name.startswith("java")]
    return [
        pid for pid in found if b"SparkSubmit" in command_line(pid) and b"launcher" not in command_line(pid)
    ]


def command_line(pid: int) -> bytes:
    """Return the words of a process; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Command:
    """A run of the command line, and what was seen of it."""

    def __init__(self, sky: Path, config: Path, out: Path, mode: str) -> None:
        shutil.rmtree(out, ignore_errors=True)
        inputs = ["--sweeps", str(sky / "sweeps"), "--positives", str(sky / "positives.csv")]
        words = ["run", "--config", str(config), *inputs, "--out", str(out), "--mode", mode]
        begun, self.java_bytes, self.starts_of_java = time.perf_counter(), 0, set[int]()
        command = [sys.executable, "-m", "lensneg", *words]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            process.stderr.readline()
            self.first_line = time.perf_counter() - begun
            threading.Thread(target=process.stderr.read, daemon=True).start()
            while process.poll() is None:
                for pid in java_of(process.pid):
                    with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
                        self.java_bytes = max(self.java_bytes, harness.memory("VmHWM", pid))
                        self.starts_of_java.add(pid)
                with suppress(subprocess.TimeoutExpired):  # often enough: to look takes time from the run
                    process.wait(0.5)
        self.seconds = time.perf_counter() - begun
        if process.returncode:
            raise BenchmarkError(f"lensneg run --mode {mode} ended with {process.returncode}")
        if len(self.starts_of_java) != 1:
            raise BenchmarkError(f"lensneg run --mode {mode} started Java {len(self.starts_of_java)} times")


def measure(quick: bool) -> dict[str, Any]:
    """Run all of this module's measurements."""
    sky, out = harness.mock_sky(4, 150_000), harness.SCRATCH / "small"
    config = harness.edited_config(out / "config.yaml", mini_test_files=4)
    noting = Command(sky, config, out / "noted", "full")  # gate 1 asks for no mini-test of four files
    made: dict[str, list[Command]] = {"full": [], "test-then-full": []}

    def run(mode: str) -> float:
        files = 4 if mode == "full" else 2
        chosen = harness.edited_config(out / f"{mode}.yaml", mini_test_files=files)
        made[mode].append(Command(sky, chosen, out / mode, mode))
        return made[mode][-1].seconds

    modes = {mode: (lambda mode=mode: run(mode)) for mode in made}
    times = take_turns(modes, 2 if quick else 5, "a run of four small files")
    commands = [noting, *made["full"], *made["test-then-full"]]
    return {
        "seconds": {mode: spread(times[mode]) for mode in made},
        "ratio": ratio(times, "test-then-full", "full"),
        "first_line_seconds": spread([command.first_line for command in commands]),
        "java_peak_rss": max(command.java_bytes for command in commands),
    }


if __name__ == "__main__":
    options = harness.arguments(__doc__.partition("\n")[0])
    harness.report(measure(options.quick), options.out)
