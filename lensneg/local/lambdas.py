"""Lambda on one machine: the real handlers of ``functions/`` in a pool of processes."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import queue
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

#: The function that is invoked more often than all others together.
_MAPPED: Final = "FilterSweep"

#: Lambda's memory is not limited here; handlers are told a figure that AWS would give them.
_MEMORY_MB = 2048

#: As long as the state machine waits for a task, and the longest that AWS lets a function run.
_TIMEOUT_SECONDS = 900.0


class Invocation(NamedTuple):
    """What an invocation came to: a result, or an error as Lambda reports it."""

    result: Any = None
    error: dict[str, str] | None = None


@dataclass
class LocalContext:
    """What the handlers' decorators read of a Lambda context."""

    function_name: str
    memory_limit_in_mb: int = _MEMORY_MB
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:local"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def map_concurrency(workers: int) -> int:
    """Return how many items of a map to have under way for so many processes.

    One more than there are processes waits for the first that is free: otherwise each would wait, item after
    item, for the interpreter of the state machine.
    """
    return workers + 1


def handler_module(function_name: str) -> str:
    """Return the module that holds a function's handler.

    Examples
    --------
    >>> handler_module("SummarizeFanOut")
    'functions.summarize_fan_out'
    """
    return "functions." + re.sub(r"(?<!^)(?=[A-Z])", "_", function_name).lower()


def _start_worker(environment: dict[str, str], log_folder: str) -> None:
    """Prepare a worker process: the caller's environment, its own log, and no say in Ctrl-C.

    It ends with the process that started it, even where that one was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    os.environ.setdefault("POWERTOOLS_TRACE_DISABLED", "true")
    log = os.open(
        Path(log_folder) / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
    )
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())


def _die_with_parent() -> None:
    """Wait for the parent's end, and end with it: nobody would hear an answer any more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _warm_up() -> None:
    """Import in a worker process what its first item of the map would have to wait for."""
    importlib.import_module(handler_module(_MAPPED))
    pa.array([0])  # at its first array Arrow imports pandas, if that is installed: half a second


def _invoke(function_name: str, body: str) -> str:
    """Run a handler in a worker process; return Lambda's answer as JSON."""
    try:
        handler = importlib.import_module(handler_module(function_name)).handler
        result = handler(json.loads(body), LocalContext(function_name))
        return json.dumps({"result": result}, allow_nan=False)
    except Exception as error:  # whatever a handler raises is its answer, as on AWS
        return json.dumps({"error": {"errorType": type(error).__name__, "errorMessage": str(error)}})


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
    """

    def __init__(
        self,
        workers: int,
        log_folder: Path,
        on_done: Callable[[str, Any, Invocation], None] | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self.workers = workers
        self.timeout_seconds = timeout_seconds
        self._on_done = on_done
        # Taken before moto puts its dummy credentials there: sweeps may well lie in a real bucket.
        self._start = (_start_worker, (dict(os.environ), str(log_folder)))
        self._lock = threading.Lock()
        self._stopped = False
        self._free: queue.LifoQueue[ProcessPoolExecutor] = queue.LifoQueue()
        self._sandboxes: set[ProcessPoolExecutor] = set()
        for _ in range(workers):
            self._free.put(self._new_sandbox())

    def _new_sandbox(self) -> ProcessPoolExecutor:
        initializer, arguments = self._start
        # A fresh interpreter each: nothing of moto's patches may leak into the handlers.
        sandbox = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer, arguments)
        self._sandboxes.add(sandbox)
        return sandbox

    def warm_up(self) -> list[Future[None]]:
        """Start all processes, and let them import what the map needs while others are at work.

        Returns
        -------
        list of concurrent.futures.Future
            Done when the processes are ready. Nobody has to wait: an invocation does.
        """
        return [sandbox.submit(_warm_up) for sandbox in self._sandboxes]

    def invoke(self, function_name: str, body: str) -> Invocation:
        """Run a handler and wait for it."""
        sandbox = self._free.get()
        try:
            invocation = self._run(sandbox, function_name, body)
        except TimeoutError:
            message = f"{function_name} took more than {self.timeout_seconds:g} s and was ended"
            invocation = Invocation(error={"errorType": "Sandbox.Timedout", "errorMessage": message})
            sandbox = self._replace(sandbox)
        except (BrokenProcessPool, RuntimeError) as error:
            message = f"the process that ran {function_name} was ended ({error})"
            invocation = Invocation(error={"errorType": "Runtime.ExitError", "errorMessage": message})
            sandbox = self._replace(sandbox)
        finally:
            self._free.put(sandbox)
        if self._on_done is not None:
            self._on_done(function_name, json.loads(body), invocation)
        return invocation

    def _run(self, sandbox: ProcessPoolExecutor, function_name: str, body: str) -> Invocation:
        """Run a handler in a process; TimeoutError if it takes too long, BrokenProcessPool if it is lost."""
        answer = sandbox.submit(_invoke, function_name, body).result(self.timeout_seconds)
        return Invocation(**json.loads(answer))

    def _replace(self, sandbox: ProcessPoolExecutor) -> ProcessPoolExecutor:
        """Return what takes the place of a process: another, or, once all has been stopped, itself."""
        with self._lock:
            if self._stopped:
                return sandbox
            _end([sandbox], signal.SIGKILL)
            self._sandboxes.discard(sandbox)
            return self._new_sandbox()

    def stop(self) -> None:
        """End all worker processes at once; whatever is invoked after that fails."""
        with self._lock:
            self._stopped = True
            sandboxes = list(self._sandboxes)
        _end(sandboxes, signal.SIGTERM)


def _end(sandboxes: list[ProcessPoolExecutor], number: signal.Signals) -> None:
    """End processes by a signal, and with -9 where that is not enough."""
    processes = []
    for sandbox in sandboxes:
        started = sandbox._processes or {}
        sandbox.shutdown(wait=False, cancel_futures=True)
        processes += list(started.values())  # none is started after the shutdown
    for process in processes:
        if number == signal.SIGKILL:
            process.kill()
        else:
            process.terminate()
    deadline = time.monotonic() + 5
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
