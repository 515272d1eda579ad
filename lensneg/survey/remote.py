"""Sweep files on a web server as inputs of a run: a folder or a HATS catalogue there, or a listing of files.

A sweep file is fetched whole when it is filtered, compared by its SHA-256, and removed after that. Its tag is
that SHA-256. Of the partitions of a HATS catalogue the needed ranges are read, and nothing is fetched.
"""

import csv
import io
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lensneg import storage
from lensneg.errors import InputError, SweepError
from lensneg.schema.request import is_listing
from lensneg.survey.hats import primary_of
from lensneg.survey.names import is_table, sweep_cell
from lensneg.survey.releases import BASE_URL

if TYPE_CHECKING:
    from lensneg.survey.server import Server

#: What begins the tag of a file whose bytes are known by their SHA-256.
SHA256_TAG: Final = "sha256:"

#: Files whose sizes are asked for at a time.
_THREADS: Final = 8


def is_streamed(uri: str) -> bool:
    """Return whether an input is fetched when it is filtered, and removed after that.

    Parameters
    ----------
    uri : str
        A sweep file, or a table in its place.

    Returns
    -------
    bool
        False for a table, of which ranges are read.
    """
    return storage.is_http(uri) and not is_table(uri)


def list_remote(sweeps: str) -> list[storage.FileInfo]:
    """Return the sweep files of an address or a listing, or the partitions of a HATS catalogue.

    Parameters
    ----------
    sweeps : str
        Address of a folder with a list of checksums, or of a HATS catalogue; or a listing: names of sweep
        files of the release, or addresses of others, one a line. What follows a blank is not read.

    Returns
    -------
    list of FileInfo
        Ordered by address. The tag of a sweep file is its SHA-256.

    Raises
    ------
    InputError
        If an entry is no sweep file, is not in its folder's list of checksums, or its size is not known.
    TransientError
        If a server cannot be reached or is at fault.
    """
    if not is_listing(sweeps):
        return _catalogue(sweeps) or _of_folder(f"{sweeps.rstrip('/')}/", None)
    folders: dict[str, list[str]] = {}
    for number, line in enumerate(storage.read_text(sweeps, "--sweeps").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        folder, _, name = words[0].rpartition("/")
        if sweep_cell(name) is None or (folder and not storage.is_http(folder)):
            what = f"got {words[0]!r:.80}; expected the name or the address of a sweep file"
            remedy = "is it a catalogue (--positives)? A listing is what lensneg sweeps list prints"
            raise SweepError(what, where=f"--sweeps {sweeps}, line {number}", remedy=remedy)
        folders.setdefault(f"{folder}/" if folder else BASE_URL, []).append(name)
    if not folders:
        raise InputError(
            "it names no sweep file", where=sweeps, remedy="give what lensneg sweeps list prints"
        )
    found = [info for folder, names in folders.items() for info in _of_folder(folder, tuple(names))]
    return sorted(set(found))


@lru_cache(maxsize=4)
def _of_folder(folder: str, names: tuple[str, ...] | None) -> list[storage.FileInfo]:
    """Return sweep files of a folder, by default all. A process asks the server for them once."""
    server = _server(folder)
    sha256 = server.checksums().sha256
    names = tuple(name for name in sha256 if sweep_cell(name)) if names is None else names
    for name in names:
        if name not in sha256:
            remedy = "is it a file of this folder? Correct the listing"
            raise InputError("not in the list of checksums", where=server.url(name), remedy=remedy)

    def look(name: str) -> storage.FileInfo:
        size = server.size(name)
        if size is None:
            remedy = "fetch the files first: lensneg sweeps fetch"
            raise InputError("the server does not give its size", where=server.url(name), remedy=remedy)
        return storage.FileInfo(server.url(name), size, f"{SHA256_TAG}{sha256[name]}")

    with server.threads(_THREADS) as threads:
        return sorted(threads.map(look, names))


@lru_cache(maxsize=4)
def _catalogue(root: str) -> list[storage.FileInfo]:
    """Return the partitions of a HATS catalogue; none if there is no list of them."""
    root = primary_of(root) or root
    try:
        text = storage.read_bytes(storage.join(root, "partition_info.csv")).decode("utf-8-sig")
        rows = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(io.StringIO(text))]
    except (FileNotFoundError, KeyError, ValueError):
        return []
    uris = [
        storage.join(root, "dataset", f"Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet")
        for order, pixel in rows
    ]
    server = _server(root)
    with server.threads(_THREADS) as threads:
        return sorted(threads.map(storage.stat, uris))


def _server(folder: str) -> "Server":
    from lensneg.survey.server import Server  # imports requests, which takes a tenth of a second

    return Server(folder, connections=_THREADS)
