"""Catalogue positions against the cells of sweep files, and what that says of their unit."""

from typing import Final

import numpy as np
import numpy.typing as npt

from lensneg.survey.names import Cell

#: Fewer positions than these say nothing about the unit of a catalogue's coordinates.
_FEWEST_FOR_UNITS: Final = 10


def inside_cells(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], cells: list[Cell]
) -> npt.NDArray[np.bool_]:
    """Return which positions, in degrees, lie inside the cells of sweep files."""
    inside = np.zeros(len(ra), dtype=bool)
    for cell in set(cells):
        inside |= cell.holds(ra, dec)
    return inside


def mistaken_unit(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], cells: list[Cell]
) -> tuple[str, int] | None:
    """Return the unit that a catalogue's coordinates seem to have, if that is not degrees.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
    cells : list of Cell
        Of the sweep files.

    Returns
    -------
    unit : str
    inside : int
        Positions inside the cells if they are read so: at least as many as if they are read as degrees.

    Examples
    --------
    >>> mistaken_unit(np.linspace(0, 23.75, 20), np.zeros(20), [Cell(180, 190, -5, 5)])
    ('hours of RA', 1)
    """
    if len(ra) < _FEWEST_FOR_UNITS:
        return None
    inside = int(inside_cells(ra, dec, cells).sum())
    # Values must fill the range of the unit: a small field has small values in any unit.
    candidates = []
    if ra.max() < 2 * np.pi and np.ptp(ra) > np.pi and np.abs(dec).max() <= np.pi / 2:
        candidates.append(("radians", np.degrees(ra), np.degrees(dec)))
    if ra.max() < 24 and np.ptp(ra) > 12:
        candidates.append(("hours of RA", 15 * ra, dec))
    for unit, degrees, dec_degrees in candidates:
        read_so = int(inside_cells(degrees, dec_degrees, cells).sum())
        if read_so >= max(inside, 1):
            return unit, read_so
    return None
