"""The published files of a manifest, compared with what manifest.json says of them."""

from lensneg import storage
from lensneg.errors import InputError


def check_file(uri: str, sha256: str) -> None:
    """Compare a file with its SHA-256. It is read in pieces.

    Parameters
    ----------
    uri : str
        The file.
    sha256 : str
        What manifest.json says.

    Raises
    ------
    InputError
        If the file is missing, or has other bytes than were published.
    """
    try:
        found = storage.sha256(uri, storage.stat(uri).size)
    except FileNotFoundError as error:
        raise missing(uri) from error
    if found != sha256:
        raise changed(uri)


def changed(uri: str) -> InputError:
    """Return the error of a file with other bytes.

    Parameters
    ----------
    uri : str
        The file.

    Returns
    -------
    InputError
    """
    return InputError("its SHA-256 is not the manifest's: it was changed", where=uri, remedy="copy it again")


def missing(uri: str) -> InputError:
    """Return the error of a file that is not there.

    Parameters
    ----------
    uri : str
        The file.

    Returns
    -------
    InputError
    """
    return InputError("missing, though the manifest names it", where=uri, remedy="copy the whole folder")
