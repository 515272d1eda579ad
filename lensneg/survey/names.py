"""Names of sweep files, and the cells of the sky that they cover."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.arrays import BoolArray, FloatArray

#: A sweep file's name: the lower and the upper corner of its cell, RA then Dec, in whole degrees.
_SWEEP_NAME: Final = re.compile(r"sweep-(\d{3})([pm]\d{3})-(\d{3})([pm]\d{3})\.fits(?:\.gz)?", re.ASCII)

#: What begins as a sweep file's name or holds a cell, and has the extension of a FITS file. Another extension
#: may follow, of compression or of a copy, but not of a checksum or a note.
_ALMOST: Final = re.compile(
    r"(?:sweep|.*\d{3}[pm]\d{3}-\d{3}[pm]\d{3})(?!.*-(?:lc|ex|pz)\.).*\.(?:fits?|fts)"
    r"(?!.*\.(?:sha\w*|md5\w*|asc|sig|txt|log|json|csv|html?|png|jpe?g)$)(?:\W.*)?",
    re.IGNORECASE | re.DOTALL,
)

#: The name of a table that takes the place of sweep files. The map's items are named after it.
_TABLE_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*\.(?:csv|parquet)", re.ASCII | re.IGNORECASE)

#: The letters of a name that are signs of a declination.
_SIGNS: Final = str.maketrans("pm", "+-")


class Cell(NamedTuple):
    """A cell of the sky in degrees, half-open: [ra_min, ra_max) x [dec_min, dec_max)."""

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def holds(self, ra: FloatArray, dec: FloatArray) -> BoolArray:
        """Return which positions lie in the cell.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Positions in degrees, with RA in [0, 360).

        Returns
        -------
        ndarray of bool, shape (n,)
            True for the positions in the cell.
        """
        return (ra >= self.ra_min) & (ra < self.ra_max) & (dec >= self.dec_min) & (dec < self.dec_max)

    @property
    def centre(self) -> tuple[float, float]:
        """RA and Dec of the middle."""
        return (self.ra_min + self.ra_max) / 2, (self.dec_min + self.dec_max) / 2

    @property
    def corners(self) -> list[tuple[float, float]]:
        """RA and Dec of the four corners."""
        return [(ra, dec) for ra in (self.ra_min, self.ra_max) for dec in (self.dec_min, self.dec_max)]

    @property
    def square_degrees(self) -> float:
        """The area."""
        height = np.sin(np.radians(self.dec_max)) - np.sin(np.radians(self.dec_min))
        return float((self.ra_max - self.ra_min) * np.degrees(height))


def sweep_cell(name: str) -> Cell | None:
    """Return the cell that a sweep file covers, or None if the name is not a sweep file's.

    Row-parallel companions (``-lc``, ``-ex``, ``-pz``) are not sweep files.

    Parameters
    ----------
    name : str
        A file name, without folder.

    Returns
    -------
    Cell or None
        The cell, read from the name.

    Examples
    --------
    >>> sweep_cell("sweep-175m005-180p000.fits")
    Cell(ra_min=175.0, ra_max=180.0, dec_min=-5.0, dec_max=0.0)
    >>> sweep_cell("sweep-175m005-180p000-pz.fits") is None
    True
    """
    match = _SWEEP_NAME.fullmatch(name)
    if match is None:
        return None
    ra_min, dec_min, ra_max, dec_max = (float(text.translate(_SIGNS)) for text in match.groups())
    if not (0 <= ra_min < ra_max <= 360 and -90 <= dec_min < dec_max <= 90):
        return None
    return Cell(ra_min, ra_max, dec_min, dec_max)


def overlapping(cells: Sequence[Cell]) -> list[tuple[int, int]]:
    """Return the pairs of cells that have some of the sky in common.

    Parameters
    ----------
    cells : sequence of Cell
        Cells of any sizes.

    Returns
    -------
    list of (int, int)
        The places of both, the lower one first, ascending; common borders do not count.

    Examples
    --------
    >>> overlapping([Cell(0, 10, 0, 5), Cell(5, 10, 0, 5), Cell(10, 15, 0, 5)])
    [(0, 1)]
    """
    ra_min, ra_max, dec_min, dec_max = np.array(cells, dtype=np.float64).reshape(-1, 4).T
    shared = (ra_min[:, None] < ra_max) & (ra_min < ra_max[:, None])
    shared &= (dec_min[:, None] < dec_max) & (dec_min < dec_max[:, None])
    first, second = np.triu(shared, 1).nonzero()
    return list(zip(first.tolist(), second.tolist(), strict=True))


def cell_of(uri: str) -> Cell:
    """Return the cell of a file that is known to be a sweep file.

    Parameters
    ----------
    uri : str
        Name or URI of the file.

    Returns
    -------
    Cell
        The cell, read from the name.

    Raises
    ------
    SweepError
        If the name is not one of a sweep file.
    """
    cell = sweep_cell(storage.basename(uri))
    if cell is None:
        raise SweepError("the name is not one of a sweep file", where=uri)
    return cell


def sweep_name(cell: Cell) -> str:
    """Return the file name of a cell, the inverse of :func:`sweep_cell`.

    Parameters
    ----------
    cell : Cell
        A cell with corners at whole degrees.

    Returns
    -------
    str
        The name of the uncompressed file.

    Examples
    --------
    >>> sweep_name(Cell(5.0, 10.0, -5.0, 0.0))
    'sweep-005m005-010p000.fits'
    """
    corners = ((cell.ra_min, cell.dec_min), (cell.ra_max, cell.dec_max))
    texts = (f"{ra:03.0f}{'m' if dec < 0 else 'p'}{abs(dec):03.0f}" for ra, dec in corners)
    return f"sweep-{'-'.join(texts)}.fits"


def is_gzipped(uri: str) -> bool:
    """Return whether a sweep file is gzipped, and so can only be read from its start.

    Parameters
    ----------
    uri : str
        Name or URI of the file.

    Returns
    -------
    bool
        Whether the name ends in ``.gz``.
    """
    return uri.endswith(".gz")


def is_table(uri: str) -> bool:
    """Return whether a file is a CSV or Parquet table, which can take the place of sweep files.

    Parameters
    ----------
    uri : str
        Name or URI of the file.

    Returns
    -------
    bool
        Whether the name ends in ``.csv`` or ``.parquet``, in any case.
    """
    return uri.lower().endswith((".csv", ".parquet"))


def is_table_name(name: str) -> bool:
    """Return whether a table's name can be part of the names of a run's files.

    Parameters
    ----------
    name : str
        A file name, without folder.

    Returns
    -------
    bool
        False if it has other characters than ASCII letters, digits, dots, hyphens and underscores, or
        begins with another than a letter or digit. Spark passes over files that begin with an underscore.

    Examples
    --------
    >>> is_table_name("field.parquet"), is_table_name("_field.csv"), is_table_name("my field.csv")
    (True, False, False)
    """
    return _TABLE_NAME.fullmatch(name) is not None


def looks_like_a_sweep(name: str) -> bool:
    """Return whether a file that is no sweep file is named almost like one.

    Parameters
    ----------
    name : str
        A file name, without folder.

    Returns
    -------
    bool
        False for sweep files and for their companions.

    Examples
    --------
    >>> looks_like_a_sweep("sweep-175m005-180p000 (1).fits"), looks_like_a_sweep("sweep.FITS.bz2")
    (True, True)
    >>> looks_like_a_sweep("sweep-175m005-180p000-pz.fits"), looks_like_a_sweep("sweep.fits.sha256sum")
    (False, False)
    """
    return _ALMOST.fullmatch(name) is not None and sweep_cell(name) is None
