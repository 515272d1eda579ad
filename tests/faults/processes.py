"""The real command line as a child process: started, watched, killed, and looked for in the process table."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

#: A child and all its children carry it in their environment, so that none can hide.
MARK = "LENSNEG_FAULT_MARK"


def _heed_signals() -> None:
    """Undo what tests inherit: the background of a shell ignores SIGINT, and nohup SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Process:
    """A ``lensneg run`` under way, with all its children.

    Parameters
    ----------
    request : dict
        The run; only ``started_at`` cannot be given on the command line.
    log : Path
        Where its output goes.
    """

    def __init__(self, request: dict[str, Any], log: Path, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.log = log
        command = [sys.executable, "-m", "lensneg", "run", "--workers", "2"]
        for option in ("config", "sweeps", "out", "mode"):
            command += [f"--{option}", request[option]]
        command += ["--run-id", request["run_id"]]
        for spec in request["positives"]:
            command += ["--positives", spec["uri"] if isinstance(spec, dict) else spec]
        self.started_ns = time.time_ns()
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, MARK: self.mark, **environment},
                start_new_session=True,
                preexec_fn=_heed_signals,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = 300) -> None:
        """Wait until the command has said something."""
        deadline = time.monotonic() + seconds
        while text not in self.output():
            assert time.monotonic() < deadline, f"{text!r} never came: {self.output()}"
            assert self.popen.poll() is None, self.output()
            time.sleep(0.01)

    def family(self, kind: str = "") -> list[int]:
        """The run's processes: all, or of a kind: parent, engine (the
        child that makes it), worker, driver (Java), script (its Python)."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit() or mark not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    continue
                words = (entry / "cmdline").read_bytes()
            except (OSError, ValueError):
                continue
            kinds = {
                "parent": int(entry.name) == self.popen.pid,
                "worker": b"worker.py" in words,
                "engine": b"run_process" in words,
                "driver": words.split(b"\0")[0].endswith(b"/java") and b"SparkSubmit" in words,
                "script": b"python" in words.split(b"\0")[0] and b"spark_driver" in words,
            }
            if not kind or kinds[kind]:
                found.append(int(entry.name))
        return found

    def kill(self, kind: str, chance: random.Random) -> int:
        """Kill -9 what is there of a kind, one of them, or, of the kind ``whole``, all.

        Returns
        -------
        int
            How many processes the signal reached.
        """
        pids = self.family("" if kind == "whole" else kind)
        if kind != "whole" and pids:
            pids = [chance.choice(pids)]
        reached = 0
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                reached += 1
            except ProcessLookupError:
                pass
        return reached

    def gone(self, seconds: float = 15) -> bool:
        """Wait until none of the processes is left."""
        deadline = time.monotonic() + seconds
        while self.popen.poll() is None or self.family():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True
