"""A process of the local Lambda, which runs one handler at a time, like a Lambda sandbox.

    python worker.py PACKAGE_FOLDER FUNCTIONS_FOLDER LOG

It reads invocations from its standard input and writes answers to its standard output, one line of JSON each.
The output of a handler goes to the log. When its input is closed, the parent has ended, so the process ends,
too. The program is run by its path, so the caller's main module is not imported.
"""

import contextlib
import importlib
import json
import logging
import os
import queue
import re
import signal
import sys
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

#: The function that is invoked most often.
_MAPPED: Final = "FilterSweep"

#: The memory that handlers read from their context. It is not limited here.
_MEMORY_MB: Final = 2048


@dataclass
class LocalContext:
    """The attributes of a Lambda context that the handlers' decorators read."""

    function_name: str
    memory_limit_in_mb: int = _MEMORY_MB
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:local"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def get_remaining_time_in_millis(self) -> int:
        """Return what an invocation has on AWS."""
        return 900_000


class LineHandler(logging.Handler):
    """Write log records as lines of JSON."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        write_line(self._out, {"log": [record.name, record.levelno, record.getMessage()]})


_writing = threading.Lock()


def write_line(out: TextIO, value: Any) -> None:
    """Write a value as one line of JSON. It is no error if the reader has ended."""
    text = json.dumps(value, allow_nan=False)
    with _writing, contextlib.suppress(BrokenPipeError):
        print(text, file=out, flush=True)


def handler_module(function_name: str) -> str:
    """Return the module of a function's handler.

    Examples
    --------
    >>> handler_module("SummarizeFanOut")
    'functions.summarize_fan_out'
    """
    return "functions." + re.sub(r"(?<!^)(?=[A-Z])", "_", function_name).lower()


def invoke(function_name: str, body: str) -> dict[str, Any]:
    """Run a handler, and return Lambda's answer."""
    module = handler_module(function_name)
    try:
        handler = importlib.import_module(module).handler
    except Exception as error:  # with Lambda's name of it
        cause = f"{type(error).__name__}: {error}; install lensneg again, with what it depends on"
        message = f"{module} cannot be imported: {cause}"
        return {"error": {"errorType": "Runtime.ImportModuleError", "errorMessage": message}}
    try:
        return {"result": handler(json.loads(body), LocalContext(function_name))}
    except Exception as error:  # as on AWS, any exception of a handler is its answer
        from lensneg.storage.errors import told  # not before the package's folder is on the path

        return {"error": {"errorType": type(error).__name__, "errorMessage": told(error)}}


def warm_up() -> None:
    """Import what the map needs, so that the first item does not wait for it."""
    import pyarrow as pa

    importlib.import_module(handler_module(_MAPPED))
    pa.array([0])  # for its first array Arrow imports pandas, if that is installed, which takes 0.5 s


def _read_calls(calls: queue.SimpleQueue[Any]) -> None:
    for line in sys.stdin:
        calls.put(json.loads(line))
    os._exit(1)


def _keep_output(log_path: str) -> TextIO:
    """Send all output to the log, and return the stream that the parent reads."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    return answers


def main() -> None:
    """Answer invocations until the input ends."""
    package, functions, log_path = sys.argv[1:4]
    sys.path[:0] = [functions, package]  # there may be another package called functions
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends when its parent does
        signal.signal(number, signal.SIG_IGN)
    answers = _keep_output(log_path)
    logging.getLogger("lensneg").addHandler(LineHandler(answers))
    calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_calls, args=(calls,), daemon=True).start()
    while True:
        function, body = calls.get()
        if function:
            write_line(answers, invoke(function, body))
        else:
            with contextlib.suppress(Exception):  # the answer of an invocation says what is wrong
                warm_up()
            write_line(answers, {"ready": True})


if __name__ == "__main__":
    main()
