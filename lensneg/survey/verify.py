"""Checks of stored sweep files: checksums, headers and rows."""

import hashlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from lensneg import storage
from lensneg.errors import LensnegError, SweepError
from lensneg.schema.input_name import input_name
from lensneg.storage.errors import told
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.fits_rows import CHUNK_ROWS, check_rows
from lensneg.survey.inputs import iter_input, probe_input
from lensneg.survey.names import is_table
from lensneg.survey.uncompressed import content_sha256, fill, open_uncompressed, read_up_to


class Verified(NamedTuple):
    """The result of a file.

    Attributes
    ----------
    name, uri : str
        File name and place.
    size : int
        Stored bytes.
    rows, release : int
        As the header and the first row say; 0 where they cannot be read.
    checked : bool
        Whether there was a checksum to compare with: in the list, or in the file's own headers.
    fault : str
        What is wrong; empty where the file is sound.
    """

    name: str
    uri: str
    size: int
    rows: int
    release: int
    checked: bool
    fault: str

    @property
    def verdict(self) -> str:
        """The result in a few words."""
        return "not sound" if self.fault else "checksum right" if self.checked else "sound"


def verify_sweeps(
    files: list[storage.FileInfo],
    checksums: Mapping[str, str],
    *,
    headers_only: bool,
    jobs: int,
    on_bytes: Callable[[int], None],
    on_file: Callable[[Verified], None],
) -> list[Verified]:
    """Check sweep files.

    Parameters
    ----------
    files : list of FileInfo
        The files to check.
    checksums : mapping of str to str
        SHA-256 by the name of the uncompressed file.
    headers_only : bool
        Whether to read no more than the headers, the first and the last row.
    jobs : int
        Number of files that are checked at the same time.
    on_bytes : callable
        Called with the number of stored bytes that were read, from several threads.
    on_file : callable
        Called with the result of each file when it is known, from several threads.

    Returns
    -------
    list of Verified
        One result for each file, in their order.
    """

    def _one(info: storage.FileInfo) -> Verified:
        result = _verify(info, checksums, headers_only, on_bytes)
        on_file(result)
        return result

    with ThreadPoolExecutor(jobs, thread_name_prefix="verify") as threads:
        return list(threads.map(_one, files))


def _verify(
    info: storage.FileInfo, checksums: Mapping[str, str], headers_only: bool, on_bytes: Callable[[int], None]
) -> Verified:
    name, fault = input_name(info.uri), ""
    rows, release, checked = 0, 0, False
    try:
        file = probe_input(info)
        rows, release = file.n_rows, file.release
        if not headers_only:
            expected = checksums.get(name.removesuffix(".gz"))
            if is_table(info.uri):
                for row, chunk in iter_input(file, 0, file.n_rows):
                    check_rows(chunk, row, file)
                found, sums = content_sha256(info, on_bytes)[0], dict[str, bool]()
            else:
                found, sums = _read_through(file, on_bytes)
            checked = expected is not None or bool(sums)
            wrong = [f"the {key} says other bytes were written" for key, right in sums.items() if not right]
            if expected not in (None, found):
                wrong = [f"its SHA-256 is {found:.12}…, the list of checksums says {expected:.12}…"]
            if wrong:
                raise SweepError(wrong[0], where=info.uri, remedy="fetch it again")
    except (LensnegError, OSError) as error:
        fault = told(error)
    return Verified(name, info.uri, info.size, rows, release, checked, fault)


def _read_through(file: SweepFile, on_bytes: Callable[[int], None]) -> tuple[str, dict[str, bool]]:
    """Read a whole file, uncompressed where it is gzipped, and check every row.

    Returns
    -------
    sha256 : str
        Of the uncompressed file.
    sums : dict of str to bool
        Whether each sum that its headers hold is right.
    """
    digest, row, size = hashlib.sha256(), 0, file.data_start
    buffer = memoryview(bytearray(CHUNK_ROWS * file.row_bytes))
    with open_uncompressed(file.uri, file.size, 0, file.size, on_bytes) as stream:
        head, data = read_up_to(file.data_start, stream), 0
        digest.update(head)
        while size < file.data_stop + file.padding:
            piece = buffer[: min(len(buffer), file.data_stop + file.padding - size)]
            piece = piece[: fill(piece, stream)]
            if not piece:
                break
            digest.update(piece)
            data = _sum32(piece, data)
            chunk = np.frombuffer(piece, file.dtype, min(len(piece) // file.row_bytes, file.n_rows - row))
            check_rows(chunk, row, file)
            row, size = row + len(chunk), size + len(piece)
        filled = True
        while rest := stream.readinto(buffer):
            digest.update(buffer[:rest])
            filled &= not np.frombuffer(buffer[:rest], np.uint8).any()
            size += rest
    promised = file.data_stop + file.padding
    if size < promised or not filled:
        what = f"its header promises {file.n_rows:,} rows, so {promised:,} bytes, and it has {size:,}"
        raise SweepError(what, where=file.uri, remedy="fetch it again")
    return digest.hexdigest(), _header_sums(head, data)


def _header_sums(head: bytes, data: int) -> dict[str, bool]:
    """Return which of the sums that both headers hold are right (FITS standard 4.0, section 4.4.2.7)."""
    stream, sums = io.BytesIO(head), {}
    for hdu in range(2):
        start = stream.tell()
        header = fits.Header.fromfile(stream)
        content = data if hdu else 0
        if text := str(header.get("DATASUM", "")).strip():
            sums[f"DATASUM of HDU {hdu}"] = text == str(content)
        if str(header.get("CHECKSUM", "")).strip():
            sums[f"CHECKSUM of HDU {hdu}"] = _sum32(head[start : stream.tell()], content) == 0xFFFFFFFF
    return sums


def _sum32(data: bytes | memoryview, total: int) -> int:
    """Add 32-bit numbers to a sum, in ones' complement."""
    total += int(np.frombuffer(bytes(data) + bytes(-len(data) % 4), ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total
