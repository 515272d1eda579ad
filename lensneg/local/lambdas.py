"""Lambda on one machine: the handlers of ``functions/`` in worker processes."""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from lensneg.local import worker
from lensneg.schema.resources import PACKAGE, ROOT

_log = logging.getLogger(__name__)

#: The time that the state machine waits for a task, and the longest time that a function may run on AWS.
_TIMEOUT_SECONDS: Final = 900.0

#: What to do about a process that the system killed.
_MEMORY_REMEDY: Final = "out of memory? free some, or take fewer --workers"


class Invocation(NamedTuple):
    """The outcome of an invocation: a result, or an error in Lambda's form."""

    result: Any = None
    error: dict[str, str] | None = None


def map_concurrency(workers: int) -> int:
    """Return how many items of a map the state machine should start at once.

    One item more than there are processes waits for a free one. Without it, each process would wait for the
    state machine's interpreter after each item.
    """
    return workers + 1


class WorkerLostError(Exception):
    """The process of a handler has ended, or must be ended; with Lambda's error type and message."""


class Worker:
    """A worker process. It is started when it is first needed.

    Parameters
    ----------
    number : int
        Of the free workers, that of the lowest number is taken.
    environment : dict of str to str
    log : Path
        The file of its log.
    """

    #: The program that the process runs.
    program: str = worker.__file__

    def __init__(self, number: int, environment: dict[str, str], log: Path) -> None:
        self._number, self._environment, self._log = number, environment, log
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        #: Is set when the process has imported what the map needs; see :meth:`warm_up`.
        self.ready = threading.Event()

    def __lt__(self, other: "Worker") -> bool:
        return self._number < other._number

    def start(self) -> subprocess.Popen[str]:
        """Start the process, unless it is running."""
        with self._lock:
            if self.process is None:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", self.program, str(PACKAGE.parent), str(ROOT), str(self._log)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    env=self._environment,
                )
                threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()
            return self.process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Read the process's log records and answers."""
        assert process.stdout is not None
        for line in process.stdout:
            value = json.loads(line)
            if "log" in value:
                name, level, message = value["log"]
                logging.getLogger(name).log(level, "%s", message)
            elif "ready" in value:
                self.ready.set()
            else:
                self._answers.put(value)
        self._answers.put(None)

    def warm_up(self) -> threading.Event:
        """Make the process import what the map needs. The event is set when it has done so."""
        self._send("", "")
        return self.ready

    def _send(self, function_name: str, body: str) -> None:
        stdin = self.start().stdin
        assert stdin is not None
        stdin.write(json.dumps([function_name, body]) + "\n")
        stdin.flush()

    def call(self, function_name: str, body: str, seconds: float) -> Invocation:
        """Run a handler.

        Raises
        ------
        WorkerLostError
            If the process ends, or the handler takes longer than ``seconds``.
        """
        try:
            self._send(function_name, body)
            answer = self._answers.get(timeout=seconds)
        except BrokenPipeError as error:
            raise WorkerLostError("Runtime.ExitError", self._how_it_ended(function_name)) from error
        except queue.Empty:
            late = f"{function_name} took more than {seconds:g} s and was ended"
            raise WorkerLostError("Sandbox.Timedout", late) from None
        if answer is None:
            raise WorkerLostError("Runtime.ExitError", self._how_it_ended(function_name))
        return Invocation(**answer)

    def _how_it_ended(self, function_name: str) -> str:
        """Return how the process ended, and what to do."""
        code = self.start().wait()
        if code == -signal.SIGKILL:
            return f"the system killed the process that ran {function_name} (SIGKILL): {_MEMORY_REMEDY}"
        return f"the process that ran {function_name} ended with exit code {code}; its log is {self._log}"

    def end(self) -> None:
        """Kill the process, if it was started."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class LocalLambda:
    """Invoke handlers in processes, each of which runs one handler at a time.

    If a process ends, or takes too long and is killed, its invocation fails. Another process replaces it.

    Parameters
    ----------
    workers : int
        The number of processes. A process is started when it is needed, or by :meth:`warm_up`. The first of
        those that are free is taken, so tasks that follow each other run in one, which imports things once.
    log_folder : Path
        The folder of the processes' logs.
    on_done : callable, optional
        Called with a function's name, its event and the :class:`Invocation` after each invocation, in the
        thread that invoked it.
    timeout_seconds : float
        The longest time that an invocation may take.
    environment : mapping of str to str, optional
        The environment of the processes; by default that of this process.
    """

    def __init__(
        self,
        workers: int,
        log_folder: Path,
        on_done: Callable[[str, Any, Invocation], None] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self.timeout_seconds = timeout_seconds
        self._on_done = on_done
        self._log_folder = log_folder
        # A copy: moto will put dummy credentials into this process's environment, and sweeps may lie in S3.
        self._environment = dict(os.environ if environment is None else environment)
        self._lock = threading.Lock()
        self._stopped = False
        self._started = 0
        self._all: set[Worker] = set()
        self._free: queue.PriorityQueue[Worker] = queue.PriorityQueue()
        for _ in range(workers):
            self._free.put(self._new_worker())

    def _new_worker(self) -> Worker:
        self._started += 1
        log = self._log_folder / f"worker-{self._started}.log"
        fresh = Worker(self._started, self._environment, log)
        self._all.add(fresh)
        return fresh

    def warm_up(self) -> list[threading.Event]:
        """Start all processes, and make them import what the map needs while other tasks run.

        Returns
        -------
        list of threading.Event
            Set when the processes are ready. There is no need to wait: invocations do.
        """
        return [each.warm_up() for each in list(self._all)]

    def invoke(self, function_name: str, body: str) -> Invocation:
        """Run a handler and wait for it."""
        mine = self._free.get()
        try:
            invocation = self._run(mine, function_name, body)
        except WorkerLostError as lost:
            kind, message = lost.args
            invocation = Invocation(error={"errorType": kind, "errorMessage": message})
            mine = self._replace(mine)
        finally:
            self._free.put(mine)
        if self._on_done is not None:
            self._on_done(function_name, json.loads(body), invocation)
        return invocation

    def _run(self, mine: Worker, function_name: str, body: str) -> Invocation:
        return mine.call(function_name, body, self.timeout_seconds)

    def _replace(self, lost: Worker) -> Worker:
        """Return the process that replaces a lost one. After :meth:`stop` that is the lost one itself."""
        _log.warning("another process takes the place of one that was lost or took too long")
        with self._lock:
            if self._stopped:
                return lost
            lost.end()
            self._all.discard(lost)
            return self._new_worker()

    def stop(self) -> None:
        """Kill all worker processes. Every invocation after that fails."""
        with self._lock:
            self._stopped = True
            workers = list(self._all)
        for each in workers:
            each.end()
