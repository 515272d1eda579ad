"""The reader of Parquet files in the place of sweep files: footers, and row groups fetched column by column.

Gate 1 reads footers alone. The map reads the needed columns of the row groups that can hold a source of the
run's region. The columns of a row group are fetched while the one before it is worked on.
"""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.parquet_footer import Bounds, Footer

#: Rows that are decoded at once: about 5 MB of the needed columns, which stay in a processor's cache.
_BATCH_ROWS: Final = 1 << 15

#: Bytes between two columns that are read rather than left out by a second request.
_GAP_BYTES: Final = 32 << 10

#: Bytes of the needed columns in the largest row group. One task holds those of two.
LARGEST_GROUP: Final = 512 << 20

#: Columns of a row group that are requested at the same time: on S3 each is a round trip.
_REQUESTS_AT_ONCE: Final = 16


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


def row_groups(footer: Footer, columns: tuple[str, ...], info: storage.FileInfo) -> list[RowGroup]:
    """Return the row groups of a file, and which of its bytes hold some columns.

    Parameters
    ----------
    footer : Footer
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
        If the columns of a row group are too large.
    """
    wanted = [i for i, name in enumerate(footer.names) if name in columns]
    named = {footer.names[i].strip().upper(): i for i in wanted}
    found, row = list[RowGroup](), 0
    for number, (n_rows, places) in enumerate(zip(footer.n_rows, footer.places, strict=True)):
        ranges = tuple(_joined(sorted((places[i].start, places[i].size) for i in wanted if places[i].size)))
        ra, dec = (places[named[name]].bounds if name in named else None for name in ("RA", "DEC"))
        found.append(RowGroup(number, row, n_rows, ranges, ra, dec))
        row += n_rows
        if found[-1].n_bytes > LARGEST_GROUP:
            what = f"row group {number} has {found[-1].n_bytes:,} bytes of the needed columns; the largest "
            remedy = "write the file again with smaller row groups, of 1,000,000 rows for example"
            raise SweepError(f"{what}that is read has {LARGEST_GROUP:,}", where=info.uri, remedy=remedy)
    return found


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
                metadata=file.footer.arrow,
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
