"""Sweep files cut into map items."""

from itertools import pairwise

from lensneg import storage
from lensneg.schema.config import ExecutionConfig
from lensneg.schema.item import Item
from lensneg.schema.run import SweepInput


def slices(sweep: SweepInput, execution: ExecutionConfig) -> list[Item]:
    """Cut a sweep file into items of about the configured size.

    A gzipped file can only be read from its start, so it is one item.
    """
    name = storage.basename(sweep.uri).removesuffix(".gz").removesuffix(".fits")
    compressed = sweep.uri.endswith(".gz")
    table_bytes = sweep.rows * sweep.row_bytes
    count = 1 if compressed else max(1, round(table_bytes / execution.target_item_bytes))
    edges = [sweep.rows * i // count for i in range(count + 1)]
    return [
        Item(
            id=name if count == 1 else f"{name}.{i:02d}",
            sweep=sweep.uri,
            size=sweep.size,
            etag=sweep.etag,
            first_row=first,
            n_rows=last - first,
            n_bytes=sweep.size if compressed else (last - first) * sweep.row_bytes,
        )
        for i, (first, last) in enumerate(pairwise(edges))
    ]
