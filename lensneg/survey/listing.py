"""The files of a folder that a person named as that of the sweeps."""

from lensneg import storage
from lensneg.errors import InputError


def list_sweep_folder(folder: str, option: str = "") -> list[storage.FileInfo]:
    """Return all files below a folder or prefix that a person named, in an option, as that of the sweeps.

    Raises
    ------
    InputError
        If a local folder does not exist.
    """
    try:
        return storage.list_files(storage.normalize(folder))
    except FileNotFoundError as error:
        named = f"{option} {folder}".strip()
        raise InputError(
            "no such folder", where=named, remedy="name the one that holds the sweep files"
        ) from error
