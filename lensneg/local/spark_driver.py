"""A Spark driver that runs jobs one after the other, as a started application of EMR Serverless does.

    python -P spark_driver.py

Each line of its standard input is an order in JSON, ``{"job": ID, "entry_point": FILE, "arguments": [...]}``.
An order without a job starts Spark and stops it, so the first job does not wait for Java. All jobs run in
this interpreter and in one Java. The standard output has what the jobs and Java print, and a line where a job
begins and where it has succeeded. A job that fails ends the program with its exit code, so no job meets what
a failed one left.

Its input is closed when the parent ends. Then the program ends Java and itself. If a job is under way, it
kills its process group at once, so nothing goes on writing into a run that is then resumed.
"""

import json
import os
import queue
import runpy
import signal
import socketserver
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from functools import partialmethod
from typing import Any, Final

#: The time that Java gets to remove its scratch files, and the time in which a Java that was killed is gone.
_SECONDS_TO_END: Final = 10.0
_SECONDS_TO_DIE: Final = 0.5

#: How often PySpark's server of accumulators looks whether its session ends. A session waits for it.
_SECONDS_OF_POLL: Final = 0.05


def begins(job: str) -> str:
    """Return the line that says that a job begins."""
    return f"lensneg: job {job} begins"


def succeeded(job: str) -> str:
    """Return the line that says that a job has succeeded."""
    return f"lensneg: job {job} succeeded"


def _run(order: dict[str, Any]) -> None:
    """Run a job, or start Java."""
    if not order:
        from pyspark.sql import SparkSession

        SparkSession.builder.getOrCreate().stop()
        return
    sys.argv = [order["entry_point"], *order["arguments"]]
    print(begins(order["job"]), flush=True)
    try:
        runpy.run_path(order["entry_point"], run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise


def _java() -> subprocess.Popen[bytes] | None:
    """Return the process of Java, if it was started."""
    pyspark = sys.modules.get("pyspark")
    gateway = pyspark.SparkContext._gateway if pyspark else None
    return gateway.proc if gateway else None


def _end_java() -> None:
    """Let Java end and remove its scratch files."""
    java = _java()
    if java is not None and java.stdin is not None:
        java.stdin.close()
        try:
            java.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            java.kill()


def _fail_as_java_did() -> None:
    """End the program with the exit code of Java, as a shell gives it, if Java has ended."""
    java = _java()
    if java is not None:
        with suppress(subprocess.TimeoutExpired):
            code = java.wait(_SECONDS_TO_DIE)
            sys.exit(code if code >= 0 else 128 - code)


def main() -> None:
    """Run jobs until the input ends or a job fails."""
    server: Any = socketserver.BaseServer
    server.serve_forever = partialmethod(server.serve_forever, poll_interval=_SECONDS_OF_POLL)
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    at_work, at_end = threading.Event(), threading.Event()
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a job reads no orders

    def listen() -> None:
        for line in lines:
            orders.put(json.loads(line))
        at_end.set()
        if at_work.is_set():
            os.killpg(0, signal.SIGKILL)
        orders.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while (order := orders.get()) is not None:
        at_work.set()
        if at_end.is_set():  # nobody waits for the order
            break
        try:
            _run(order)
        except Exception:
            traceback.print_exc()
            _fail_as_java_did()
            sys.exit(1)
        at_work.clear()  # before another order or the end of the input can follow
        if order:
            print(succeeded(order["job"]), flush=True)
    _end_java()


if __name__ == "__main__":
    main()
