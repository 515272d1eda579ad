"""What is done and what is left of a map: an item's stats file is its commit mark."""

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.item import Item, ItemStats
from lensneg.schema.run import Run


def finished(run: Run, item: Item) -> ItemStats | None:
    """Return an item's stats if it is done: same bytes of the file, same config, same code.

    Its tables must be there, too, and whole: they are written before the stats, but not waited for.
    """
    try:
        stats = ItemStats.read(run.files.stats(item.id))
        tables = [(run.files.pool(item.id), stats.pool_bytes)]
        if stats.positives_bytes:
            tables.append((run.files.positives(item.id), stats.positives_bytes))
        if any(storage.stat(uri).size != size for uri, size in tables):
            return None
    except (FileNotFoundError, RunStateError):
        return None
    same = (
        stats.item == item
        and stats.config_sha256 == run.record.config.sha256
        and stats.code_version == run.record.code.code_version
    )
    return stats if same else None
