"""Local Lambda: processes that run handlers, and what becomes of one that dies or hangs."""

import os
import signal
import subprocess
from pathlib import Path

from lensneg.local.lambdas import LocalLambda


def process_of(functions: LocalLambda) -> subprocess.Popen[str]:
    """The process that the next invocation goes to."""
    mine = functions._free.get()
    functions._free.put(mine)
    return mine.start()


def test_a_worker_process_that_dies_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    functions = LocalLambda(1, tmp_path)
    try:
        process = process_of(functions)
        process.kill()
        process.wait()
        died = functions.invoke("Preflight", "{}")
        assert died.error is not None
        assert died.error["errorType"] == "Runtime.ExitError"
        answer = functions.invoke("Preflight", "{}")
        assert answer.result["gate"]["passed"] is False
    finally:
        functions.stop()


def test_workers_that_were_warmed_up_have_what_the_map_needs(tmp_path: Path) -> None:
    functions = LocalLambda(2, tmp_path, environment={**os.environ, "PYTHONVERBOSE": "1"})
    try:
        assert all(ready.wait(60) for ready in functions.warm_up())
        logs = [path.read_text(errors="replace") for path in tmp_path.glob("worker-*.log")]
        assert len(logs) == 2
        assert all("import 'functions.filter_sweep'" in log for log in logs)
    finally:
        functions.stop()


def test_tasks_that_follow_each_other_run_in_one_process(tmp_path: Path) -> None:
    """Whichever process was free last: after a map, for example."""
    functions = LocalLambda(2, tmp_path)
    try:
        first, second = functions._free.get(), functions._free.get()
        for order in ([first, second], [second, first]):
            for each in order:
                functions._free.put(each)
            assert functions.invoke("Preflight", "{}").error is None
            assert [functions._free.get(), functions._free.get()] == [first, second]
        assert [path.name for path in tmp_path.glob("worker-*.log")] == ["worker-1.log"]
    finally:
        functions.stop()


def test_a_worker_process_that_hangs_is_ended_and_its_neighbour_is_not(tmp_path: Path) -> None:
    """It would hold its place for good, and what it wrote late would come after the next attempt's work."""
    functions = LocalLambda(2, tmp_path, timeout_seconds=1)
    try:
        hanging = functions._free.get()
        other = process_of(functions)
        functions._free.put(hanging)
        process = process_of(functions)
        os.kill(process.pid, signal.SIGSTOP)
        late = functions.invoke("Preflight", "{}")
        assert late.error == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": "Preflight took more than 1 s and was ended",
        }
        assert process.returncode == -signal.SIGKILL
        assert other.poll() is None
    finally:
        functions.stop()
    assert other.returncode == -signal.SIGKILL


def test_a_worker_process_ends_with_its_starter(tmp_path: Path) -> None:
    """In whatever way the starter ends: its end of the pipe is closed."""
    functions = LocalLambda(1, tmp_path)
    [ready] = functions.warm_up()
    assert ready.wait(60)
    process = process_of(functions)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 1
