"""Catalogue positions against the cells of sweep files, and what that says of their unit."""

from typing import Final

import numpy as np

from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.survey.names import Cell

#: Fewer positions than these say nothing about the unit of a catalogue's coordinates.
_FEWEST_FOR_UNITS: Final = 10


def inside_cells(ra: FloatArray, dec: FloatArray, cells: list[Cell]) -> BoolArray:
    """Return which positions lie inside the cells of sweep files.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    cells : list of Cell

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> inside_cells(np.array([1.0, 5.0]), np.array([0.0, 0.0]), [Cell(0, 5, 0, 5)]).tolist()
    [True, False]
    """
    inside = np.zeros(len(ra), dtype=bool)
    for cell in set(cells):
        inside |= cell.holds(ra, dec)
    return inside


def mistaken_unit(ra: FloatArray, dec: FloatArray, cells: list[Cell]) -> tuple[str, int] | None:
    """Return the unit that a catalogue's coordinates seem to have, if that is not degrees.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
    cells : list of Cell
        Of the sweep files.

    Returns
    -------
    (str, int) or None
        The unit, and the positions inside the cells if they are read in it: at least as many as if they
        are read as degrees. None where the coordinates seem to be degrees.

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
