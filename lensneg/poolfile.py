"""The layout of pool files, which makes the draw's cost follow the sample.

A draw takes the rows of lowest priority, so a file's rows are put into *tiers* of priority: the lowest
1/2^k of all priorities first, then up to 1/2^(k-1), and so on. Each tier is a row group. Parquet's
statistics then let a reader skip every tier above the draw's thresholds, whatever the stratum. Within a
tier rows stand by stratum and pool, then priority.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from lensneg import storage
from lensneg.manifest import REPETITIVE

#: A tier is not made smaller than this: opening a row group costs as much as reading some rows.
_SMALLEST_TIER: Final = 1_000
_LARGEST_ROW_GROUP: Final = 128_000

#: The columns by which the draw selects. Statistics of others would never be read.
_STATISTICS: Final = ("nobs_z_bin", "type_bin", "pool", "sampling_priority")


class RowGroup(BaseModel):
    """A row group of a pool file: its rows, and the lowest priority among them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    priority_min: int


class PoolFile(NamedTuple):
    """A pool file as written."""

    bytes: int
    row_groups: tuple[RowGroup, ...]


def priority_tiers(priority: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the tier of each row: 0 holds the lowest priorities.

    Examples
    --------
    >>> low, high = -(2**63), 2**63 - 1
    >>> priority_tiers(np.array([low] * 1000 + [high] * 1000)).max().item()
    1
    >>> priority_tiers(np.array([low, high])).max().item()
    0
    """
    steps = 0
    while len(priority) >> (steps + 1) >= _SMALLEST_TIER:
        steps += 1
    # Unsigned: the share of all 2^64 priorities at or below each.
    place = priority.view(np.uint64) ^ np.uint64(1 << 63)
    tier = np.zeros(len(priority), dtype=np.int64)
    for step in range(1, steps + 1):
        tier += place >= np.uint64(1 << (64 - step))
    return tier


def pool_order(segment: npt.NDArray[np.int64], priority: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the order of a pool file's rows: by tier, then segment, then priority.

    Parameters
    ----------
    segment : ndarray of int64, shape (n,)
        A number for each row's stratum and pool.
    priority : ndarray of int64, shape (n,)
    """
    return np.lexsort((priority, segment, priority_tiers(priority)))


def write_pool(uri: str, table: pa.Table) -> PoolFile:
    """Write a pool file.

    Parameters
    ----------
    uri : str
    table : pyarrow.Table
        Rows with the columns of ``POOL_SCHEMA``, in :func:`pool_order`.

    Returns
    -------
    PoolFile

    Raises
    ------
    ValueError
        If the rows are in another order.
    """
    tier = priority_tiers(table["sampling_priority"].to_numpy())
    if (np.diff(tier) < 0).any():
        raise ValueError(f"{uri}: the rows are not in the order of a pool file")
    edges = np.searchsorted(tier, np.arange(tier.max(initial=0) + 2))
    sink = pa.BufferOutputStream()
    groups = []
    names = table.column_names
    with pq.ParquetWriter(
        sink,
        table.schema,
        # Floats hardly shrink, and decide by their number what writing costs.
        compression={f.name: "none" if pa.types.is_floating(f.type) else "zstd" for f in table.schema},
        use_dictionary=[name for name in names if name in REPETITIVE],
        write_statistics=[name for name in names if name in _STATISTICS],
        store_schema=False,
    ) as writer:
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            for start in range(first, last, _LARGEST_ROW_GROUP):
                part = table.slice(start, min(_LARGEST_ROW_GROUP, last - start))
                writer.write_table(part, row_group_size=_LARGEST_ROW_GROUP)
                lowest = int(part["sampling_priority"].to_numpy().min())
                groups.append(RowGroup(rows=len(part), priority_min=lowest))
    data = sink.getvalue()
    storage.write_bytes(uri, data, durable=False)
    return PoolFile(data.size, tuple(groups))
