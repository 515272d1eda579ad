"""The lenses, positives and listed sources in and around a cell of the sky."""

from typing import Final

import numpy as np

from lensneg.errors import SweepError
from lensneg.rules.exclusion import exclusion_radius
from lensneg.rules.listed import SourceList
from lensneg.rules.rows import Rows
from lensneg.rules.sky import PositionIndex, unit_vectors
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.catalog_spec import SourceRole
from lensneg.schema.config import SelectionConfig
from lensneg.schema.run import Run
from lensneg.survey.names import Cell
from lensneg.survey.parquet_rows import RowGroup
from lensneg.survey.pixels import Area, radius_of

#: A sweep file holds whole bricks, so a source may lie outside the file's cell by at most a brick.
_CELL_MARGIN_DEG: Final = 0.25


class NearbyLenses:
    """The lenses, positives, suspects and hard negatives in and around a cell of the sky.

    They are chosen by their distance from the cell's centre, so RA 0/360 and the poles are no special cases.
    """

    def __init__(self, run: Run, cell: Area) -> None:
        self.cell, self._centre, self._radius = (
            cell,
            unit_vectors(*np.array([cell.centre]).T)[0],
            radius_of(cell),
        )
        config, lenses = run.config, run.lenses
        # A box of 5 by 5 degrees reaches farthest in its corners. A source may lie outside one on two sides.
        radii = exclusion_radius(lenses.radius_arcsec, config)
        reach = min(self._radius + np.radians(2 * _CELL_MARGIN_DEG + radii.max(initial=0.0) / 3600), np.pi)
        near = self._cosine(lenses.ra, lenses.dec) >= np.cos(reach)
        self.positive_rows = np.flatnonzero(near & lenses.is_positive)
        self._ra, self._dec = lenses.ra[self.positive_rows], lenses.dec[self.positive_rows]
        # A little more than the radius, as rounding may lose no positive.
        self._reach = config.positives.match_radius_arcsec / 3600 + 1e-6
        self.lenses = PositionIndex(lenses.ra[near], lenses.dec[near], radii[near])
        self.positives = PositionIndex(
            lenses.ra[self.positive_rows],
            lenses.dec[self.positive_rows],
            config.positives.match_radius_arcsec,
        )
        section = config.suspects
        self.suspects, _ = self._listed(run, "suspects", section.radius_arcsec if section else 0.0)
        hard = config.hard_negatives
        self.hard_negatives, self.hard_rows = self._listed(
            run, "hard_negatives", hard.match_radius_arcsec if hard else 0.0
        )
        #: The categories of hard negatives, and that of each. Catalogues of one name share it.
        of_catalog = [c.category if c.role == "hard_negatives" else "" for c in run.record.catalogs]
        self.external = list(dict.fromkeys(filter(None, of_catalog)))
        groups = np.array([self.external.index(name) if name else -1 for name in of_catalog], dtype=np.int64)
        listed = run.listed
        self.hard_groups = groups[listed.catalog[self.hard_rows]]
        # Rows outside the run's range of Dec are read where they may be a hard negative, to say so.
        self._ra = np.concatenate([self._ra, listed.ra[self.hard_rows]])
        self._dec = np.concatenate([self._dec, listed.dec[self.hard_rows]])
        self._reach = max(self._reach, (hard.match_radius_arcsec if hard else 0.0) / 3600 + 1e-6)

    def _listed(self, run: Run, role: SourceRole, radius_arcsec: float) -> tuple[SourceList, IntArray]:
        """Return the listed sources of a role that may be in the cell, and their places in the run's list."""
        listed, rows = run.listed, run.listed_in(role)
        reach = min(self._radius + np.radians(2 * _CELL_MARGIN_DEG + radius_arcsec / 3600), np.pi)
        near = self._cosine(listed.ra[rows], listed.dec[rows]) >= np.cos(reach)  # not, without a position
        rows = rows[near | (listed.targetid[rows] > 0)]
        return SourceList(listed.ra[rows], listed.dec[rows], listed.targetid[rows], radius_arcsec), rows

    def outside(self, groups: list[RowGroup], selection: SelectionConfig) -> list[RowGroup]:
        """Return the row groups without a source in the run's range of Dec or near an entry to be matched."""
        if selection.dec_range is None or self.hard_negatives.has_ids:
            return []
        low, high = selection.dec_range

        def _is_outside(group: RowGroup) -> bool:
            if group.ra is None or group.dec is None or (group.dec.high > low and group.dec.low < high):
                return False
            near = (self._dec > group.dec.low - self._reach) & (self._dec < group.dec.high + self._reach)
            # A circle around a positive is as wide as the sky where it reaches a pole.
            narrowest = np.cos(np.radians(np.minimum(np.abs(self._dec) + self._reach, 90)))
            wide = np.minimum(self._reach / np.maximum(narrowest, 1e-9), 360)[:, np.newaxis]
            turned = self._ra[:, np.newaxis] + [-360, 0, 360]
            near &= ((turned > group.ra.low - wide) & (turned < group.ra.high + wide)).any(axis=1)
            return not near.any()

        return [group for group in groups if _is_outside(group)]

    def _cosine(self, ra: FloatArray, dec: FloatArray) -> FloatArray:
        """Return the cosine of the distance from the cell's centre."""
        return np.asarray(unit_vectors(ra, dec) @ self._centre)

    def check_positions(self, rows: Rows, uri: str) -> None:
        """Refuse rows outside the cell: they would be compared with the lenses of another part of the sky."""
        ra, dec = rows["RA"], rows["DEC"]
        # NaN compares as false, so this form counts it as outside.
        outside = ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
        if isinstance(self.cell, Cell):
            outside |= _beyond(self.cell, ra, dec)
        else:
            outside |= self._cosine(ra, dec) < np.cos(self._radius + np.radians(_CELL_MARGIN_DEG))
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise SweepError(
                f"row {rows.row_index[i]:,} is at RA {ra[i]:.4f}, Dec {dec[i]:.4f}, outside the cell "
                "that the file's name stands for",
                where=uri,
                remedy="was it renamed? fetch it again",
            )


def _beyond(cell: Cell, ra: FloatArray, dec: FloatArray) -> BoolArray:
    """Return which positions lie farther outside a cell than a brick does."""
    outside = (dec < cell.dec_min - _CELL_MARGIN_DEG) | (dec > cell.dec_max + _CELL_MARGIN_DEG)
    beyond = np.abs((ra - cell.centre[0] + 180) % 360 - 180) - (cell.ra_max - cell.ra_min) / 2
    farthest = max(abs(cell.dec_min), abs(cell.dec_max)) + _CELL_MARGIN_DEG
    if farthest < 89:
        outside |= beyond > _CELL_MARGIN_DEG / np.cos(np.radians(farthest))
    else:  # a brick at the pole goes around it
        around = np.abs(dec) < 90 - _CELL_MARGIN_DEG
        outside |= around & (beyond * np.cos(np.radians(dec)) > 2 * _CELL_MARGIN_DEG)
    return np.asarray(outside)
