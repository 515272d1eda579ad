"""Pool files, and the order of their rows, which makes the draw's cost proportional to the sample.

A draw takes the rows of lowest priority, so a file's rows are ordered by *tiers* of priority: the lowest
1/2^k of all priorities first, then up to 1/2^(k-1), and so on. Each tier is a row group. Parquet's
statistics then let a reader skip every tier above the draw's thresholds, for any stratum. Within a tier, rows
are ordered by stratum and pool, then by priority.
"""

import hashlib
import io
import itertools
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.schema.columns import REPETITIVE
from lensneg.schema.record import Record

#: The lowest tier has at least as many rows on average, because each row group takes time to open.
_SMALLEST_TIER: Final = 1_000

_LARGEST_ROW_GROUP: Final = 128_000

#: Rows that the writer encodes at once. With its default of 1,024 it spends a quarter of its time in between.
_ENCODED_AT_ONCE: Final = 1 << 16

#: Integers that are close to each other. Their differences are as short as zstd would make them, and faster.
#: The other columns are floats, which hardly shrink, and dictionaries, which are short. So the files have no
#: codec.
_DELTAS: Final = ("objid", "row_index", "targetid")

#: The columns by which the draw selects. No reader uses the statistics of others.
_STATISTICS: Final = ("nobs_z_bin", "type_bin", "pool", "sampling_priority")


class RowGroup(Record):
    """A row group of a pool file: the number of its rows, and the lowest priority among them."""

    rows: int
    priority_min: int


class Footer(Record):
    """The end of a pool file, which says where each page is and of what type: its size and SHA-256.

    The pages themselves carry checksums. So a reader of a few pages can prove what it reads.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes | memoryview) -> Self:
        """Return the footer of a Parquet file.

        Parameters
        ----------
        data : bytes-like
            The whole file.

        Returns
        -------
        Footer
            The last 8 bytes of a file are the length of what is before them, and ``PAR1``.
        """
        size = int.from_bytes(data[-8:-4], "little") + 8
        return cls(size=size, sha256=hashlib.sha256(data[-size:]).hexdigest())


class PoolFile(NamedTuple):
    """A written pool file: its size, its SHA-256, its footer and its row groups."""

    bytes: int
    sha256: str
    footer: Footer
    row_groups: tuple[RowGroup, ...]


def priority_tiers(priority: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the tier of each row.

    Parameters
    ----------
    priority : ndarray of int64, shape (n,)
        The sampling priorities.

    Returns
    -------
    ndarray of int64, shape (n,)
        The tiers; 0 holds the lowest priorities.

    Examples
    --------
    >>> low, high = -(2**63), 2**63 - 1
    >>> priority_tiers(np.array([low] * 1000 + [high] * 1000)).max().item()
    1
    >>> priority_tiers(np.array([low, high])).max().item()
    0
    """
    halvings = max(0, (len(priority) // _SMALLEST_TIER).bit_length() - 1)
    share = _share_below(priority)
    tier = np.zeros(len(priority), dtype=np.int8)
    for halving in range(1, halvings + 1):
        tier += share >= np.uint64(1 << (64 - halving))
    return tier.astype(np.int64)


def _share_below(priority: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the number of the 2^64 possible priorities that are below each."""
    return priority.view(np.uint64) ^ np.uint64(1 << 63)


def pool_order(segment: npt.NDArray[np.int64], priority: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the order of a pool file's rows: by tier, then segment, then priority.

    Parameters
    ----------
    segment : ndarray of int64, shape (n,)
        The number of each row's stratum and pool.
    priority : ndarray of int64, shape (n,)
        The sampling priorities.

    Returns
    -------
    ndarray of int64, shape (n,)
        Indices of the rows. Equal rows keep their order.
    """
    if len(priority) == 0:
        return np.empty(0, dtype=np.int64)
    tier = priority_tiers(priority)
    place = tier * (np.ptp(segment) + 1) + (segment - segment.min())
    # One key of 64 bits holds tier, segment and the leading bits of the priority, so one sort replaces three.
    # If the keys of two rows are equal, all three are sorted. That happens where sources are doubled.
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
        The file.
    table : pyarrow.Table
        Rows with the columns of ``POOL_SCHEMA``, in :func:`pool_order`.

    Returns
    -------
    PoolFile
        What proves later that it is the same file.

    Raises
    ------
    ValueError
        If the rows are in another order.
    """
    tier = priority_tiers(table["sampling_priority"].to_numpy())
    if (np.diff(tier) < 0).any():
        raise ValueError(f"{uri}: the rows are not in the order of a pool file")
    edges = np.searchsorted(tier, np.arange(tier.max(initial=0) + 2))
    # Arrow's own buffer would waste as much memory as it finally holds, because it grows by copies.
    sink = io.BytesIO()
    groups = []
    # A column without missing values is declared so. Then the file needs no flag for each value.
    fields = [
        field.with_nullable(field.nullable and column.null_count > 0)
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    table = table.cast(pa.schema(fields))
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="none",
        use_dictionary=REPETITIVE,
        column_encoding=dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED"),
        write_batch_size=_ENCODED_AT_ONCE,
        write_statistics=_STATISTICS,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        for first, last in itertools.pairwise(edges.tolist()):
            for start in range(first, last, _LARGEST_ROW_GROUP):
                part = table.slice(start, min(_LARGEST_ROW_GROUP, last - start))
                writer.write_table(part, row_group_size=_LARGEST_ROW_GROUP)
                lowest = int(part["sampling_priority"].to_numpy().min())
                groups.append(RowGroup(rows=len(part), priority_min=lowest))
    data = sink.getbuffer()
    storage.write_bytes(uri, data, durable=False)
    sha256 = hashlib.sha256(data).hexdigest()
    return PoolFile(len(data), sha256, Footer.of(data), tuple(groups))
