"""Sweep files on a web server in a local run: how many at a time, and the room that they take on the disk."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from lensneg import storage
from lensneg.errors import InputError, LensnegError
from lensneg.local.lambdas import Invocation, LocalLambda
from lensneg.local.machine import existing_folder
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest, is_remote
from lensneg.schema.run import load_run
from lensneg.stages.commit_mark import finished
from lensneg.survey.listing import look_into
from lensneg.survey.remote import is_streamed

#: Files that are fetched at a time; more would overload the survey's server.
_MOST_AT_ONCE: Final = 4

#: Bytes that fetched files may take by default.
DEFAULT_DISK: Final = 10_000_000_000


class Stream(NamedTuple):
    """How a run streams its sweep files.

    Attributes
    ----------
    at_once : int
        Files at a time.
    most_bytes : int
        The room that they may take.
    """

    at_once: int
    most_bytes: int


def plan_stream(request: RunRequest, most_bytes: int) -> Stream | None:
    """Return how a run streams its sweep files; None if they are at hand.

    Raises
    ------
    InputError
        If the largest file is larger than what the files may take, or the disk has too little room.
    """
    if not is_remote(request.sweeps):
        return None
    sizes = [
        info.size for info in look_into(request.sweeps, request.leave_out).sweeps if is_streamed(info.uri)
    ]
    largest = max(sizes, default=0)
    if not largest:
        return None
    if largest > most_bytes:
        what = f"the largest sweep file has {largest:,} bytes, and fetched files may take {most_bytes:,}"
        raise InputError(what, where="--stream-disk", remedy=f"allow {largest / 1e9:.2f} or more")
    at_once = min(_MOST_AT_ONCE, most_bytes // largest)
    needed = min(at_once * largest, sum(sizes))
    free = shutil.disk_usage(existing_folder(request.out)).free
    if needed > free:
        what = f"{needed:,} bytes are needed for {at_once} sweep files at a time, and {free:,} are free there"
        remedy = "make room, name another folder, or allow less with --stream-disk"
        raise InputError(what, where=f"--out {request.out}", remedy=remedy)
    return Stream(at_once, most_bytes)


def scratch_folder(files: RunFiles) -> Path:
    """Return the folder of a run's fetched files. It is hidden, because they are no files of the run."""
    return Path(files.root, ".sweeps")


class StreamingLambda(LocalLambda):
    """Functions of which FilterSweep gets a folder for the files that it fetches.

    Parameters
    ----------
    stream : Stream
    folder : Path
        The folder. It is removed at the end if nothing is left there that another start could use.
    arguments : any
        Those of :class:`LocalLambda`.
    """

    def __init__(self, stream: Stream, folder: Path, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most_bytes, self._folder = stream.most_bytes, folder
        self._held: dict[str, int] = {}
        self._room = threading.Lock()

    def invoke(self, function_name: str, body: str) -> Invocation:
        """Run a handler and wait for it."""
        event = json.loads(body)
        if function_name != "FilterSweep" or not is_streamed(event["item"]["sweep"]):
            return super().invoke(function_name, body)
        item = Item.model_validate(event["item"])
        with nullcontext() if _is_done(event["root"], item) else self._holding(item):
            return super().invoke(function_name, json.dumps({**event, "scratch": str(self._folder)}))

    @contextmanager
    def _holding(self, item: Item) -> Iterator[None]:
        """Count a file's bytes. What was left of others is removed if it has no room."""
        name = storage.basename(item.sweep)
        with self._room:
            self._held[name] = item.size
            left = {path: path.stat().st_size for path in self._folder.glob("*") if not self._is_held(path)}
            if sum(self._held.values()) + sum(left.values()) > self._most_bytes:
                for path in left:
                    path.unlink(missing_ok=True)
        try:
            yield
        finally:
            with self._room:
                del self._held[name]

    def _is_held(self, path: Path) -> bool:
        return path.name.removeprefix(".").removesuffix(".part") in self._held

    def stop(self) -> None:
        """Kill all worker processes. Every invocation after that fails."""
        super().stop()
        with suppress(OSError):  # it is not there, or not empty: what came of a file is kept
            self._folder.rmdir()


def _is_done(root: str, item: Item) -> bool:
    """Return whether an item was done by an earlier start, so that nothing is fetched for it."""
    with suppress(LensnegError):  # the function tells what is wrong
        return finished(load_run(root), item) is not None
    return False
