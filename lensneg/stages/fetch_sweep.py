"""FetchSweep: bring one sweep file from the survey's server into the bucket.

A file may take longer than an invocation may. Its parts are then in S3, and the next invocation goes on after
them. SHA-256 cannot be continued from a stored state, and parts of an upload cannot be read. So the parts
become an object outside the sweep files first. That is read back, and copied to its name when it is right.
Reading and copying within a Region are free, but for the requests.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.schema.fetch import (
    LAST_SECONDS,
    FetchedFile,
    FetchFiles,
    FetchItem,
    FetchStep,
    PartialUpload,
)
from lensneg.storage import multipart
from lensneg.survey.fetch import FetchPlan
from lensneg.survey.pauses import Interrupted, PauseAskedError
from lensneg.survey.server import Server
from lensneg.survey.uncompressed import content_sha256

#: A server that asks for a longer pause than this many seconds is given up.
LONGEST_WAIT: Final = 3600

#: The number of invocations one after the other that may store nothing.
_MOST_IDLE: Final = 6

_log = logging.getLogger(__name__)


class _Parts:
    """The parts of a file in S3, as the destination of a download.

    Parameters
    ----------
    files : FetchFiles
        The files of the fetch.
    item : FetchItem
        The file.
    """

    def __init__(self, files: FetchFiles, item: FetchItem) -> None:
        self._uri, self._record, self._sha256 = (
            files.incoming(item.name),
            files.upload(item.name),
            item.sha256,
        )
        self._upload_id, self._number, self._buffer = "", 0, bytearray()
        self.etag, self.stored = "", 0
        known = PartialUpload.read_if_there(self._record)
        if known is None:
            return
        parts = multipart.list_parts(self._uri, known.upload_id)
        if parts is not None:
            self._upload_id, self.etag, self._number = known.upload_id, known.etag, len(parts)
            self.stored = sum(part["Size"] for part in parts)
        if known.sha256 != item.sha256:
            self.start_again()

    def tell(self) -> int:
        return self.stored + len(self._buffer)

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= multipart.PART:
            self._put(multipart.PART)

    def start_again(self) -> None:
        if self._upload_id:
            multipart.abort(self._uri, self._upload_id)
        self._upload_id, self._number, self._buffer = "", 0, bytearray()
        self.etag, self.stored = "", 0

    def _put(self, size: int) -> None:
        if not self._upload_id:
            self._upload_id = multipart.begin(self._uri)
            record = PartialUpload(upload_id=self._upload_id, etag=self.etag, sha256=self._sha256)
            record.write(self._record)
        multipart.put_part(self._uri, self._upload_id, self._number + 1, bytes(self._buffer[:size]))
        self._number += 1
        self.stored += size
        del self._buffer[:size]

    def keep(self) -> None:
        """Store what has come, if it is enough for a part."""
        if len(self._buffer) >= multipart.SMALLEST_PART:
            self._put(len(self._buffer))

    def complete(self) -> None:
        """Make the object of all parts."""
        if self._buffer or not self._number:
            self._put(len(self._buffer))
        multipart.complete(self._uri, self._upload_id)


def fetch_sweep(
    files: FetchFiles, to: str, item: FetchItem, step: FetchStep, server: Server, seconds: float
) -> FetchStep:
    """Fetch a file, or go on with it.

    Parameters
    ----------
    files : FetchFiles
        The files of the fetch.
    to : str
        The prefix of the sweep files.
    item : FetchItem
        The file.
    step : FetchStep
        The result of the invocation before this one.
    server : Server
        The survey's server.
    seconds : float
        The time that the invocation has.

    Returns
    -------
    FetchStep

    Raises
    ------
    InputError
        If the server does not have the file, its SHA-256 is wrong twice, or a write is denied.
    TransientError
        If the server or S3 is at fault, or nothing comes.
    """
    begun = time.monotonic()
    step = step.model_copy(update={"invocations": step.invocations + 1, "wait_seconds": 1})
    plan = FetchPlan(server, [item.name], to, Path(), False, {item.name: item.sha256}, 1)
    there = plan.stored(item.name, None)
    changes: dict[str, object] = {"whole": True}
    if there is None:
        changes = _receive(files, item, step, server, seconds) or _check(files, item, step, plan)
    else:
        _discard(files, item)  # an invocation that died may have left it
    took = step.seconds + time.monotonic() - begun
    step = step.model_copy(update={**changes, "seconds": took})
    if step.whole:
        stored = there or storage.stat(plan.target(item.name))
        FetchedFile(
            name=item.name,
            outcome="there already" if there and step.invocations == 1 else "fetched",
            size=stored.size,
            invocations=step.invocations,
            seconds=took,
            ended=datetime.now(UTC),
        ).write(files.fetched(item.name))
    return step


def _receive(
    files: FetchFiles, item: FetchItem, step: FetchStep, server: Server, seconds: float
) -> dict[str, object]:
    """Make the object of a file before it is checked; return how the step changes if more must come."""
    if storage.exists(files.incoming(item.name)):
        return {}
    parts = _Parts(files, item)
    before, wait = parts.stored, 1
    with _stopped_after(server, seconds - LAST_SECONDS):
        try:
            server.download(item.name, parts, lambda _: None, checked=True)
            parts.complete()
            return {}
        except (Interrupted, TransientError) as error:
            parts.keep()
            reason = str(error) or "the time of an invocation is over"
            if isinstance(error, PauseAskedError) and error.seconds <= LONGEST_WAIT:
                wait = max(1, math.ceil(error.seconds))
            elif isinstance(error, TransientError):
                raise
    idle = 0 if parts.stored != before else step.idle + 1
    if idle >= _MOST_IDLE:
        what = f"{reason}, and nothing was stored, {idle} times in a row after {parts.stored:,} bytes"
        remedy = "lensneg aws fetch goes on from there later"
        raise TransientError(what, where=server.url(item.name), remedy=remedy)
    _log.info("%s: %s bytes are stored; %s", item.name, f"{parts.stored:,}", reason)
    return {"wait_seconds": wait, "idle": idle}


@contextmanager
def _stopped_after(server: Server, seconds: float) -> Iterator[None]:
    """Let a server's downloads and pauses end after a time."""
    timer = threading.Timer(max(0.0, seconds), server.stop.set)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check(files: FetchFiles, item: FetchItem, step: FetchStep, plan: FetchPlan) -> dict[str, object]:
    """Give a file that has come its name if it is right; if not, let all of it come once more."""
    incoming = files.incoming(item.name)
    found, _ = content_sha256(storage.stat(incoming))
    right = found == item.sha256
    if right:
        multipart.copy(incoming, plan.target(item.name), {"sha256": found})
    _discard(files, item)
    if right:
        return {"whole": True}
    if step.wrong:
        what = f"its SHA-256 is {found:.12}…, the list of checksums says {item.sha256:.12}…, twice"
        remedy = "nothing of it was kept. Fetch it later, or from another server"
        raise InputError(what, where=plan.server.url(item.name), remedy=remedy)
    return {"wrong": found, "idle": 0}


def _discard(files: FetchFiles, item: FetchItem) -> None:
    """Delete what there is of a file besides itself."""
    multipart.delete_version(files.incoming(item.name))
    multipart.delete_version(files.upload(item.name))
