"""The reader of Parquet files in the place of sweep files: footers, and row groups fetched column by column.

Gate 1 reads footers alone. The map reads the needed columns of the row groups that can hold a source of the
run's region. The columns of a row group are fetched while the one before it is worked on.
"""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.fits_layout import SweepFile

#: Rows that are decoded at once: about 5 MB of the needed columns, which stay in a processor's cache.
_BATCH_ROWS: Final = 1 << 15

#: Bytes between two columns that are read rather than left out by a second request.
_GAP_BYTES: Final = 32 << 10

#: Bytes of the needed columns in the largest row group. One task holds those of two.
LARGEST_GROUP: Final = 512 << 20

#: Columns of a row group that are requested at the same time: on S3 each is a round trip.
_REQUESTS_AT_ONCE: Final = 16


class Bounds(NamedTuple):
    """The lowest and the highest value of a column in a row group."""

    low: float
    high: float


class RowGroup(NamedTuple):
    """A row group of a file.

    Attributes
    ----------
    number, first_row, n_rows : int
        Its place in the file.
    ranges : tuple of (int, int)
        First byte and number of bytes of what is read of it.
    ra, dec : Bounds or None
        Of its positions, as far as they are known. None where the file does not say.
    """

    number: int
    first_row: int
    n_rows: int
    ranges: tuple[tuple[int, int], ...]
    ra: Bounds | None
    dec: Bounds | None

    @property
    def n_bytes(self) -> int:
        """The bytes that are read of it."""
        return sum(size for _, size in self.ranges)


def read_footer(info: storage.FileInfo) -> pq.FileMetaData:
    """Read the footer of a Parquet file.

    Parameters
    ----------
    info : FileInfo
        The stored file.

    Returns
    -------
    pyarrow.parquet.FileMetaData
        The footer.
    """
    with closing(storage.open_file(info.uri, info.size)) as stream:
        return pq.read_metadata(stream)


def row_groups(footer: pq.FileMetaData, columns: tuple[str, ...], info: storage.FileInfo) -> list[RowGroup]:
    """Return the row groups of a file, and which of its bytes hold some columns.

    Parameters
    ----------
    footer : pyarrow.parquet.FileMetaData
        The file's footer.
    columns : tuple of str
        The names of the columns in the file.
    info : FileInfo
        The stored file.

    Returns
    -------
    list of RowGroup
        In the order of the file.

    Raises
    ------
    SweepError
        If the columns of a row group are too large, or not within the file.
    """
    places = [i for i in range(footer.num_columns) if _column_name(footer, i) in columns]
    named = {_column_name(footer, i).strip().upper(): i for i in places}
    found, row = list[RowGroup](), 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        if group.num_columns != footer.num_columns:  # Arrow would end the process when it is asked for one
            what = (
                f"row group {number} has {group.num_columns} of {footer.num_columns} columns: it is damaged"
            )
            raise SweepError(what, where=info.uri, remedy="fetch or write the file again")
        ranges = tuple(_joined(sorted(_place(group.column(i)) for i in places)))
        ra, dec = (bounds(group.column(named[name])) if name in named else None for name in ("RA", "DEC"))
        found.append(RowGroup(number, row, group.num_rows, ranges, ra, dec))
        row += group.num_rows
        if any(start < 0 or size < 0 or start + size > info.size for start, size in ranges):
            what = f"row group {number} is not within its {info.size:,} bytes: it is damaged"
            raise SweepError(what, where=info.uri, remedy="fetch or write the file again")
        if found[-1].n_bytes > LARGEST_GROUP:
            what = f"row group {number} has {found[-1].n_bytes:,} bytes of the needed columns; the largest "
            remedy = "write the file again with smaller row groups, of 1,000,000 rows for example"
            raise SweepError(f"{what}that is read has {LARGEST_GROUP:,}", where=info.uri, remedy=remedy)
    return found


def bounds(column: pq.ColumnChunkMetaData) -> Bounds | None:
    """Return the lowest and the highest value of a row group's column of numbers.

    Parameters
    ----------
    column : pyarrow.parquet.ColumnChunkMetaData
        The column.

    Returns
    -------
    Bounds or None
        None where the file does not say.
    """
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, int | float):
        return None
    return Bounds(statistics.min, statistics.max)


def _column_name(footer: pq.FileMetaData, i: int) -> str:
    """Return the name of a plain column; a nested one has the path of its leaf."""
    return str(footer.schema.column(i).path)


def _place(column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """Return the first byte and the number of bytes of a row group's column."""
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        start = min(start, column.dictionary_page_offset)
    return start, column.total_compressed_size


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join ranges, sorted, between which little is left out."""
    first, stop = -1, -1
    for start, size in ranges:
        if first >= 0 and start <= stop + _GAP_BYTES:
            stop = max(stop, start + size)
            continue
        if first >= 0:
            yield first, stop - first
        first, stop = start, start + size
    if first >= 0:
        yield first, stop - first


def iter_batches(
    file: SweepFile, columns: list[str], texts: list[str], groups: list[RowGroup]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Iterate over the rows of some row groups.

    Parameters
    ----------
    file : SweepFile
        The file, with its footer.
    columns : list of str
        The columns to read.
    texts : list of str
        Those of them that hold text. They come as dictionaries.
    groups : list of RowGroup
        The row groups to read.

    Yields
    ------
    first_row : int
        Place in the file of the batch's first row.
    batch : pyarrow.RecordBatch
        The columns, in the order in which they were asked for.
    """
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="parquet") as threads:

        def fetch(group: RowGroup) -> "_Fetched":
            return _Fetched(file, group, threads.submit)

        coming = fetch(groups[0]) if groups else None
        for i, group in enumerate(groups):
            stream, coming = coming, fetch(groups[i + 1]) if i + 1 < len(groups) else None
            table = pq.ParquetFile(
                stream,
                metadata=file.footer,
                read_dictionary=texts,
                pre_buffer=False,  # it would fetch once more what is here
                page_checksum_verification=True,
            )
            row = group.first_row
            for batch in table.iter_batches(_BATCH_ROWS, row_groups=[group.number], columns=columns):
                yield row, batch.select(columns)
                row += len(batch)
            if row != group.first_row + group.n_rows:
                raise ValueError(f"row group {group.number} has fewer than its {group.n_rows:,} rows")


class _Fetched(io.RawIOBase):
    """A file of which the columns of a row group are fetched at once; what else is read is a request."""

    def __init__(self, file: SweepFile, group: RowGroup, submit: Callable[..., Any]) -> None:
        self._file, self._place = file, 0
        self._coming = [
            (start, size, submit(storage.read_bytes, file.uri, start, size)) for start, size in group.ranges
        ]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        self._place = base + offset
        return self._place

    def read(self, size: int = -1, /) -> Any:
        wanted = self._file.size - self._place if size < 0 else size
        for start, length, coming in self._coming:
            if start <= self._place and self._place + wanted <= start + length:
                first = self._place - start
                data = memoryview(coming.result())[first : first + wanted]
                break
        else:
            data = memoryview(storage.read_bytes(self._file.uri, self._place, wanted) if wanted else b"")
        self._place += len(data)
        return data
