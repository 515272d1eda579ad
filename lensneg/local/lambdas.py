"""Lambda on one machine: the real handlers of ``functions/`` in worker processes."""

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

#: As long as the state machine waits for a task, and the longest that AWS lets a function run.
_TIMEOUT_SECONDS: Final = 900.0


class Invocation(NamedTuple):
    """What an invocation came to: a result, or an error as Lambda reports it."""

    result: Any = None
    error: dict[str, str] | None = None


def map_concurrency(workers: int) -> int:
    """Return how many items of a map to have under way for so many processes.

    One more than there are processes waits for the first that is free: otherwise each would wait, item after
    item, for the interpreter of the state machine.
    """
    return workers + 1


class WorkerLostError(Exception):
    """The process that ran a handler has ended."""


class Worker:
    """A worker process, started when it is first needed.

    Parameters
    ----------
    environment : mapping of str to str
    log_folder : Path
        Where it keeps its log.
    number : int
        Of the log.
    """

    #: The program that the process runs.
    program: str = worker.__file__

    def __init__(self, environment: Mapping[str, str], log_folder: Path, number: int) -> None:
        self._environment, self._log = dict(environment), log_folder / f"worker-{number}.log"
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        #: Set once the process has imported what the map needs; see :meth:`warm_up`.
        self.ready = threading.Event()

    def start(self) -> subprocess.Popen[str]:
        """Start the process, if it is not running yet."""
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
        """Take what the process says: its log records, and its answers."""
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "log" in told:
                name, level, message = told["log"]
                logging.getLogger(name).log(level, "%s", message)
            elif "ready" in told:
                self.ready.set()
            else:
                self._answers.put(told)
        self._answers.put(None)

    def warm_up(self) -> threading.Event:
        """Let the process import what the map needs; return what is set when it has."""
        self._send("", "")
        return self.ready

    def _send(self, function_name: str, body: str) -> None:
        stdin = self.start().stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps([function_name, body]) + "\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise WorkerLostError("it has ended") from error

    def call(self, function_name: str, body: str, seconds: float) -> Invocation:
        """Run a handler.

        Raises
        ------
        TimeoutError
            If it takes longer than ``seconds``.
        WorkerLostError
            If the process ends.
        """
        self._send(function_name, body)
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if answer is None:
            raise WorkerLostError(f"exit code {self.start().wait()}")
        return Invocation(**answer)

    def end(self, number: signal.Signals) -> None:
        """End the process by a signal, and with -9 where that is not enough."""
        process = self.process
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class LocalLambda:
    """Invokes handlers, each in a process that does one thing at a time, as a Lambda sandbox does.

    A process that is lost, or that takes too long and is killed for it, costs the invocation that it was at
    and no other; another process takes its place.

    Parameters
    ----------
    workers : int
        Processes. None is started before it is needed or :meth:`warm_up` is called, and one that has worked
        is taken first.
    log_folder : Path
        Where each process keeps its log.
    on_done : callable, optional
        Called with a function's name, its event and the :class:`Invocation` after each invocation, in the
        thread that invoked it.
    timeout_seconds : float
        How long an invocation may take.
    environment : mapping of str to str, optional
        Of the processes; by default that of this one.
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
        self.workers = workers
        self.timeout_seconds = timeout_seconds
        self._on_done = on_done
        self._log_folder = log_folder
        # Taken before moto puts its dummy credentials there: sweeps may well lie in a real bucket.
        self._environment = dict(os.environ if environment is None else environment)
        self._lock = threading.Lock()
        self._stopped = False
        self._started = 0
        self._all: set[Worker] = set()
        self._free: queue.LifoQueue[Worker] = queue.LifoQueue()
        for _ in range(workers):
            self._free.put(self._new_worker())

    def _new_worker(self) -> Worker:
        self._started += 1
        fresh = Worker(self._environment, self._log_folder, self._started)
        self._all.add(fresh)
        return fresh

    def warm_up(self) -> list[threading.Event]:
        """Start all processes, and let them import what the map needs while others are at work.

        Returns
        -------
        list of threading.Event
            Set when the processes are ready. Nobody has to wait: an invocation does.
        """
        return [each.warm_up() for each in list(self._all)]

    def invoke(self, function_name: str, body: str) -> Invocation:
        """Run a handler and wait for it."""
        mine = self._free.get()
        try:
            invocation = self._run(mine, function_name, body)
        except TimeoutError:
            message = f"{function_name} took more than {self.timeout_seconds:g} s and was ended"
            invocation = Invocation(error={"errorType": "Sandbox.Timedout", "errorMessage": message})
            mine = self._replace(mine)
        except WorkerLostError as error:
            message = f"the process that ran {function_name} was ended ({error})"
            invocation = Invocation(error={"errorType": "Runtime.ExitError", "errorMessage": message})
            mine = self._replace(mine)
        finally:
            self._free.put(mine)
        if self._on_done is not None:
            self._on_done(function_name, json.loads(body), invocation)
        return invocation

    def _run(self, mine: Worker, function_name: str, body: str) -> Invocation:
        return mine.call(function_name, body, self.timeout_seconds)

    def _replace(self, lost: Worker) -> Worker:
        """Return what takes the place of a process: another, or, once all has been stopped, itself."""
        _log.warning("another process takes the place of one that was lost or took too long")
        with self._lock:
            if self._stopped:
                return lost
            lost.end(signal.SIGKILL)
            self._all.discard(lost)
            return self._new_worker()

    def stop(self) -> None:
        """End all worker processes at once; whatever is invoked after that fails."""
        with self._lock:
            self._stopped = True
            workers = list(self._all)
        for each in workers:
            each.end(signal.SIGKILL)
