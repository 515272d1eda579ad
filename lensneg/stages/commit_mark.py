"""The commit mark of a map item: its stats file, which is written last."""

import hashlib
from collections.abc import Mapping

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.item import Item, ItemStats
from lensneg.schema.run import Run


def finished(run: Run, item: Item, listed: Mapping[str, storage.FileInfo] | None = None) -> ItemStats | None:
    """Return an item's stats if the item is done with the same file, the same config and the same code.

    The item's tables must be whole, too. They are written before the stats, but the writer does not wait
    until they would survive a loss of power. Their sizes are compared; see :func:`tables_are_those_written`.
    ``listed`` has the tables of all items by URI, if a caller that asks for many items has looked them up.
    """
    try:
        stats = ItemStats.read(run.files.stats(item.id))
        tables = {run.files.pool(item.id): stats.pool_bytes}
        if stats.positives_bytes:
            tables[run.files.positives(item.id)] = stats.positives_bytes
        there = storage.stat_all(tables) if listed is None else listed
        whole = all(uri in there and there[uri].size == size for uri, size in tables.items())
    except (FileNotFoundError, RunStateError):
        return None
    if storage.basename(stats.item.sweep) == storage.basename(item.sweep):
        # The sweep file may have been moved since. Its name, size and ETag say that it is the same.
        moved: dict[str, object] = {"sweep": item.sweep}
        if stats.item.pz and item.pz:
            moved["pz"] = stats.item.pz.model_copy(update={"uri": item.pz.uri})
        stats = stats.model_copy(update={"item": stats.item.model_copy(update=moved)})
    made_of = (stats.item, stats.config_sha256, stats.code_version)
    same = made_of == (item, run.record.config.sha256, run.record.code.code_version)
    return stats if whole and same else None


def tables_are_those_written(run: Run, stats: ItemStats) -> bool:
    """Return whether an item's tables have the SHA-256 of its stats. They are read whole.

    Later stages read some pages of a pool file. They verify its footer and the checksums of these pages.
    """
    tables = {run.files.pool(stats.item.id): stats.pool_sha256}
    if stats.positives_bytes:
        tables[run.files.positives(stats.item.id)] = stats.positives_sha256
    found = (hashlib.sha256(storage.read_bytes(uri)).hexdigest() for uri in tables)
    return all(one == written for one, written in zip(found, tables.values(), strict=True))
