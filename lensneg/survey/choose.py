"""The choice of sweep files by name, by a box on the sky, or by the positions of catalogues."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from lensneg.errors import InputError
from lensneg.rules.systems import systems
from lensneg.schema.arrays import FloatArray
from lensneg.survey.names import Cell
from lensneg.survey.releases import RELEASE_NAME, release_cells

#: Catalogue entries within so many arcseconds count as one lens, such as spectra of lens and source.
ONE_LENS_ARCSEC: Final = 3.0


class Box(NamedTuple):
    """A box on the sky in degrees, across RA 0 where ``ra_min`` is above ``ra_max``."""

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def touches(self, cell: Cell) -> bool:
        """Return whether the box and a cell share more than a border.

        Parameters
        ----------
        cell : Cell
            The cell of a sweep file.

        Returns
        -------
        bool
            Whether they overlap.
        """
        if not (cell.dec_min < self.dec_max and self.dec_min < cell.dec_max):
            return False
        if self.ra_min <= self.ra_max:
            return cell.ra_min < self.ra_max and self.ra_min < cell.ra_max
        return cell.ra_max > self.ra_min or cell.ra_min < self.ra_max


def _check_box(box: Box) -> None:
    """Refuse a box that is empty or not on the sky."""
    ra, dec = f"RA {box.ra_min:g} to {box.ra_max:g}", f"Dec {box.dec_min:g} to {box.dec_max:g}"
    if not (0 <= box.ra_min <= 360 and 0 <= box.ra_max <= 360):
        raise InputError("expected degrees from 0 to 360", where=ra)
    if not (-90 <= box.dec_min < box.dec_max <= 90):
        raise InputError("expected two different values from -90 to 90, the lower one first", where=dec)
    if box.ra_min == box.ra_max:
        raise InputError("an empty range", where=ra, remedy="give two different values")


def choose_sweeps(
    names: Sequence[str] = (),
    positions: Sequence[tuple[FloatArray, FloatArray]] = (),
    boxes: Sequence[Box] = (),
    release: str = RELEASE_NAME,
    cells: Mapping[str, Cell] | None = None,
) -> list[str]:
    """Return a release's sweep files that meet all conditions.

    Parameters
    ----------
    names : sequence of str, optional
        Only these files.
    positions : sequence of (ndarray, ndarray), optional
        RA and Dec of catalogues in degrees. Only files whose cell holds one of the positions.
    boxes : sequence of Box, optional
        Only files whose cell overlaps each box.
    release : str
        The name of the release.
    cells : mapping of str to Cell, optional
        The cell of each of its files by name; by default those of DR10.1.

    Returns
    -------
    list of str
        File names, ordered; the whole release if there is no condition.

    Raises
    ------
    InputError
        If a name is not one of the release, a box is empty or not on the sky, or no file is left.
    """
    cells = release_cells() if cells is None else cells
    unknown = sorted(set(names) - cells.keys())
    if unknown:
        remedy = f"lensneg sweeps list prints the {len(cells):,} that there are"
        raise InputError(f"no sweep file of {release}", where=unknown[0], remedy=remedy)
    for box in boxes:
        _check_box(box)
    chosen = [
        name
        for name, cell in cells.items()
        if (not names or name in names)
        and all(box.touches(cell) for box in boxes)
        and (not positions or any(cell.holds(ra, dec).any() for ra, dec in positions))
    ]
    if not chosen:
        what = f"no sweep file of {release} meets the conditions"
        if release == RELEASE_NAME:
            what += ": it covers Dec -90 to +35 and little beyond, without the Milky Way"
        raise InputError(what, remedy="lensneg sweeps list prints what there is")
    return chosen


def count_lenses(
    names: Sequence[str],
    positions: Sequence[tuple[FloatArray, FloatArray]],
    cells: Mapping[str, Cell] | None = None,
) -> tuple[dict[str, int], int]:
    """Count the lenses in the cells of sweep files.

    Parameters
    ----------
    names : sequence of str
        Sweep files of the release.
    positions : sequence of (ndarray, ndarray)
        RA and Dec of catalogues in degrees. Entries within :data:`ONE_LENS_ARCSEC` are one lens.
    cells : mapping of str to Cell, optional
        The release's files; those of DR10.1 by default.

    Returns
    -------
    lenses : dict of str to int
        The number in each file, the files with most lenses first, and by name where they have as many.
    given : int
        The number of all lenses, in a file or not.
    """
    ra, dec = (np.concatenate([position[i] for position in positions]) for i in (0, 1))
    first = np.unique(systems(ra, dec, ONE_LENS_ARCSEC))
    ra, dec, cells = ra[first], dec[first], release_cells() if cells is None else cells
    counts = {name: int(cells[name].holds(ra, dec).sum()) for name in names}
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))), len(first)
