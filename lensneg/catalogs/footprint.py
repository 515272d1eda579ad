"""Which positions of a catalogue are inside the cells of sweep files, and the unit that this suggests."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from lensneg.rules.sky import unit_vectors
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.check import brief
from lensneg.survey.pixels import Area, Pixel, radius_of
from lensneg.survey.releases import names_at
from lensneg.survey.versions import SurveyVersion

#: The unit of fewer positions is not checked, because they do not show it.
_FEWEST_FOR_UNITS: Final = 10

#: Degrees of RA by which positions are turned, to count how many are inside the cells by chance.
_TURNS: Final = range(5, 360, 5)

#: Standard deviations that chance explains.
_CHANCE_SIGMAS: Final = 5.0


def inside_cells(ra: FloatArray, dec: FloatArray, cells: Sequence[Area]) -> BoolArray:
    """Return which positions are inside the cells of sweep files.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    cells : sequence of Cell or Pixel
        The areas of the sweep files.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether any cell contains the position.

    Examples
    --------
    >>> from lensneg.survey.names import Cell
    >>> inside_cells(np.array([1.0, 5.0]), np.array([0.0, 0.0]), [Cell(0, 5, 0, 5)]).tolist()
    [True, False]
    """
    inside = np.zeros(len(ra), dtype=bool)
    for cell in set(cells):
        inside |= cell.holds(ra, dec)
    return inside


def degrees_from(cell: Area, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Return how far positions are from a cell, on the sphere.

    Parameters
    ----------
    cell : Cell or Pixel
        The area of a sweep file. Of a pixel, the circle around it is taken.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.

    Returns
    -------
    ndarray of float64, shape (n,)
        Degrees. Zero inside the cell.

    Examples
    --------
    >>> from lensneg.survey.names import Cell
    >>> degrees_from(Cell(0, 5, 0, 5), np.array([359.0, 2.0, 2.0]), np.array([0.0, 7.0, 1.0])).round(6)
    array([1., 2., 0.])
    """
    if isinstance(cell, Pixel):
        centre = unit_vectors(*np.array([cell.centre]).T)[0]
        angles = np.arccos(np.clip(unit_vectors(ra, dec) @ centre, -1, 1))
        return np.asarray(np.degrees(np.maximum(angles - radius_of(cell), 0)))
    from_centre = np.abs((ra - (cell.ra_min + cell.ra_max) / 2 + 180) % 360 - 180)
    beyond = np.radians(np.maximum(from_centre - (cell.ra_max - cell.ra_min) / 2, 0))
    lat, ends = np.radians(dec), (np.radians(cell.dec_min), np.radians(cell.dec_max))
    # The nearest point of an edge, which is a meridian: within it, or one of its ends.
    foot = np.arctan2(np.sin(lat), np.cos(lat) * np.cos(beyond))
    found = np.full(len(ra), np.pi)
    for edge in (np.clip(foot, *ends), *ends):
        square = np.sin((lat - edge) / 2) ** 2 + np.cos(lat) * np.cos(edge) * np.sin(beyond / 2) ** 2
        found = np.minimum(found, 2 * np.arcsin(np.sqrt(np.clip(square, 0, 1))))
    return np.asarray(np.degrees(found))


def how_far(
    ra: FloatArray, dec: FloatArray, cells: dict[str, Area], versions: Sequence[SurveyVersion]
) -> str:
    """Return where positions are that lie in no sweep file, in words.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS. At least one position.
    cells : dict of str to Cell or Pixel
        The areas of the sweep files, by the file's name. At least one.
    versions : sequence of SurveyVersion
        The versions of the survey whose files may be given.

    Returns
    -------
    str
        How far the nearest sweep file is, and the files of each version in which the positions lie.
    """
    nearest = {name: float(degrees_from(cell, ra, dec).min()) for name, cell in cells.items()}
    name = min(nearest, key=lambda name: nearest[name])
    told = [f"the nearest sweep file, {name}, is {nearest[name]:.2f} degrees away"]
    for version in versions:
        needed = names_at(version, ra, dec)
        files = "1 file" if len(needed) == 1 else f"{len(needed):,} files"
        where = f"they lie in {files} of {version.name}: {brief(needed, 3)}"
        told.append(where if needed else f"no file of {version.name} covers them")
    return "; ".join(told)


class OtherUnit(NamedTuple):
    """A unit that a catalogue's coordinates may have instead of degrees.

    Attributes
    ----------
    name : str
        The unit in words.
    option : str
        The unit as the option ``unit=`` of a catalogue has it.
    inside : int
        The number of positions inside the cells if they are in this unit.
    as_degrees : int
        The number inside the cells if they are in degrees.
    by_chance : float
        The number that is inside on average when the positions are turned around the pole.
    is_evident : bool
        Whether more are inside than in degrees, and more than chance explains.
    """

    name: str
    option: str
    inside: int
    as_degrees: int
    by_chance: float
    is_evident: bool


def mistaken_unit(ra: FloatArray, dec: FloatArray, cells: Sequence[Area]) -> OtherUnit | None:
    """Return the unit that a catalogue's coordinates may have, if it is not degrees.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        The coordinates as the catalogue has them.
    cells : sequence of Cell or Pixel
        The areas of the sweep files.

    Returns
    -------
    OtherUnit or None
        The unit in which at least as many positions lie inside the cells as in degrees. None where there is
        no such unit, or the values do not fill the range of one.

    Examples
    --------
    >>> from lensneg.survey.names import Cell
    >>> mistaken_unit(np.linspace(0, 23.75, 20), np.zeros(20), [Cell(180, 190, -5, 5)]).name
    'hours of RA'
    """
    if len(ra) < _FEWEST_FOR_UNITS:
        return None
    as_degrees = int(inside_cells(ra, dec, cells).sum())
    # The values must fill the range of the unit, because a small field has small values in every unit.
    candidates = []
    if ra.max() < 2 * np.pi and np.ptp(ra) > np.pi and np.abs(dec).max() <= np.pi / 2:
        candidates.append(("radians", "rad", np.degrees(ra), np.degrees(dec)))
    if ra.max() < 24 and np.ptp(ra) > 12:
        candidates.append(("hours of RA", "hour", 15 * ra, dec))
    for name, option, degrees, dec_degrees in candidates:
        inside = int(inside_cells(degrees, dec_degrees, cells).sum())
        if inside >= max(as_degrees, 1):
            turned = [inside_cells((degrees + turn) % 360, dec_degrees, cells).sum() for turn in _TURNS]
            chance = float(np.mean(turned))
            sigma = np.sqrt(chance * (1 - chance / len(ra)))
            evident = inside > as_degrees and inside > chance + _CHANCE_SIGMAS * sigma
            return OtherUnit(name, option, inside, as_degrees, chance, bool(evident))
    return None
