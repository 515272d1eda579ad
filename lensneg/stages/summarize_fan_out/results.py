"""Read the results of the map's items from their files."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.item import Item, ItemError, ItemStats
from lensneg.schema.run import Run
from lensneg.stages.commit_mark import finished

T = TypeVar("T")
U = TypeVar("U")

#: Threads that read small files. On S3 each file costs a round trip.
_READ_THREADS = 32


def each(function: Callable[[T], U], values: Iterable[T]) -> list[U]:
    """Return the results of a function that reads small files, several at a time."""
    with ThreadPoolExecutor(_READ_THREADS) as threads:
        return list(threads.map(function, values))


def read_results(run: Run, items: list[Item]) -> tuple[list[ItemStats], dict[str, str], set[str]]:
    """Read the stats of all items.

    Returns
    -------
    stats : list of ItemStats
        The stats of the items that are done.
    missing : dict of str to str
        For each other item the reason why it is not done.
    other_code : set of str
        The code versions, other than the planned one, that filtered some of them.
    """
    planned, other_code = run.record.code.code_version, set[str]()

    def reason(item_id: str) -> str:
        with suppress(FileNotFoundError, RunStateError):
            version = ItemStats.read(run.files.stats(item_id)).code_version
            if version != planned:
                other_code.add(version)
                return f"lensneg {version} filtered it, and the run was planned with {planned}"
        try:
            return ItemError.read(run.files.error(item_id)).message
        except (FileNotFoundError, RunStateError):
            return "its task ended without a word: out of time or memory, or never started"

    tables = (place(item.id) for place in (run.files.pool, run.files.positives) for item in items)
    listed = storage.stat_all(tables)
    found = each(lambda item: finished(run, item, listed), items)
    missing = [item.id for item, stats in zip(items, found, strict=True) if stats is None]
    reasons = dict(zip(missing, each(reason, missing), strict=True))
    return [stats for stats in found if stats is not None], reasons, other_code
