"""What a folder of sweep files holds: the files, and the list of their checksums."""

from lensneg import storage
from lensneg.errors import InputError
from lensneg.survey.names import sweep_cell


def list_sweep_folder(folder: str, option: str = "") -> list[storage.FileInfo]:
    """Return all files below the folder that a user named as that of the sweep files.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix.
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
    try:
        return storage.list_files(storage.normalize(folder))
    except FileNotFoundError as error:
        named, remedy = f"{option} {folder}".strip(), "name the one that holds the sweep files"
        raise InputError("no such folder", where=named, remedy=remedy) from error


def find_sweeps(folder: str) -> list[storage.FileInfo]:
    """Return the sweep files below a folder.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix.

    Returns
    -------
    list of FileInfo
        At least one file, ordered by URI.

    Raises
    ------
    InputError
        If there is no such folder, or no sweep file in it.
    """
    listed = list_sweep_folder(folder)
    found = [info for info in listed if sweep_cell(storage.basename(info.uri))]
    if not found:
        what = f"no sweep file among {len(listed):,} files"
        raise InputError(what, where=folder, remedy="give the folder that holds them")
    return found


def find_checksums(folder: str) -> str:
    """Return the list of checksums in a folder of sweep files.

    Parameters
    ----------
    folder : str
        A folder or an ``s3://`` prefix that exists.

    Returns
    -------
    str
        URI of the ``*.sha256sum`` file, or an empty string if there is none.

    Raises
    ------
    InputError
        If there are several.
    """
    lists = [i.uri for i in storage.list_files(storage.normalize(folder)) if i.uri.endswith(".sha256sum")]
    if len(lists) > 1:
        remedy = "name one of them with --checksums"
        raise InputError(f"{len(lists)} lists of checksums", where=folder, remedy=remedy)
    return lists[0] if lists else ""
