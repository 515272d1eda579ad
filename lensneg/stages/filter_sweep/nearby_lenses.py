"""The lenses and positives in and around a cell of the sky."""

from typing import Final

import numpy as np

from lensneg.errors import SweepError
from lensneg.rules.rows import Rows
from lensneg.rules.sky import PositionIndex, unit_vectors
from lensneg.schema.run import Run
from lensneg.survey.names import Cell

#: A source may lie outside its file's cell by at most a brick, which is how sweeps are put together.
_CELL_MARGIN_DEG: Final = 0.25


class NearbyLenses:
    """A cell of the sky: the lenses and the positives in and around it.

    They are chosen by their distance from its centre, which knows no edge at RA 0/360 and no pole.
    """

    def __init__(self, run: Run, cell: Cell) -> None:
        self.cell = cell
        corners = unit_vectors(*(np.array(x) for x in zip(*cell.corners, strict=True)))
        centre = unit_vectors(*(np.array([x]) for x in cell.centre))[0]
        # A box of 5 by 5 degrees reaches farthest in its corners; a degree more holds its margin.
        radius = np.arccos((corners @ centre).min()) + np.radians(1.0)
        config, lenses = run.config, run.lenses
        near = unit_vectors(lenses.ra, lenses.dec) @ centre >= np.cos(radius)
        self.positive_rows = np.flatnonzero(near & lenses.is_positive)
        self.lenses = PositionIndex(lenses.ra[near], lenses.dec[near], config.lenses.exclusion_radius_arcsec)
        self.positives = PositionIndex(
            lenses.ra[self.positive_rows],
            lenses.dec[self.positive_rows],
            config.positives.match_radius_arcsec,
        )

    def check_positions(self, rows: Rows, uri: str) -> None:
        """Refuse rows of another part of the sky: their lenses would be looked for in the wrong place."""
        cell, ra, dec = self.cell, rows["RA"], rows["DEC"]
        # Written so that NaN, which compares as false, is outside, too.
        outside = ~((ra >= 0) & (ra < 360) & (np.abs(dec) <= 90))
        outside |= (dec < cell.dec_min - _CELL_MARGIN_DEG) | (dec > cell.dec_max + _CELL_MARGIN_DEG)
        farthest = max(abs(cell.dec_min), abs(cell.dec_max)) + _CELL_MARGIN_DEG
        if farthest < 89:  # every right ascension is near at the pole
            half = (cell.ra_max - cell.ra_min) / 2 + _CELL_MARGIN_DEG / np.cos(np.radians(farthest))
            outside |= np.abs((ra - cell.centre[0] + 180) % 360 - 180) > half
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise SweepError(
                f"row {rows.row_index[i]:,} is at RA {ra[i]:.4f}, Dec {dec[i]:.4f}, outside the cell "
                "that the file's name stands for",
                where=uri,
                remedy="was it renamed? fetch it again",
            )
