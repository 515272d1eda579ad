"""The items' results, added up."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from lensneg.errors import RunStateError
from lensneg.rules.pools import POOLS
from lensneg.rules.selection import CUT_REASONS
from lensneg.rules.strata import Stratum
from lensneg.schema.item import Item, ItemError, ItemStats
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run
from lensneg.stages.commit_mark import finished

T = TypeVar("T")
U = TypeVar("U")

#: Small files are read by this many threads: on S3 each costs a round trip.
_READ_THREADS = 32


@dataclass(frozen=True)
class FanOut:
    """The map's results, added up.

    Attributes
    ----------
    items : list of Item
        All that were planned.
    stats : list of ItemStats
        Of those that are done.
    missing : dict of str to str
        Why, by item that is not done.
    rows_in, rows_kept : int
    cut : dict of str to int
        Rows by the first rule that each failed.
    available : dict of (Stratum, str) to int
        Rows of the pool by stratum and pool.
    confusers : dict of str to int
        Rows of the pool by confuser category.
    """

    items: list[Item]
    stats: list[ItemStats]
    missing: dict[str, str]
    rows_in: int
    rows_kept: int
    cut: dict[str, int]
    available: dict[tuple[Stratum, str], int]
    confusers: dict[str, int]

    @property
    def n2_fraction(self) -> float:
        """The share of N2 in the pool."""
        n2 = sum(rows for (_, pool), rows in self.available.items() if pool == POOLS[1])
        return n2 / self.rows_kept if self.rows_kept else 0.0


def each(function: Callable[[T], U], values: Iterable[T]) -> list[U]:
    """Return a function's results for many small files, several at a time."""
    with ThreadPoolExecutor(_READ_THREADS) as threads:
        return list(threads.map(function, values))


def add_up(run: Run, items: list[Item]) -> FanOut:
    """Read the stats of all items and add them up."""
    found = each(lambda item: finished(run, item), items)
    stats = [entry for entry in found if entry is not None]
    missing = [item.id for item, entry in zip(items, found, strict=True) if entry is None]
    cut = Counter(dict.fromkeys(CUT_REASONS, 0))
    confusers: Counter[str] = Counter()
    available: Counter[tuple[Stratum, str]] = Counter()
    for entry in stats:
        cut.update(entry.cut)
        confusers.update(entry.confusers)
        for count in entry.counts:
            available[Stratum(count.nobs_z_bin, count.type_bin), count.pool] += count.rows
    return FanOut(
        items=items,
        stats=stats,
        missing=dict(zip(missing, each(lambda id_: _why(run.files, id_), missing), strict=True)),
        rows_in=sum(entry.rows_in for entry in stats),
        rows_kept=sum(entry.rows_kept for entry in stats),
        cut=dict(cut),
        available=dict(available),
        confusers=dict(confusers),
    )


def _why(files: RunFiles, item_id: str) -> str:
    """Return why an item has no stats, as its task said."""
    try:
        return ItemError.read(files.error(item_id)).message
    except (FileNotFoundError, RunStateError):
        return "its task ended without a word: out of time or memory, or never started"
