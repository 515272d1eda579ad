"""Sweep files cut into map items."""

from itertools import pairwise

from lensneg.schema.config import ExecutionConfig
from lensneg.schema.item import Item
from lensneg.schema.run import SweepInput
from lensneg.survey.names import is_gzipped, is_table


def item_count(sweep: SweepInput, execution: ExecutionConfig) -> int:
    """Return the number of items that a sweep file is cut into.

    Parameters
    ----------
    sweep : SweepInput
        The file.
    execution : ExecutionConfig
        The config's section with the size of an item in bytes.

    Returns
    -------
    int
        The number. It is 1 for a gzipped file and a table, which can only be read from their start.
    """
    table_bytes = sweep.rows * sweep.row_bytes
    return 1 if _is_whole(sweep.uri) else max(1, round(table_bytes / execution.target_item_bytes))


def _is_whole(uri: str) -> bool:
    return is_gzipped(uri) or is_table(uri)


def slices(sweep: SweepInput, execution: ExecutionConfig) -> list[Item]:
    """Cut a sweep file into items of about the configured size.

    Parameters
    ----------
    sweep : SweepInput
        The file.
    execution : ExecutionConfig
        The config's section with the size of an item in bytes.

    Returns
    -------
    list of Item
        Consecutive slices that hold all rows; one empty item for a file without rows.
    """
    # Without what a file's name should not have: a HATS partition's name is its place in the catalogue.
    name = sweep.name.removesuffix(".gz").removesuffix(".fits").replace("/", "-").replace("=", "")
    count = item_count(sweep, execution)
    edges = [sweep.rows * i // count for i in range(count + 1)]
    return [
        Item(
            id=name if count == 1 else f"{name}.{i:02d}",
            sweep=sweep.uri,
            size=sweep.size,
            etag=sweep.etag,
            first_row=first,
            n_rows=last - first,
            n_bytes=(sweep.needed_bytes or sweep.size)
            if _is_whole(sweep.uri)
            else (last - first) * sweep.row_bytes,
        )
        for i, (first, last) in enumerate(pairwise(edges))
    ]
