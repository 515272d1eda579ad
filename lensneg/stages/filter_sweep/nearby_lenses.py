"""The lenses and positives in and around a cell of the sky."""

from typing import Final

import numpy as np

from lensneg.errors import SweepError
from lensneg.rules.exclusion import exclusion_radius
from lensneg.rules.rows import Rows
from lensneg.rules.sky import PositionIndex, unit_vectors
from lensneg.schema.run import Run
from lensneg.survey.names import Cell

#: A sweep file holds whole bricks, so a source may lie outside the file's cell by at most a brick.
_CELL_MARGIN_DEG: Final = 0.25


class NearbyLenses:
    """The lenses and positives in and around a cell of the sky.

    They are chosen by their distance from the cell's centre, so RA 0/360 and the poles are no special cases.
    """

    def __init__(self, run: Run, cell: Cell) -> None:
        self.cell = cell
        corners = unit_vectors(*(np.array(x) for x in zip(*cell.corners, strict=True)))
        centre = unit_vectors(*(np.array([x]) for x in cell.centre))[0]
        config, lenses = run.config, run.lenses
        # A box of 5 by 5 degrees reaches farthest in its corners. A source may lie outside one on two sides.
        radii = exclusion_radius(lenses.radius_arcsec, config)
        widest = radii.max(initial=0.0)
        beyond = 2 * _CELL_MARGIN_DEG + widest / 3600
        radius = np.arccos((corners @ centre).min()) + np.radians(beyond)
        near = unit_vectors(lenses.ra, lenses.dec) @ centre >= np.cos(radius)
        # The box of a table may be wide. Its corners are then not what is farthest from its centre.
        near |= cell.ra_max - cell.ra_min > 180
        self.positive_rows = np.flatnonzero(near & lenses.is_positive)
        self.lenses = PositionIndex(lenses.ra[near], lenses.dec[near], radii[near])
        self.positives = PositionIndex(
            lenses.ra[self.positive_rows],
            lenses.dec[self.positive_rows],
            config.positives.match_radius_arcsec,
        )

    def check_positions(self, rows: Rows, uri: str) -> None:
        """Refuse rows outside the cell: they would be compared with the lenses of another part of the sky."""
        cell, ra, dec = self.cell, rows["RA"], rows["DEC"]
        # NaN compares as false, so this form counts it as outside.
        outside = ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
        outside |= (dec < cell.dec_min - _CELL_MARGIN_DEG) | (dec > cell.dec_max + _CELL_MARGIN_DEG)
        beyond = np.abs((ra - cell.centre[0] + 180) % 360 - 180) - (cell.ra_max - cell.ra_min) / 2
        farthest = max(abs(cell.dec_min), abs(cell.dec_max)) + _CELL_MARGIN_DEG
        if farthest < 89:
            outside |= beyond > _CELL_MARGIN_DEG / np.cos(np.radians(farthest))
        else:  # a brick at the pole goes around it
            around = np.abs(dec) < 90 - _CELL_MARGIN_DEG
            outside |= around & (beyond * np.cos(np.radians(dec)) > 2 * _CELL_MARGIN_DEG)
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise SweepError(
                f"row {rows.row_index[i]:,} is at RA {ra[i]:.4f}, Dec {dec[i]:.4f}, outside the cell "
                "that the file's name stands for",
                where=uri,
                remedy="was it renamed? fetch it again",
            )
