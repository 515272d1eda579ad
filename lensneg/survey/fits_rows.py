"""Reading sweep files: the header once, then chunks of rows into one buffer that is used again.

A sweep file is an empty primary HDU and one binary table, row-major and big-endian. astropy parses the
headers. The rows are ours: every byte must pass through memory once anyway, so a chunk is viewed as a
structured array and columns are gathered from it only for the rows that are still wanted.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.fits_layout import FITS_BLOCK, SweepFile, read_layout
from lensneg.survey.uncompressed import fill, open_uncompressed, read_up_to

#: Both headers and the first row are within this many bytes: all that is read to look at a file.
_PROBE_BYTES: Final = 256 << 10

#: So much of what follows the rows is looked at: their padding, and how the next HDU begins, if there is one.
_REST_BYTES: Final = 2 * FITS_BLOCK

#: Rows read at once: 2 MB. The kernel's copy, the sieve and the gathering all find them in a processor's
#: cache; with 16 MB the same read alone takes half as long again.
CHUNK_ROWS: Final = 4_096


def probe_sweep(info: storage.FileInfo) -> SweepFile:
    """Read a sweep file's headers and first row, and check them; of a plain file the last row, too.

    Parameters
    ----------
    info : FileInfo

    Returns
    -------
    SweepFile

    Raises
    ------
    SweepError
        If the file is not a sweep file, is truncated, or lacks a needed column.
    """
    if info.size == 0:
        raise _broken(info.uri, "the file is empty")
    first_bytes = min(info.size, _PROBE_BYTES)
    with open_uncompressed(info.uri, first_bytes, 0, first_bytes) as stream:
        file = read_layout(stream, info)
        if not file.is_compressed:
            _check_end(file)
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
    first_row, n_rows : int
        A slice of the rows; all by default.

    Yields
    ------
    start : int
        The chunk's first row.
    chunk : structured ndarray
        Big-endian, as in the file. It is valid until the next chunk is asked for: the buffer behind it is
        used again.

    Raises
    ------
    SweepError
        If the file ends before its last row, or is gzipped and fails its checksum; the latter is
        known only after the last row.
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
                where_it_ends = f"between rows {row:,} and {after:,} of {file.n_rows:,}"
                raise _broken(file.uri, f"the file ends {where_it_ends}: it is truncated")
            yield row, np.frombuffer(chunk, file.dtype)
        if stop == file.n_rows:
            _check_last_row(bytes(chunk[-width:]), file)
            if file.is_compressed:
                rest = read_up_to(_REST_BYTES, stream)
                while read_up_to(1 << 20, stream):
                    pass  # The checksum comes last; before it, damage can pass for other values.
                _check_rest(rest, file)


def _check_end(file: SweepFile) -> None:
    """Refuse a plain file whose size or last row contradicts its header."""
    if file.size < file.data_stop:
        raise _broken(
            file.uri,
            f"truncated: its header promises {file.n_rows:,} rows, so at least {file.data_stop:,} bytes, "
            f"and it has {file.size:,}",
        )
    if file.n_rows:
        last_row = file.data_stop - file.row_bytes
        end = storage.read_bytes(file.uri, last_row, file.row_bytes + _REST_BYTES)
        _check_last_row(end[: file.row_bytes], file)
        _check_rest(end[file.row_bytes :], file)


def _check_last_row(row: bytes, file: SweepFile) -> None:
    """Refuse a file whose padding would be taken for a row: a higher number in its header does that."""
    if not any(row):
        raise _broken(
            file.uri, f"the last of the {file.n_rows:,} rows that its header (NAXIS2) promises is empty"
        )


def _check_rest(rest: bytes, file: SweepFile) -> None:
    """Refuse a file that goes on after the rows that its header promises: a lower number would lose rows."""
    beyond = rest[file.padding :]
    if any(rest[: file.padding]) or (beyond and not beyond.startswith(b"XTENSION=")):
        raise _broken(
            file.uri, f"there are more data than the {file.n_rows:,} rows that its header (NAXIS2) promises"
        )


def _broken(uri: str, what: str) -> SweepError:
    return SweepError(what, where=uri, remedy="fetch it again")
