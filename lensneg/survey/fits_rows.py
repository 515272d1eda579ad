"""Reading sweep files: the header once, then chunks of rows into one buffer that is used again.

A sweep file is an empty primary HDU and one binary table, row-major and big-endian. astropy parses the
headers. The rows are ours: every byte must pass through memory once anyway, so a chunk is viewed as a
structured array and columns are gathered from it only for the rows that are still wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.fits_layout import FITS_BLOCK, SweepFile, fill, read_layout
from lensneg.survey.gzip_stream import REST_BYTES, GzipStream, open_plain
from lensneg.survey.sweep_rows import SweepRows

#: Both headers and the first row are within this many bytes: all that is read to look at a file.
_PROBE_BYTES: Final = 256 << 10

#: Rows read at once: 2 MB. The kernel's copy, the sieve and the gathering all find them in a processor's
#: cache; with 16 MB the same read alone takes half as long again.
CHUNK_ROWS: Final = 4_096


class SweepProbe(NamedTuple):
    """What a look at a file's beginning tells."""

    file: SweepFile
    release: int


def probe_sweep(info: storage.FileInfo) -> SweepProbe:
    """Read a sweep file's headers and first row, and check them.

    Parameters
    ----------
    info : FileInfo

    Returns
    -------
    SweepProbe
        ``release`` is that of the first row, 0 in a file without rows.

    Raises
    ------
    SweepError
        If the file is not a sweep file, is truncated, or lacks a needed column.
    """
    if info.size == 0:
        raise SweepError("the file is empty", where=info.uri, remedy="fetch it again")
    first_bytes = min(info.size, _PROBE_BYTES)
    stream = open_plain(info.uri, first_bytes, 0, first_bytes)
    try:
        file = read_layout(stream, info.uri)
        needed = file.data_start + file.n_rows * file.dtype.itemsize
        if not file.is_compressed and info.size < needed:
            raise SweepError(
                f"truncated: its header promises {file.n_rows:,} rows, so at least {needed:,} bytes, "
                f"and it has {info.size:,}",
                where=info.uri,
                remedy="fetch it again",
            )
        if file.n_rows and not file.is_compressed:
            last = needed - file.dtype.itemsize
            end = storage.read_bytes(info.uri, last, file.dtype.itemsize + REST_BYTES)
            _check_last_row(end[: file.dtype.itemsize], file)
            _check_rest(end[file.dtype.itemsize :], file)
        release = 0
        if not file.n_rows:
            rest = bytearray(REST_BYTES)
            _check_rest(bytes(rest[: fill(stream, memoryview(rest))]), file)
        else:
            row = bytearray(file.dtype.itemsize)
            if fill(stream, memoryview(row)) < len(row):
                raise SweepError(
                    "the file ends within its first row", where=info.uri, remedy="fetch it again"
                )
            release = int(np.frombuffer(row, file.dtype)["RELEASE"][0])
    finally:
        stream.close()
    return SweepProbe(file, release)


def _check_rest(rest: bytes, file: SweepFile) -> None:
    """Refuse a file that goes on after the rows that its header promises: a lower number would lose rows."""
    padding = -(file.data_start + file.n_rows * file.dtype.itemsize) % FITS_BLOCK
    beyond = rest[padding:]
    if any(rest[:padding]) or (beyond and not beyond.startswith(b"XTENSION=")):
        raise SweepError(
            f"there are more data than the {file.n_rows:,} rows that its header (NAXIS2) promises",
            where=file.uri,
            remedy="fetch it again",
        )


def _check_last_row(row: Any, file: SweepFile) -> None:
    """Refuse a file whose padding would be taken for a row: a higher number in its header does that."""
    if not any(row):
        raise SweepError(
            f"the last of the {file.n_rows:,} rows that its header (NAXIS2) promises is empty",
            where=file.uri,
            remedy="fetch it again",
        )


def iter_rows(
    file: SweepFile, size: int, first_row: int = 0, n_rows: int | None = None
) -> Iterator[tuple[int, SweepRows]]:
    """Iterate over a sweep file's rows in chunks.

    Parameters
    ----------
    file : SweepFile
    size : int
        Bytes of the stored file.
    first_row, n_rows : int
        A slice of the rows; all by default.

    Yields
    ------
    start : int
        Row index of the chunk's first row.
    rows : SweepRows
        Valid until the next chunk is asked for: the buffer behind it is used again.

    Raises
    ------
    SweepError
        If the file ends before its last row, or is gzipped and fails its checksum; the latter is
        known only after the last row.
    """
    row_bytes = file.dtype.itemsize
    left = file.n_rows - first_row if n_rows is None else n_rows
    if left <= 0:
        return
    buffer = memoryview(bytearray(min(left, CHUNK_ROWS) * row_bytes))
    stream = open_plain(file.uri, size, file.data_start + first_row * row_bytes, left * row_bytes)
    try:
        row = first_row
        while left > 0:
            count = min(left, CHUNK_ROWS)
            chunk = buffer[: count * row_bytes]
            if fill(stream, chunk) < len(chunk):
                raise SweepError(
                    f"the file ends between rows {row:,} and {row + count:,} of {file.n_rows:,}: it "
                    "is truncated",
                    where=file.uri,
                    remedy="fetch it again",
                )
            yield row, SweepRows(np.frombuffer(chunk, dtype=file.dtype))
            row += count
            left -= count
        if row == file.n_rows:
            _check_last_row(chunk[-row_bytes:], file)
        if isinstance(stream, GzipStream) and row == file.n_rows:
            _check_rest(stream.finish(), file)
    finally:
        stream.close()
