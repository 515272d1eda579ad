"""Negatives of different splits are apart: by their pixels, and by a search for near pairs."""

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.audit.columns import Rows
from lensneg.audit.sample_checks import split_of_pixels
from lensneg.audit.subject import Content
from lensneg.audit.tally import FAULT, RowRule, Tally
from lensneg.healpy_without_plots import healpy
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.check import Check
from lensneg.schema.config import SpatialSplitsConfig

#: Points of a circle that are looked at.
_POINTS: Final = 16

#: Rows that are searched for near pairs at once, and pairs that are compared at once.
_ROWS_AT_ONCE: Final = 1 << 19
_PAIRS_AT_ONCE: Final = 1 << 19

#: Bands of declination in a degree, by which rows are counted.
_BANDS_PER_DEGREE: Final = 100

#: Half of the cells around a cell, and the cell itself: each pair of cells is met once.
_CELLS_AROUND: Final = tuple(cell for cell in product((-1, 0, 1), repeat=3) if cell >= (0, 0, 0))


def _vectors(ra: FloatArray, dec: FloatArray) -> npt.NDArray[np.float64]:
    """Return the unit vectors of positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


class Borders(Tally):
    """Looks for negatives whose circle enters another split, and for near pairs of different splits.

    Rows are counted by bands of declination as they come. Then each band is read again, with what is just
    north of it, so that no more than some rows are held.
    """

    def __init__(self, content: Content) -> None:
        self._content, self._config = content, content.config.spatial_splits
        self._bands = np.zeros(180 * _BANDS_PER_DEGREE + 1, dtype=np.int64)
        self._off_sphere = False
        radius = self._config.border_arcsec
        self._rule = RowRule(
            "clear_of_borders",
            f'the circle of {radius:g}" around every negative in its own split, at {_POINTS} points',
            lambda rows: _enters_another(rows, self._config),
            FAULT,
            parts=("negatives",),
        )

    def add(self, rows: Rows) -> None:
        """Look at the circles of some rows, and count the rows by declination."""
        if not self._config.border_arcsec or rows.part != "negatives":
            return
        self._off_sphere = self._off_sphere or bool(rows.off_sphere.any())
        if not self._off_sphere:
            self._rule.add(rows)
            self._bands += np.bincount(_band(rows["dec"]), minlength=len(self._bands))

    def checks(self) -> Iterator[Check]:
        """Yield the checks, if the config has a border."""
        if not self._config.border_arcsec or self._off_sphere:
            return
        yield from self._rule.checks()
        reach = 2 * self._config.border_arcsec
        count, first = 0, ""
        for south, north in self._parts_of_the_sky():
            found, example = near_pairs(*self._rows_between(south, north, reach), reach, north)
            count, first = count + found, first or example
        yield Check(
            name="splits_apart",
            passed=not count,
            expected=f'no two negatives of different splits nearer than {reach:g}"',
            actual=f"{count:,} pairs are, the first {first}" if count else "none",
            remedy=FAULT,
        )

    def _parts_of_the_sky(self) -> Iterator[tuple[float, float]]:
        """Yield ranges of declination that hold as many rows as are searched at once, or one band."""
        start, rows = 0, 0
        for band, here in enumerate(self._bands.tolist()):
            if rows and rows + here > _ROWS_AT_ONCE:
                yield start / _BANDS_PER_DEGREE - 90, band / _BANDS_PER_DEGREE - 90
                start, rows = band, 0
            rows += here
        yield start / _BANDS_PER_DEGREE - 90, 90.1

    def _rows_between(
        self, south: float, north: float, reach_arcsec: float
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[np.object_]]:
        """Read positions and splits from a declination to another, and as far beyond as a pair reaches."""
        ras, decs, splits = [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=object)]
        for ra, dec, split in self._aligned(("ra", "dec", "split")):
            place = np.asarray(dec)
            (here,) = np.nonzero((place >= south) & (place < north + reach_arcsec / 3600 * 1.001))
            ras.append(np.asarray(ra)[here])
            decs.append(place[here])
            splits.append(split.take(pa.array(here)).to_numpy(zero_copy_only=False))
        return np.concatenate(ras), np.concatenate(decs), np.concatenate(splits)

    def _aligned(self, names: tuple[str, ...]) -> Iterator[list[pa.Array]]:
        """Yield the values of some columns of the negatives in pieces of equal lengths."""
        columns = [self._content.column("negatives", name) for name in names]
        held = [pa.nulls(0)] * len(columns)
        while True:
            held = [
                next(more, None) if not len(piece) else piece
                for piece, more in zip(held, columns, strict=True)
            ]
            if any(piece is None for piece in held):
                return
            n = min(map(len, held))
            yield [piece.slice(0, n) for piece in held]
            held = [piece.slice(n) for piece in held]


def _band(dec: FloatArray) -> IntArray:
    return np.floor((dec + 90) * _BANDS_PER_DEGREE).astype(np.int64)


def _enters_another(rows: Rows, config: SpatialSplitsConfig) -> BoolArray:
    """Return which rows have a point of their circle in another split than the pixel of the row is in."""
    lon, lat = np.radians(rows["ra"]), np.radians(rows["dec"])
    here = _vectors(rows["ra"], rows["dec"])
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros(len(rows))], axis=1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=1)
    radius, own = np.radians(config.border_arcsec / 3600), split_of_pixels(rows.pixels, config)
    enters = np.zeros(len(rows), dtype=bool)
    for turn in np.arange(_POINTS) * (2 * np.pi / _POINTS):
        point = here * np.cos(radius) + (east * np.cos(turn) + north * np.sin(turn)) * np.sin(radius)
        pixels = np.asarray(healpy.vec2pix(config.nside, *point.T, nest=True))
        (left,) = np.nonzero(pixels != rows.pixels)
        enters[left] |= split_of_pixels(pixels[left], config) != own[left]
    return enters


def near_pairs(
    ra: FloatArray, dec: FloatArray, split: npt.NDArray[np.object_], reach_arcsec: float, north: float = 90.1
) -> tuple[int, str]:
    """Count pairs of different splits that are nearer than a distance, by cells of that size in space.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    split : ndarray of str, shape (n,)
    reach_arcsec : float
        Pairs nearer than this are counted.
    north : float
        Pairs with both declinations at or above this are left out.

    Returns
    -------
    count : int
    first : str
        Where the first one is; empty if there is none.

    Examples
    --------
    >>> dec, split = np.zeros(3), np.array(["train", "test", "test"], dtype=object)
    >>> near_pairs(np.array([359.999, 0.001, 0.003]), dec, split, 10.0)
    (1, 'at RA 359.99900, Dec 0.00000 (train) and RA 0.00100, Dec 0.00000 (test)')
    """
    chord = 2 * np.sin(np.radians(reach_arcsec / 3600) / 2)
    vectors = _vectors(ra, dec)
    step = np.int64(2 / chord + 4)  # more than the cells along an axis
    x, y, z = np.floor((vectors + 1) / chord).astype(np.int64).T + 1
    key = (x * step + y) * step + z
    order = np.argsort(key, kind="stable")
    key, vectors, ra, dec, split = key[order], vectors[order], ra[order], dec[order], split[order]
    count, first = 0, ""
    for dx, dy, dz in _CELLS_AROUND:
        aim = key + ((dx * step + dy) * step + dz)
        start, stop = np.searchsorted(key, aim), np.searchsorted(key, aim, side="right")
        if not dx and not dy and not dz:
            start = np.arange(1, len(key) + 1)  # in the same cell, each pair once
        length = np.maximum(stop - start, 0)
        block = np.cumsum(length) // _PAIRS_AT_ONCE
        for number in np.unique(block[length > 0]):
            (rows,) = np.nonzero((block == number) & (length > 0))
            one = np.repeat(rows, length[rows])
            within = np.arange(len(one)) - np.repeat(np.cumsum(length[rows]) - length[rows], length[rows])
            other = start[one] + within
            near = (split[one] != split[other]) & (np.minimum(dec[one], dec[other]) < north)
            near &= np.linalg.norm(vectors[one] - vectors[other], axis=1) < chord
            count += int(near.sum())
            if near.any() and not first:
                i, j = one[near][0], other[near][0]
                places = (f"RA {ra[k]:.5f}, Dec {dec[k]:.5f} ({split[k]})" for k in (i, j))
                first = "at " + " and ".join(places)
    return count, first
