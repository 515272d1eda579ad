"""What a folder of sweep files holds: the files, what is named almost like them, and their checksums.

A table, CSV or Parquet, takes the place of sweep files where it is named itself, or where its folder holds no
sweep file and nothing that looks like one. Of a HATS catalogue only its partitions are such tables.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.check import brief
from lensneg.schema.request import is_remote
from lensneg.survey.hats import find_partitions
from lensneg.survey.names import is_table, looks_like_a_sweep, sweep_cell
from lensneg.survey.remote import list_remote

#: What to do about files that look like sweep files and are not read.
NOT_READ_REMEDY: Final = (
    "unpack them (funpack, bunzip2), give them the survey's names, copy lost partitions again, or grant "
    "access; or leave them out with --leave-out NAME"
)


#: What to do where sweep files are not found.
FOLDER_REMEDY: Final = (
    "name the folder that holds the sweep files, or a HATS catalogue or .csv or .parquet table in their place"
)


class SweepFolder(NamedTuple):
    """What is below a folder of sweep files.

    Attributes
    ----------
    sweeps : list of FileInfo
        The sweep files, or the tables in their place, ordered by URI.
    not_read : list of str
        Files and folders that may hold sources and are not read, by their place in the folder: those that are
        named almost like a sweep file, those that may not be looked at, HATS catalogues of other types than
        objects, and partitions that are not there or that a catalogue does not list.
    not_files : list of str
        Folders and broken links with the name of a sweep file.
    left_out : int
        Number of files that the user left out.
    others : int
        Number of other files.
    """

    sweeps: list[storage.FileInfo]
    not_read: list[str]
    not_files: list[str]
    left_out: int
    others: int


def look_into(folder: str, leave_out: Sequence[str] = ()) -> SweepFolder:
    """Look for sweep files below a folder, and for what may be some and cannot be read.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix, or a table; or what is on a web server, see
        :mod:`lensneg.survey.remote`.
    leave_out : sequence of str
        Names of files or folders, or patterns of them (``*.fz``), that are left out with all below them. A
        name with a slash is a place in the folder.

    Returns
    -------
    SweepFolder

    Raises
    ------
    FileNotFoundError
        If a local folder does not exist.
    """
    root, unreadable = storage.normalize_readable(folder), list[str]()
    if not is_remote(root) and (table := _named_table(root)) is not None:
        return SweepFolder([table], [], [], 0, 0)
    patterns = [name.rstrip("/") for name in leave_out]
    plain = {name for name in patterns if not any(letter in name for letter in "*?[")}
    patterns = [name for name in patterns if name not in plain]  # there may be a thousand plain names

    def _place(uri: str) -> str:
        return uri.removeprefix(f"{root}/")

    def _is_taken(uri: str) -> bool:
        parts = _place(uri).split("/")
        places = [*parts, *("/".join(parts[:i]) for i in range(2, len(parts) + 1))]
        matched = any(fnmatchcase(name, pattern) for name in places for pattern in patterns)
        return not matched and plain.isdisjoint(places)

    if is_remote(root):
        found = list_remote(root)
        sweeps = [info for info in found if _is_taken(info.uri)]
        return SweepFolder(sweeps, [], [], len(found) - len(sweeps), 0)
    listed = storage.list_files(root, unreadable=unreadable)
    taken = [info for info in listed if _is_taken(info.uri)]
    not_files = [uri for uri in storage.list_non_files(root, listed) if _is_taken(uri)]
    sweeps = [info for info in taken if sweep_cell(storage.basename(info.uri))]
    almost = [info.uri for info in taken if looks_like_a_sweep(storage.basename(info.uri))]
    refused = [f"{_place(uri)} (no permission)" for uri in unreadable if _is_taken(uri)]
    not_files = [uri for uri in not_files if sweep_cell(n := storage.basename(uri)) or looks_like_a_sweep(n)]
    if not (sweeps or almost or not_files):
        sweeps, faults = find_partitions(taken, _is_taken)
        refused += map(_place, faults)
        if not (sweeps or faults):
            sweeps = [info for info in taken if is_table(info.uri)]
    not_read, left_out = [*map(_place, almost), *refused], len(listed) - len(taken)
    return SweepFolder(sweeps, not_read, not_files, left_out, len(taken) - len(sweeps))


def _named_table(uri: str) -> storage.FileInfo | None:
    """Return the table at a URI. None where it is no table, or a folder with a table's name."""
    is_there = storage.exists if storage.is_s3(uri) else storage.is_file
    return storage.stat(uri) if is_table(uri) and is_there(uri) else None


def list_sweep_folder(folder: str, option: str = "") -> list[storage.FileInfo]:
    """Return all files below the folder that a user named as that of the sweep files.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix, or a table.
    option : str
        The option in which it was given; errors name it.

    Returns
    -------
    list of FileInfo
        All files at any depth, ordered by URI.

    Raises
    ------
    InputError
        If a local folder does not exist.
    """
    uri = storage.normalize(folder)
    if (table := _named_table(uri)) is not None:
        return [table]
    try:
        return storage.list_files(uri)
    except FileNotFoundError as error:
        raise _no_folder(f"{option} {folder}".strip()) from error


def _no_folder(named: str) -> InputError:
    return InputError("no such folder, and no such table", where=named, remedy=FOLDER_REMEDY)


def find_sweeps(folder: str, leave_out: Sequence[str] = ()) -> SweepFolder:
    """Return what a folder holds that must hold sweep files.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix.
    leave_out : sequence of str
        As for :func:`look_into`.

    Returns
    -------
    SweepFolder
        With at least one sweep file.

    Raises
    ------
    InputError
        If there is no such folder, or no sweep file in it.
    """
    try:
        found = look_into(folder, leave_out)
    except FileNotFoundError as error:
        raise _no_folder(folder) from error
    if not found.sweeps:
        what = f"no sweep file among {found.others:,} files"
        if found.not_read:
            what += f"; not read: {brief(found.not_read, 3)}"
        raise InputError(what, where=folder, remedy=FOLDER_REMEDY)
    return found


def find_checksums(folder: str) -> str:
    """Return the list of checksums in a folder of sweep files.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix that exists. A table has no list of checksums beside it.

    Returns
    -------
    str
        URI of the ``*.sha256sum`` file, or an empty string if there is none.

    Raises
    ------
    InputError
        If there are several.
    """
    if _named_table(uri := storage.normalize(folder)) is not None:
        return ""
    listed = storage.list_files(uri, unreadable=[])
    lists = [info.uri for info in listed if info.uri.endswith(".sha256sum")]
    if len(lists) > 1:
        remedy = "name one of them with --checksums"
        raise InputError(f"{len(lists)} lists of checksums", where=folder, remedy=remedy)
    return lists[0] if lists else ""
