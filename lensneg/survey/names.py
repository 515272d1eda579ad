"""The names of sweep files, and the cells of the sky that they stand for."""

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: A sweep file's name: lower and upper corner of its cell, RA then Dec, in whole degrees.
_SWEEP_NAME = re.compile(r"sweep-(\d{3})([pm])(\d{3})-(\d{3})([pm])(\d{3})\.fits(?:\.gz)?", re.ASCII)


class Cell(NamedTuple):
    """A sweep file's cell on the sky in degrees, half-open: [ra_min, ra_max) x [dec_min, dec_max)."""

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def holds(self, ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which positions, in degrees with RA in [0, 360), lie in the cell."""
        inside: npt.NDArray[np.bool_] = (
            (ra >= self.ra_min) & (ra < self.ra_max) & (dec >= self.dec_min) & (dec < self.dec_max)
        )
        return inside

    @property
    def centre(self) -> tuple[float, float]:
        """RA and Dec of the middle."""
        return (self.ra_min + self.ra_max) / 2, (self.dec_min + self.dec_max) / 2

    @property
    def corners(self) -> list[tuple[float, float]]:
        """RA and Dec of the four corners."""
        return [(ra, dec) for ra in (self.ra_min, self.ra_max) for dec in (self.dec_min, self.dec_max)]


def sweep_cell(name: str) -> Cell | None:
    """Return the cell that a sweep file's name stands for, or None for any other file.

    Row-parallel companions (``-lc``, ``-ex``, ``-pz``) are not sweep files.

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
    ra_min, ra_max = float(match[1]), float(match[4])
    dec_min = float(match[3]) * (1 if match[2] == "p" else -1)
    dec_max = float(match[6]) * (1 if match[5] == "p" else -1)
    if not (0 <= ra_min < ra_max <= 360 and -90 <= dec_min < dec_max <= 90):
        return None
    return Cell(ra_min, ra_max, dec_min, dec_max)


def cell_of(name: str) -> Cell:
    """Return the cell of a file that is known to be a sweep file.

    Raises
    ------
    ValueError
        If the name is not one of a sweep file.
    """
    cell = sweep_cell(name)
    if cell is None:
        raise ValueError(f"{name}: the name is not one of a sweep file")
    return cell


def sweep_name(cell: Cell) -> str:
    """Return the file name of a cell, the inverse of :func:`sweep_cell`."""

    def corner(ra: float, dec: float) -> str:
        return f"{ra:03.0f}{'m' if dec < 0 else 'p'}{abs(dec):03.0f}"

    return f"sweep-{corner(cell.ra_min, cell.dec_min)}-{corner(cell.ra_max, cell.dec_max)}.fits"


def is_gzipped(uri: str) -> bool:
    """Return whether a sweep file is gzipped, and so can only be read from its start."""
    return uri.endswith(".gz")


def looks_like_a_sweep(name: str) -> bool:
    """Return whether a file that is no sweep file is named almost like one; companions are not meant."""
    stem = name.lower().removesuffix(".gz").removesuffix(".fits")
    fits_file = name.lower().endswith((".fits", ".fits.gz"))
    companion = stem.endswith(("-lc", "-ex", "-pz"))
    return fits_file and stem.startswith("sweep") and not companion and sweep_cell(name) is None
