"""The reader of sweep files: the headers once, then chunks of rows in one buffer that is reused.

A sweep file is an empty primary HDU and one binary table, row-major and big-endian. astropy parses the
headers. Rows are not parsed: a chunk of them is viewed as a structured array, without a copy, so that only
the rows that pass the first cuts are ever converted to columns.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.survey.fits_layout import FITS_BLOCK, SweepFile, read_layout
from lensneg.survey.names import is_gzipped
from lensneg.survey.row_gatherer import Chunk
from lensneg.survey.uncompressed import fill, open_uncompressed, read_up_to

#: Bytes at the start of a file that hold both headers and the first row.
_PROBE_BYTES: Final = 256 << 10

#: Bytes behind the rows that are checked: their padding, and the start of another HDU if there is one. Behind
#: them there may be zeros, as some programs fill a file up; but no more than these.
_REST_BYTES: Final = 1 << 20

#: Rows read at once: 2 MB, which stay in a processor's cache while they are copied, sieved and gathered. With
#: 16 MB the read alone takes half as long again.
CHUNK_ROWS: Final = 4_096


def probe_sweep(
    info: storage.FileInfo,
    needed: tuple[str, ...] = NEEDED_COLUMNS,
    model: np.dtype[np.void] | None = None,
) -> SweepFile:
    """Read and check a sweep file's headers and first row, and the last row of a plain file.

    Parameters
    ----------
    info : FileInfo
        The stored file.
    needed : tuple of str
        The columns that the table must have, by upper-case name.
    model : numpy.dtype, optional
        Their types, of a table beside a sweep file. It must have RELEASE and BRICKID.

    Returns
    -------
    SweepFile
        The layout of the file.

    Raises
    ------
    SweepError
        If the file is not a sweep file, is truncated, or lacks a needed column.
    """
    if info.size == 0:
        raise _broken(info.uri, "the file is empty")
    first_bytes = min(info.size, _PROBE_BYTES)
    with open_uncompressed(info.uri, first_bytes, 0, first_bytes) as stream:
        file = read_layout(stream, info, needed, model)
        if not is_gzipped(file.uri):
            file = _check_end(file)
        if not file.n_rows:
            _check_rest(read_up_to(_REST_BYTES, stream), file)
            return file
        row = read_up_to(file.row_bytes, stream)
    if len(row) < file.row_bytes:
        raise _broken(info.uri, "the file ends within its first row")
    return replace(file, release=int(np.frombuffer(row, file.dtype)["RELEASE"][0]))


def iter_rows(
    file: SweepFile, first_row: int = 0, n_rows: int | None = None
) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
    """Iterate over a sweep file's rows in chunks.

    Parameters
    ----------
    file : SweepFile
        The file, as :func:`probe_sweep` returned it.
    first_row : int
        First row of the slice to read.
    n_rows : int, optional
        Rows of the slice; by default all to the end.

    Yields
    ------
    start : int
        The chunk's first row.
    chunk : structured ndarray, shape (n,)
        Big-endian, as in the file. It is valid until the next chunk is asked for, as its buffer is reused.

    Raises
    ------
    SweepError
        If the file ends before its last row, or if it is gzipped and fails its checksum, which is known only
        after the last row.
    """
    width = file.row_bytes
    stop = file.n_rows if n_rows is None else first_row + n_rows
    if stop <= first_row:
        return
    buffer = memoryview(bytearray(min(stop - first_row, CHUNK_ROWS) * width))
    start, length = file.data_start + first_row * width, (stop - first_row) * width
    with open_uncompressed(file.uri, file.size, start, length) as stream:
        for row in range(first_row, stop, CHUNK_ROWS):
            after = min(row + CHUNK_ROWS, stop)
            chunk = buffer[: (after - row) * width]
            if fill(chunk, stream) < len(chunk):
                where = f"between rows {row:,} and {after:,} of {file.n_rows:,}"
                raise _broken(file.uri, f"the file ends {where}: it is truncated")
            yield row, np.frombuffer(chunk, file.dtype)
        if stop == file.n_rows and is_gzipped(file.uri):
            rest = read_up_to(_REST_BYTES, stream)
            while read_up_to(1 << 20, stream):
                pass  # gzip's checksum comes last, and only it tells damage from other values
            _check_rest(rest, file)


def _check_end(file: SweepFile) -> SweepFile:
    """Refuse a plain file whose size or last row contradicts its header."""
    if file.size < file.data_stop:
        promised = f"{file.n_rows:,} rows, so at least {file.data_stop:,} bytes"
        raise _broken(file.uri, f"truncated: its header promises {promised}, and it has {file.size:,}")
    beyond = file.size - file.data_stop - file.padding
    if file.size > file.data_stop and (beyond < 0 or beyond % FITS_BLOCK):
        # Behind bytes that were lost or added, all rows are shifted.
        whole = f"{file.data_stop + file.padding:,} bytes, and blocks of {FITS_BLOCK:,} behind them"
        what = f"its header promises {whole}, and it has {file.size:,}: bytes were lost or added"
        raise _broken(file.uri, what)
    if file.n_rows:
        last_row = file.data_stop - file.row_bytes
        end = storage.read_bytes(file.uri, last_row, file.row_bytes + _REST_BYTES)
        check_rows(np.frombuffer(end[: file.row_bytes], file.dtype), file.n_rows - 1, file)
        if _check_rest(end[file.row_bytes :], file):
            return replace(file, oddities=(*file.oddities, "there are zeros behind the table"))
    return file


def check_rows(rows: Chunk, first_row: int, file: SweepFile) -> None:
    """Refuse rows that are no sources. The map counts them instead: see the cut ``bad_row``.

    A hole in a file, as a download leaves it that was cut off or never filled, reads as zeros. So does the
    padding behind the rows, if the header gives too high a number of rows. Every source has a release and a
    brick, and both are above zero.

    Parameters
    ----------
    rows : structured ndarray of shape (n,), or mapping of str to ndarray of shape (n,)
        Rows of the file.
    first_row : int
        The place in the file of the first one.
    file : SweepFile
        The file.

    Raises
    ------
    SweepError
        If RELEASE and BRICKID of a row are both zero or below.
    """
    without = rows["RELEASE"] <= 0
    if without.any():
        empty = np.flatnonzero(without & (rows["BRICKID"] <= 0))
        if len(empty):
            first = int(empty[0])
            ids = f"RELEASE {rows['RELEASE'][first]} and BRICKID {rows['BRICKID'][first]}"
            why = "the file has a hole"
            if file.box is None:
                why += ", or its header (NAXIS2) promises too many rows"
            raise _broken(
                file.uri, f"row {first_row + first:,} of {file.n_rows:,} is no source: {ids}; {why}"
            )


def _check_rest(rest: bytes, file: SweepFile) -> bool:
    """Refuse a file whose header gives too low a number of rows, so that rows would be lost.

    Returns
    -------
    bool
        Whether there are zeros behind the table, where nothing or another HDU should be.
    """
    beyond = rest[file.padding :]
    is_filling = bool(beyond) and not beyond.strip(b"\0") and len(rest) < _REST_BYTES
    if any(rest[: file.padding]) or (beyond and not is_filling and not beyond.startswith(b"XTENSION=")):
        what = f"there are more data than the {file.n_rows:,} rows that its header (NAXIS2) promises"
        raise _broken(file.uri, what)
    return is_filling


def _broken(uri: str, what: str) -> SweepError:
    return SweepError(what, where=uri, remedy="fetch it again")
