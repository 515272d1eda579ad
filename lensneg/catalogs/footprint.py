"""Which positions of a catalogue are inside the cells of sweep files, and the unit that this suggests."""

from typing import Final

import numpy as np

from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.survey.names import Cell

#: The unit of fewer positions is not checked, because they do not show it.
_FEWEST_FOR_UNITS: Final = 10


def inside_cells(ra: FloatArray, dec: FloatArray, cells: list[Cell]) -> BoolArray:
    """Return which positions are inside the cells of sweep files.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    cells : list of Cell
        The cells of the sweep files.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether any cell contains the position.

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
    """Return the unit that a catalogue's coordinates seem to have, if it is not degrees.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        The coordinates as the catalogue has them.
    cells : list of Cell
        The cells of the sweep files.

    Returns
    -------
    (str, int) or None
        The unit, and the number of positions inside the cells if they are in that unit. It is not less than
        the number if they are in degrees. None where the coordinates seem to be in degrees.

    Examples
    --------
    >>> mistaken_unit(np.linspace(0, 23.75, 20), np.zeros(20), [Cell(180, 190, -5, 5)])
    ('hours of RA', 1)
    """
    if len(ra) < _FEWEST_FOR_UNITS:
        return None
    inside = int(inside_cells(ra, dec, cells).sum())
    # The values must fill the range of the unit, because a small field has small values in every unit.
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
