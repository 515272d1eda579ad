"""Checks of stored sweep files: checksums, headers and row counts."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lensneg import storage
from lensneg.errors import LensnegError, SweepError
from lensneg.survey.fits_rows import probe_sweep
from lensneg.survey.uncompressed import content_sha256


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
        Whether there was a checksum to compare with.
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
    name, fault = storage.basename(info.uri), ""
    rows, release, checked = 0, 0, False
    try:
        file = probe_sweep(info)
        rows, release = file.n_rows, file.release
        if not headers_only:
            expected = checksums.get(name.removesuffix(".gz"))
            found, size = content_sha256(info, on_bytes)
            checked = expected is not None
            promised = file.data_stop + file.padding
            if size != promised:
                what = f"its header promises {rows:,} rows, so {promised:,} bytes, and it has {size:,}"
                raise SweepError(what, where=info.uri, remedy="fetch it again")
            if checked and found != expected:
                what = f"its SHA-256 is {found:.12}…, the list of checksums says {expected:.12}…"
                raise SweepError(what, where=info.uri, remedy="fetch it again")
    except (LensnegError, OSError) as error:
        fault = str(error)
    return Verified(name, info.uri, info.size, rows, release, checked, fault)
