"""Which sweep files cover a catalogue, a box on the sky, a range of declination, or the whole release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lensneg.catalogs.catalog import read_catalog
from lensneg.errors import InputError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.survey.names import Cell
from lensneg.survey.releases import RELEASE_NAME, release_cells


class Box(NamedTuple):
    """A box on the sky, in degrees; where ``ra_min`` is above ``ra_max`` it goes across RA 0."""

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float

    def touches(self, cell: Cell) -> bool:
        """Return whether the box and a cell share more than a border."""
        if not (cell.dec_min < self.dec_max and self.dec_min < cell.dec_max):
            return False
        if self.ra_min <= self.ra_max:
            return cell.ra_min < self.ra_max and self.ra_min < cell.ra_max
        return cell.ra_max > self.ra_min or cell.ra_min < self.ra_max


def check_box(box: Box) -> Box:
    """Return a box that lies on the sky.

    Raises
    ------
    InputError
        If a coordinate is out of range or the box is empty.
    """
    if not (0 <= box.ra_min <= 360 and 0 <= box.ra_max <= 360):
        raise InputError(f"RA {box.ra_min:g} to {box.ra_max:g}: expected degrees from 0 to 360")
    if not (-90 <= box.dec_min < box.dec_max <= 90):
        raise InputError(
            f"Dec {box.dec_min:g} to {box.dec_max:g}: expected two different values from -90 to 90, "
            "the lower one first"
        )
    if box.ra_min == box.ra_max:
        raise InputError(
            f"RA {box.ra_min:g} to {box.ra_max:g}: an empty range", remedy="give two different values"
        )
    return box


def choose_sweeps(
    *,
    names: Sequence[str] = (),
    catalogs: Sequence[str] = (),
    boxes: Sequence[Box] = (),
) -> list[str]:
    """Return the release's sweep files that meet every kind of condition that is given.

    Parameters
    ----------
    names : sequence of str
        Files by name. Only these.
    catalogs : sequence of str
        Catalogues as ``FILE?option=value``. Only files in whose cell one of their positions lies.
    boxes : sequence of Box
        Only files whose cell overlaps each of these.

    Returns
    -------
    list of str
        Names, ordered; the whole release where nothing is given.

    Raises
    ------
    InputError
        If a name is not one of the release, a catalogue cannot be read, or nothing is left.
    """
    cells = release_cells()
    unknown = sorted(set(names) - cells.keys())
    if unknown:
        raise InputError(
            f"no sweep file of {RELEASE_NAME}",
            where=unknown[0],
            remedy=f"lensneg sweeps list prints the {len(cells):,} that there are",
        )
    chosen = {name: cell for name, cell in cells.items() if not names or name in names}
    for box in boxes:
        check_box(box)
        chosen = {name: cell for name, cell in chosen.items() if box.touches(cell)}
    if catalogs:
        read = [read_catalog(CatalogSpec.parse(text)) for text in catalogs]
        ra = np.concatenate([catalog.ra for catalog in read])
        dec = np.concatenate([catalog.dec for catalog in read])
        chosen = {name: cell for name, cell in chosen.items() if cell.holds(ra, dec).any()}
    if not chosen:
        raise InputError(
            f"no sweep file of {RELEASE_NAME} meets the conditions: it covers Dec -90 to +35 and "
            "little beyond, without the Milky Way",
            remedy="lensneg sweeps list prints what there is",
        )
    return list(chosen)
