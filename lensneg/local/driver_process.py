"""The process of a Spark driver, as the local EMR Serverless sees it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from lensneg.local import spark_driver

#: The time that a driver gets to end Java, which removes its scratch files.
_SECONDS_TO_END: Final = 15


class Ended(NamedTuple):
    """How an order ended: whether its job began, and the exit code, which is 0 if the job succeeded."""

    began: bool
    code: int


class Driver:
    """A process of ``spark_driver.py``. It takes one job after the other, until one fails.

    Parameters
    ----------
    submit_parameters : str
        Options of spark-submit, which hold for all of its jobs.
    environment : mapping of str to str
    folder : Path
        Its working folder. A JVM that crashes writes files there.

    Attributes
    ----------
    made_for : tuple
        The options and the environment. A job with others needs another driver.
    """

    def __init__(self, submit_parameters: str, environment: Mapping[str, str], folder: Path) -> None:
        self.made_for = (submit_parameters, dict(environment))
        self._process = subprocess.Popen(
            [sys.executable, "-P", spark_driver.__file__],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # it is closed when this process ends, which ends the driver
            text=True,
            errors="replace",
            # PySpark gives these to spark-submit.
            env={**environment, "PYSPARK_SUBMIT_ARGS": f"{submit_parameters} pyspark-shell"},
            cwd=folder,
            start_new_session=True,  # the JVM and its Python end together
        )

    def warm_up(self) -> None:
        """Let it start Java, before there is a job."""
        self._order({})

    def _order(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ValueError):  # it has ended: the end of its output tells
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def run(self, job: str, submit: Mapping[str, Any], on_line: Callable[[str], None]) -> Ended:
        """Run a job to its end.

        Parameters
        ----------
        job : str
            The id of the job.
        submit : mapping
            Its ``entryPoint`` and ``entryPointArguments``.
        on_line : callable
            Called with each line that the job and Java print. Lines from before the job are not its own.
        """
        assert self._process.stdout is not None
        arguments = submit.get("entryPointArguments", [])
        self._order({"job": job, "entry_point": submit["entryPoint"], "arguments": arguments})
        began = False
        for line in self._process.stdout:
            if line.endswith(f"{spark_driver.succeeded(job)}\n"):
                return Ended(True, 0)
            if began:
                on_line(line)
            began = began or line.endswith(f"{spark_driver.begins(job)}\n")
        return Ended(began, self._process.wait())

    def close(self) -> None:
        """Ask it to end. A job that is under way is killed."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> None:
        """End it, and wait for its end."""
        self.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
