"""The layout of pool files, which makes the draw's cost follow the sample.

A draw takes the rows of lowest priority, so a file's rows are put into *tiers* of priority: the lowest
1/2^k of all priorities first, then up to 1/2^(k-1), and so on. Each tier is a row group. Parquet's
statistics then let a reader skip every tier above the draw's thresholds, whatever the stratum. Within a
tier rows stand by stratum and pool, then priority.
"""

import io
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.schema.columns import MAY_BE_NULL, REPETITIVE
from lensneg.schema.record import Record

#: A tier is not made smaller than this: opening a row group costs as much as reading some rows.
_SMALLEST_TIER: Final = 1_000

_LARGEST_ROW_GROUP: Final = 128_000

#: Rows that the writer encodes at once. By its default, 1,024, a quarter of its time is spent between them.
_ENCODED_AT_ONCE: Final = 1 << 16

#: Whole numbers that are near each other: differences take as few bytes as zstd leaves, and no time. The
#: other columns are floats, which hardly shrink, and dictionaries, which are short: no codec pays for them.
_DELTAS: Final = ("objid", "row_index", "targetid")

#: The columns by which the draw selects. Statistics of others would never be read.
_STATISTICS: Final = ("nobs_z_bin", "type_bin", "pool", "sampling_priority")


class RowGroup(Record):
    """A row group of a pool file: its rows, and the lowest priority among them."""

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
    share = _share_below(priority)
    tier = np.zeros(len(priority), dtype=np.int8)
    for step in range(1, steps + 1):
        tier += share >= np.uint64(1 << (64 - step))
    return tier.astype(np.int64)


def _share_below(priority: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return how many of all 2^64 priorities are below each."""
    return priority.view(np.uint64) ^ np.uint64(1 << 63)


def pool_order(segment: npt.NDArray[np.int64], priority: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the order of a pool file's rows: by tier, then segment, then priority.

    Parameters
    ----------
    segment : ndarray of int64, shape (n,)
        A number for each row's stratum and pool.
    priority : ndarray of int64, shape (n,)
    """
    if len(priority) == 0:
        return np.empty(0, dtype=np.int64)
    tier = priority_tiers(priority)
    place = tier * (np.ptp(segment) + 1) + (segment - segment.min())
    # Tier and segment, then as much of the priority as 64 bits hold: one sort instead of three. Where that
    # leaves two rows equal, which a catalogue without doubled sources does not, the slow way decides.
    bits = np.uint64(int(place.max()).bit_length())
    key = (place.view(np.uint64) << (np.uint64(64) - bits)) | (_share_below(priority) >> bits)
    order = np.argsort(key)
    key = key[order]
    if (key[1:] == key[:-1]).any():
        order = np.lexsort((priority, segment, tier))
    return order


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
    # Not Arrow's own buffer, which as it grows leaves as much memory behind as it holds in the end.
    sink = io.BytesIO()
    groups = []
    names = table.column_names
    # Where no value can be missing the file need not say so for each.
    fields = [field.with_nullable(field.nullable and field.name in MAY_BE_NULL) for field in table.schema]
    table = table.cast(pa.schema(fields))
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="none",
        use_dictionary=[name for name in names if name in REPETITIVE],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in names if name in _DELTAS},
        write_batch_size=_ENCODED_AT_ONCE,
        write_statistics=[name for name in names if name in _STATISTICS],
        store_schema=False,
    ) as writer:
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            for start in range(first, last, _LARGEST_ROW_GROUP):
                part = table.slice(start, min(_LARGEST_ROW_GROUP, last - start))
                writer.write_table(part, row_group_size=_LARGEST_ROW_GROUP)
                lowest = int(part["sampling_priority"].to_numpy().min())
                groups.append(RowGroup(rows=len(part), priority_min=lowest))
    data = sink.getbuffer()
    storage.write_bytes(uri, data, durable=False)
    return PoolFile(len(data), tuple(groups))
