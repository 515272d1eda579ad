"""The name of an input within its run: its file name, or the place of a partition in its HATS catalogue."""

import re
from typing import Final

from lensneg import storage

#: The end of a partition's URI (HATS 1.0, and hipscat before it): a file, or one of several in its folder.
_PARTITION: Final = re.compile(
    r"(?:.*/)?(Norder=(\d{1,2})/Dir=\d+/Npix=(\d+)(?:(?:[^/\d][^/]*)?|/[^/]+)\.parquet)",
    re.ASCII | re.IGNORECASE,
)


def input_name(uri: str) -> str:
    """Return the name by which the manifest and the run's files know an input.

    Parameters
    ----------
    uri : str
        A sweep file, or a table in its place.

    Returns
    -------
    str
        The file's name; of a HATS partition its place in the catalogue.

    Examples
    --------
    >>> input_name("s3://sky/dr10/dataset/Norder=4/Dir=0/Npix=1216.parquet")
    'Norder=4/Dir=0/Npix=1216.parquet'
    >>> input_name("/data/sweep-175m005-180p000.fits")
    'sweep-175m005-180p000.fits'
    """
    match = _PARTITION.fullmatch(uri)
    return match[1] if match else storage.basename(uri)


def hats_pixel(uri: str) -> tuple[int, int] | None:
    """Return the HEALPix pixel of a HATS partition.

    Parameters
    ----------
    uri : str
        Any file.

    Returns
    -------
    (int, int) or None
        Order and NESTED number; None if the file is no partition.

    Examples
    --------
    >>> hats_pixel("dataset/Norder=4/Dir=0/Npix=1216/part0.parquet"), hats_pixel("dataset/_metadata")
    ((4, 1216), None)
    """
    match = _PARTITION.fullmatch(uri)
    if match is None or int(match[2]) > 29 or int(match[3]) >= 12 << 2 * int(match[2]):
        return None
    return int(match[2]), int(match[3])
