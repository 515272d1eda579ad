"""The file that an item is read from: the sweep file, or a copy that is fetched and then removed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lensneg import storage
from lensneg.errors import InputError, TransientError
from lensneg.schema.item import Item
from lensneg.survey.fetch import Fetched, FetchPlan, fetch_one
from lensneg.survey.pauses import Interrupted
from lensneg.survey.remote import SHA256_TAG, is_streamed
from lensneg.survey.server import Server

#: Seconds after which a fetch is broken off. A function has 900, and the next attempt goes on from there.
_SECONDS: Final = 700.0


class _NoWatcher:
    """Takes no note of a fetch."""

    def started(self, _name: str, _size: int | None) -> None:
        pass

    def advanced(self, _name: str, _n_bytes: int) -> None:
        pass

    def ended(self, _result: Fetched) -> None:
        pass


@contextmanager
def source_file(item: Item, scratch: str, seconds: float = _SECONDS) -> Iterator[storage.FileInfo]:
    """Provide the file of an item. One on a web server is fetched, and removed at the end.

    Parameters
    ----------
    item : Item
    scratch : str
        A local folder for fetched files.
    seconds : float
        The longest time of a fetch.

    Yields
    ------
    FileInfo
        The file as it is stored.

    Raises
    ------
    InputError
        If there is no folder for fetched files, or the bytes on the server are not those that were planned.
    TransientError
        If the server is at fault, or the time is over. What came is kept for the next attempt.
    """
    if not is_streamed(item.sweep):
        yield storage.stat(item.sweep)
        return
    if not scratch:
        remedy = "lensneg run --stream fetches it, on one machine"
        raise InputError("a file on a web server", where=item.sweep, remedy=remedy)
    folder, name = Path(scratch), storage.basename(item.sweep)
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(item.sweep.removesuffix(name), connections=1)
    sha256 = item.etag.removeprefix(SHA256_TAG)
    plan = FetchPlan(server, [name], scratch, folder, False, {name: sha256}, jobs=1)
    timer = threading.Timer(seconds, server.stop.set)
    timer.daemon = True
    timer.start()
    try:
        fetched = Path(fetch_one(plan, name, _NoWatcher()).uri)
    except Interrupted as error:
        remedy = "what came is kept, and the next attempt goes on from there"
        raise TransientError(f"not here after {seconds:g} s", where=item.sweep, remedy=remedy) from error
    finally:
        timer.cancel()
    try:
        yield storage.stat(str(fetched))
    finally:
        fetched.unlink(missing_ok=True)
