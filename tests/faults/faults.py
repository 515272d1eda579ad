"""What the fault suite shares: a run step by step in this process, a record of what it publishes, a fork."""

import importlib
import io
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from lensneg import storage
from lensneg.errors import TransientError
from lensneg.local.worker import LocalContext, handler_module
from lensneg.stages import report

#: `make faults` sets it: every point is tried, and not a few of them.
LONG = os.environ.get("LENSNEG_FAULTS") == "long"

#: What a run calls, in order.
FUNCTIONS = ("Preflight", "PlanFanOut", "FilterSweep", "SummarizeFanOut", "CheckSample", "ValidateManifest",
             "PublishManifest", "Report")  # fmt: skip

STARTED_AT = "2025-01-02T03:04:05Z"


def tell(scenario: str, injected: str, outcome: str) -> None:
    """Print a line of the suite's record."""
    print(f"{scenario:<28} | {injected:<48} | {outcome}", flush=True)


def load_handlers() -> None:
    """Import what the functions are made of."""
    for function in FUNCTIONS:
        importlib.import_module(handler_module(function))


def call(function: str, event: dict[str, Any]) -> dict[str, Any]:
    """Invoke a function's handler, again where it says that this may help, as the state machine does."""
    handler = importlib.import_module(handler_module(function)).handler
    with _quietly():
        for _ in range(6):
            try:
                return handler(event, LocalContext(function))
            except TransientError:
                continue
        return handler(event, LocalContext(function))


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep logs and metrics from filling the suite's record."""
    logging.disable()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


class Refused(Exception):  # noqa: N818
    """A gate did not pass."""


def walk(data: dict[str, Any], draw: Callable[[str], None], read_items: Callable[[str], list[Any]]) -> str:
    """Make a run in this process, state by state; return its folder.

    Its report has no figures: to draw them takes as long as all the rest.
    """
    for folder in (f"{data['out']}/runs/{data['run_id']}", f"{data['out']}/manifests/{data['run_id']}"):
        storage.remove_temporary_files(folder)  # as the one-machine run does first
    answer = call("Preflight", {"input": data})
    _passed(answer)
    root: str = answer["root"]
    if not answer["published"]:
        _sample(root, draw, read_items)
    call("PublishManifest", {"root": root})
    with patch.object(report, "_figures", lambda *_: ({}, defaultdict(str))):
        call("Report", {"root": root})
    return root


def _sample(root: str, draw: Callable[[str], None], read_items: Callable[[str], list[Any]]) -> None:
    call("PlanFanOut", {"root": root})
    for item in read_items(f"{root}/items.json"):
        call("FilterSweep", {"root": root, "item": item})
    _passed(call("SummarizeFanOut", {"root": root}))
    draw(root)
    _passed(call("CheckSample", {"root": root}))
    _passed(call("ValidateManifest", {"root": root}))


def _passed(answer: dict[str, Any]) -> None:
    if not answer["gate"]["passed"]:
        raise Refused(f"{answer['gate']['gate']}: {answer['gate']['cause']}")


def published(out: Path, run_id: str) -> dict[str, bytes]:
    """Every published file of a run, by name."""
    folder = out / "manifests" / run_id
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reset(template: Path, out: Path) -> None:
    """Put an output folder back to what it was before a run."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(template, out)


def in_child(act: Callable[[], Any]) -> Any:
    """Do something in a forked process; return its result, or the signal that ended it.

    Raises
    ------
    AssertionError
        If it raised an error.
    """
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                try:
                    answer = (True, act())
                except BaseException:
                    answer = (False, traceback.format_exc())
                pipe.write(pickle.dumps(answer))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status))
    fine, answer = pickle.loads(data)
    assert fine, answer
    return answer


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Put a disk of its own, a tmpfs, at an empty folder; the test is skipped where that cannot be done."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path, left: int) -> None:
    """Leave so many bytes on a disk."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    free = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - left)


class Death:
    """Kills this process at one of its writes: before it, in the midst of it, or right after it."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when, self.count, self.names = at, when, 0, []
        self._replace, self._link = os.replace, os.link
        os.replace, os.link = self._around(self._replace), self._around(self._link)

    def _around(self, act: Callable[..., None]) -> Callable[..., None]:
        def replacement(source: Any, target: Any, **more: Any) -> None:
            here = self.count == self.at
            self.count += 1
            self.names.append(Path(target).name)
            if here and self.when == "half written":
                os.truncate(source, os.stat(source).st_size // 2)
            if here and self.when != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            act(source, target, **more)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)

        return replacement

    def undo(self) -> None:
        os.replace, os.link = self._replace, self._link
