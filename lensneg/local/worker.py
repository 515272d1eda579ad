"""A process of the local Lambda: runs handlers, one at a time, as a Lambda sandbox does.

    python worker.py PACKAGE_FOLDER FUNCTIONS_FOLDER LOG

It reads invocations from its standard input and answers on its standard output, a line of JSON each: what a
handler prints goes to the log. When its input is closed, because its parent has ended in whatever way, it
ends at once: nobody would hear an answer any more. The module is run by its path, so that the caller's main
module is not imported.
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

#: The function that is invoked more often than all others together.
_MAPPED: Final = "FilterSweep"

#: Lambda's memory is not limited here; handlers are told a figure that AWS would give them.
_MEMORY_MB: Final = 2048


@dataclass
class LocalContext:
    """What the handlers' decorators read of a Lambda context."""

    function_name: str
    memory_limit_in_mb: int = _MEMORY_MB
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:local"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class LineHandler(logging.Handler):
    """Hands log records on as lines of JSON."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        write_line(self._out, {"log": [record.name, record.levelno, record.getMessage()]})


_writing = threading.Lock()


def write_line(out: TextIO, value: Any) -> None:
    """Write a value as one line of JSON; a reader that is gone is no error."""
    text = json.dumps(value, allow_nan=False)
    with _writing, contextlib.suppress(BrokenPipeError):
        print(text, file=out, flush=True)


def handler_module(function_name: str) -> str:
    """Return the module that holds a function's handler.

    Examples
    --------
    >>> handler_module("SummarizeFanOut")
    'functions.summarize_fan_out'
    """
    return "functions." + re.sub(r"(?<!^)(?=[A-Z])", "_", function_name).lower()


def invoke(function_name: str, body: str) -> dict[str, Any]:
    """Run a handler; return Lambda's answer."""
    try:
        handler = importlib.import_module(handler_module(function_name)).handler
        return {"result": handler(json.loads(body), LocalContext(function_name))}
    except Exception as error:  # whatever a handler raises is its answer, as on AWS
        return {"error": {"errorType": type(error).__name__, "errorMessage": str(error)}}


def warm_up() -> None:
    """Import what the first item of the map would have to wait for."""
    import pyarrow as pa

    importlib.import_module(handler_module(_MAPPED))
    pa.array([0])  # at its first array Arrow imports pandas, if that is installed: half a second


def _read_calls(calls: queue.SimpleQueue[Any]) -> None:
    for line in sys.stdin:
        calls.put(json.loads(line))
    os._exit(1)


def _keep_output(log_path: str) -> TextIO:
    """Let all that is printed go to the log; return what the parent reads."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    return answers


def main() -> None:
    """Answer invocations until the input ends."""
    package, functions, log_path = sys.argv[1:4]
    sys.path[:0] = [package, functions]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _keep_output(log_path)
    logging.getLogger("lensneg").addHandler(LineHandler(answers))
    calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_calls, args=(calls,), daemon=True).start()
    while True:
        function, body = calls.get()
        if function:
            write_line(answers, invoke(function, body))
        else:
            warm_up()
            write_line(answers, {"ready": True})


if __name__ == "__main__":
    main()
