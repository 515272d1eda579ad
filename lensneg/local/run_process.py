"""A run in a process of its own.

A run patches boto3, sets variables and starts processes. In a process of its own it leaves the caller's
environment, signal handlers and boto3 sessions as they are, so a script, a notebook or a thread can call it.
The process reads the request from its standard input. It writes log records, progress and the outcome
to its standard output, one line of JSON each. When its input is closed, it ends itself and all processes that
it started.
"""

import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

from lensneg import errors
from lensneg.errors import LensnegError, RunStateError
from lensneg.local.environment import engine_environment, worker_environment
from lensneg.local.logs import log_folder
from lensneg.local.machine import raise_limit, scratch_folder
from lensneg.local.stream import Stream
from lensneg.local.watcher import BestEffort, Outcome, Watcher
from lensneg.local.worker import LineHandler, write_line
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.resources import PACKAGE
from lensneg.storage.local import make_writable

#: The time that the process gets to end all processes that it started.
_SECONDS_TO_END: Final = 20

#: The program of the process. Its argument is the folder of the package, which may not be installed. At
#: its end Python would take half a second to free what moto holds.
_PROGRAM: Final = (
    "import os, sys; sys.path[:0] = sys.argv[1:2]; from lensneg.local.run_process import main; main(); "
    "sys.stderr.flush(); os._exit(0)"
)


def run_in_process(
    request: RunRequest, workers: int, watcher: Watcher, *, stream: Stream | None = None
) -> Outcome:
    """Execute the state machine for a request, in a process of its own.

    Parameters
    ----------
    request : RunRequest
    workers : int
        Processes of the map, and cores of the Spark job.
    watcher : Watcher
    stream : Stream, optional
        How sweep files on a web server are fetched.

    Raises
    ------
    InputError
        If the output folder cannot be written to.
    LensnegError
        The errors of :func:`lensneg.local.runner.run_locally`, and RunStateError if the process is lost.
    """
    watcher = BestEffort(watcher)
    files = RunFiles(request.out, request.run_id)
    log = log_folder(files) / "run.log"
    make_writable(log, f"--out {request.out}")
    command = [sys.executable, "-P", "-c", _PROGRAM, str(PACKAGE.parent)]
    with (
        _scratch(request.out) as scratch,
        log.open("ab") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            env=engine_environment(os.environ) | scratch,
            start_new_session=True,  # Ctrl-C reaches the caller alone, which then ends the run
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            level = logging.getLogger("lensneg").getEffectiveLevel()
            order = [request.model_dump(mode="json"), workers, worker_environment(os.environ), level, stream]
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            for line in _lines(process.stdout):
                kind, value = json.loads(line).popitem()
                if kind == "log":
                    name, level, message = value
                    logging.getLogger(name).log(level, "%s", message)
                elif kind == "outcome":
                    return Outcome(**value, files=files)
                elif kind == "error":
                    name, what, where, remedy = value
                    raise getattr(errors, name)(what, where=where, remedy=remedy)
                else:
                    getattr(watcher, kind)(*value)
        finally:
            _end(process)
    raise RunStateError(
        f"the run's process ended with exit code {process.returncode}",
        where=str(log),
        remedy="read its last lines; the same run id continues the run",
    )


@contextmanager
def _scratch(out: str) -> Iterator[dict[str, str]]:
    """Name the folder for scratch files where that of the system is of no use, and remove it at the end."""
    folder = scratch_folder(os.environ, out)
    if folder == tempfile.gettempdir():
        yield {}
        return
    own = tempfile.mkdtemp(prefix=f"{Path(folder).name}-", dir=Path(folder).parent)
    try:
        yield {"TMPDIR": own}
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _lines(stream: IO[str]) -> Iterator[str]:
    """Iterate over a stream's lines. A thread reads them, so a caller that waits does not stop the writer."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with suppress(ValueError):  # the caller has ended, and closed it
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return iter(lines.get, None)


def _end(process: subprocess.Popen[str]) -> None:
    """Close the process's input, which ends the run, and wait for its end."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended before it read the request
        process.stdin.close()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


class _ParentWatcher:
    """A watcher that writes to the parent process."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def __getattr__(self, name: str) -> Any:
        return lambda *values: write_line(self._out, {name: values})


def _end_with_parent() -> None:
    """Interrupt the run when the input is closed."""
    while sys.stdin.readline():
        pass
    signal.raise_signal(signal.SIGINT)


def main() -> None:
    """Read a request from the standard input, and run it."""
    from lensneg.local.runner import run_locally  # imports botocore, which the caller's process need not do

    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # all other output goes to the log
    request, workers, environment, level, stream = json.loads(sys.stdin.readline())
    library = logging.getLogger("lensneg")
    library.setLevel(level)
    library.addHandler(LineHandler(out))
    # The workers log at this level, too, and at least at INFO, for their own log files.
    environment["POWERTOOLS_LOG_LEVEL"] = logging.getLevelName(min(level, logging.INFO))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # a cluster sends it to every process: the caller ends this one
        signal.signal(number, signal.SIG_IGN)
    raise_limit()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        request = RunRequest.model_validate_json(json.dumps(request))
        outcome = run_locally(
            request, workers, _ParentWatcher(out), environment, stream=stream and Stream(*stream)
        )
    except LensnegError as error:
        write_line(out, {"error": [type(error).__name__, error.what, error.where, error.remedy]})
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends this process when it has the outcome
        write_line(out, {"outcome": {k: v for k, v in asdict(outcome).items() if k != "files"}})
