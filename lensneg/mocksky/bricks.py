"""Bricks, and the quantities that change from one to the next: exposures, seeing, reddening."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.mocksky.population import BANDS, FloatArray, IntArray
from lensneg.rules.bricks import brick_columns, brick_name
from lensneg.rules.elementary import exp, sin_cos
from lensneg.rules.sky import unit_vectors
from lensneg.survey.names import Cell


class Bricks(NamedTuple):
    """The parts of bricks that lie in a cell: arrays with an entry for each part, or a row for each band.

    If cells share a brick, each of them has one ``slot`` of ``slots``, so that their OBJIDs differ.
    """

    brickid: IntArray
    name: npt.NDArray[np.bytes_]
    ra: FloatArray
    ra_width: FloatArray
    dec: FloatArray
    dec_width: FloatArray
    slot: IntArray
    slots: IntArray
    nobs: IntArray
    psfsize: FloatArray
    ebv: FloatArray

    def area(self) -> FloatArray:
        """Return each part's share of the cell's area."""
        area = self.ra_width * (sin_cos(self.dec + self.dec_width)[0] - sin_cos(self.dec)[0])
        return np.asarray(area / area.sum())

    def find(self, ra: float, dec: float) -> int:
        """Return the part that holds a position of the cell."""
        # How far from a part's middle, in its half widths: below 1 for one part only.
        across = np.abs(2 * (ra - self.ra) / self.ra_width - 1)
        along = np.abs(2 * (dec - self.dec) / self.dec_width - 1)
        return int(np.maximum(across, along).argmin())


def _field(seed: int, stream: int, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Return a random field on the sphere, smooth and about normal.

    It is a sum of plane waves, and so continues across the borders of files.
    """
    rng = np.random.default_rng([seed, stream])
    scales = np.repeat([2.5, 1.8, 1.2, 0.8, 0.6], 8)  # degrees
    direction = rng.standard_normal((3, len(scales)))
    direction *= 360 / scales / np.linalg.norm(direction, axis=0)
    position = unit_vectors(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    # The sum in a fixed order: that of a matrix product depends on the processor.
    phase = sum(np.multiply.outer(position[:, i], direction[i]) for i in range(3))
    waves = sin_cos((phase + rng.uniform(0, 2 * np.pi, len(scales))) * (180 / np.pi))[1]
    return np.asarray(waves.sum(axis=1) * math.sqrt(2 / len(scales)))


def _exposures(depth: FloatArray) -> FloatArray:
    """Return the exposures of bricks, from a field that is about normal.

    The survey plans three, and has more in many places. At its edges there are fewer.
    """
    return np.asarray(np.rint(np.maximum(3 + exp(1.15 * depth + 0.45) - exp(-4 * (depth + 2.6)), 0)))


def _tiling(cell: Cell) -> tuple[IntArray, ...]:
    """Return row, column, columns of the row, id, slot and slots of the bricks that touch a cell.

    It is the survey's tiling (:mod:`lensneg.rules.bricks`), with ids that count from the south. So bricks
    overlap several cells. All numbers are integers, so that cells agree about the bricks that they share.
    """
    columns = brick_columns()
    first_id = 1 + np.cumsum(columns) - columns
    ra_min, ra_max, band = int(cell.ra_min), int(cell.ra_max), int(cell.dec_min + 90) // 5
    bricks = []
    for row in range(20 * band, 20 * band + 21):
        n = int(columns[row])
        # In eighths of a degree from the pole, a row goes from 2 row - 1 to 2 row + 1, and a cell has 40.
        bands = (max(2 * row - 1, 0) // 40, 2 * row // 40)
        for j in range(ra_min * n // 360, -(-ra_max * n // 360)):
            first, last = 72 * j // n, -(-72 * (j + 1) // n) - 1
            across = last - first + 1
            slot = (band - bands[0]) * across + ra_min // 5 - first
            bricks.append((row, j, n, first_id[row] + j, slot, across * (bands[1] - bands[0] + 1)))
    return tuple(np.array(bricks).T)


def bricks_of(cell: Cell, seed: int) -> Bricks:
    """Return the bricks of a cell, with their exposures, seeing and reddening."""
    row, column, columns, brickid, slot, slots = _tiling(cell)
    ra, dec, half = 360 * (column + 0.5) / columns, row / 4 - 90, 180 / columns
    ra_low, ra_high = np.maximum(ra - half, cell.ra_min), np.minimum(ra + half, cell.ra_max)
    dec_low, dec_high = np.maximum(dec - 0.125, cell.dec_min), np.minimum(dec + 0.125, cell.dec_max)
    names = list(map(brick_name, ra.tolist(), dec.tolist()))
    depth = 0.95 * _field(seed, 1, ra, dec)
    nobs = [_exposures(depth + 0.3 * _field(seed, 2 + i, ra, dec)) for i in range(len(BANDS))]
    nobs[2][_field(seed, 6, ra, dec) < 0] = 0  # half of the sky has no i band
    seeing = exp(0.08 * _field(seed, 7, ra, dec))
    return Bricks(
        brickid=brickid,
        name=np.array(names, dtype="S8"),
        ra=ra_low,
        ra_width=ra_high - ra_low,
        dec=dec_low,
        dec_width=dec_high - dec_low,
        slot=slot,
        slots=slots,
        nobs=np.minimum(nobs, 60).astype(np.int16),
        psfsize=np.array([[b.psfsize] for b in BANDS]) * seeing,
        # Below zero in places, as the real map, where transmission exceeds 1.
        ebv=0.05 * exp(0.7 * _field(seed, 8, ra, dec)) - 0.006,
    )
