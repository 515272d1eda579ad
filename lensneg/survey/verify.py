"""Checking the sweep files at hand: checksums, headers and row counts."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lensneg import storage
from lensneg.errors import InputError, LensnegError, SweepError
from lensneg.survey.content import content_sha256
from lensneg.survey.fits_rows import probe_sweep
from lensneg.survey.listing import list_sweep_folder
from lensneg.survey.names import sweep_cell


class Verified(NamedTuple):
    """What was found of a file.

    ``checked`` says whether there was a checksum to compare with; ``fault`` is empty where the file is sound.
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
        """What was found, in a few words."""
        return "not sound" if self.fault else "checksum right" if self.checked else "sound"


def find_sweeps(uri: str) -> list[storage.FileInfo]:
    """Return the sweep files below a folder or prefix.

    Raises
    ------
    InputError
        If there is none.
    """
    listed = list_sweep_folder(uri)
    found = [info for info in listed if sweep_cell(storage.basename(info.uri))]
    if not found:
        what = f"no sweep file among {len(listed):,} files"
        raise InputError(what, where=uri, remedy="give the folder that holds them")
    return found


def find_checksums(uri: str) -> str:
    """Return the list of checksums that lies beside sweep files; empty where there is none.

    Raises
    ------
    InputError
        If there are several.
    """
    lists = [i.uri for i in storage.list_files(storage.normalize(uri)) if i.uri.endswith(".sha256sum")]
    if len(lists) > 1:
        what = f"{len(lists)} lists of checksums"
        raise InputError(what, where=uri, remedy="name one of them with --checksums")
    return lists[0] if lists else ""


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
    checksums : mapping of str to str
        SHA-256 by the name of the uncompressed file.
    headers_only : bool
        Read no more than the headers and the first row.
    jobs : int
        Files at a time.
    on_bytes, on_file : callable
        Told of the stored bytes that were read, and of each file that is done.

    Returns
    -------
    list of Verified
        In the order of the files.
    """

    def one(info: storage.FileInfo) -> Verified:
        result = _verify(info, checksums, headers_only, on_bytes)
        on_file(result)
        return result

    with ThreadPoolExecutor(jobs, thread_name_prefix="verify") as threads:
        return list(threads.map(one, files))


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
            found, size = content_sha256(info.uri, info.size, on_bytes)
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
