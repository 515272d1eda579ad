"""Where a source is: HEALPix pixels, the split by pixel, and neighbours on the sphere."""

from __future__ import annotations

import hashlib
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.config import SPLIT_ORDER, SplitConfig
from lensneg.quickhealpy import healpy

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ARCSEC = np.pi / (180 * 3600)

#: Degrees by which a sieve holds more than it must: rounding may lose nothing.
_MARGIN = 1e-6


def healpix_pixel(nside: int, ra: FloatArray, dec: FloatArray) -> IntArray:
    """Return the NESTED HEALPix pixel of each position.

    Parameters
    ----------
    nside : int
    ra, dec : ndarray of float64, shape (n,)
        Degrees.

    Examples
    --------
    >>> healpix_pixel(128, np.array([165.4754]), np.array([-6.04226]))
    array([107657])
    """
    pixels: IntArray = healpy.ang2pix(nside, ra, dec, nest=True, lonlat=True)
    return pixels


def split_of_pixel(pixels: IntArray, config: SplitConfig) -> npt.NDArray[np.str_]:
    """Return the split of each pixel.

    The rule: u is the first four bytes, big-endian, of the SHA-256 of ``"{pixel}_{seed}"``, divided
    by 2^32; the fractions are cumulated in the order train, val, test.

    Parameters
    ----------
    pixels : ndarray of int, shape (n,)
        NESTED pixels at ``config.nside``.
    config : SplitConfig

    Returns
    -------
    ndarray of str, shape (n,)

    Examples
    --------
    >>> from lensneg.config import SplitConfig
    >>> thirds = {"train": 0.70, "val": 0.15, "test": 0.15}
    >>> rule = SplitConfig.model_validate({"nside": 128, "seed": 42, "fractions": thirds})
    >>> split_of_pixel(np.array([107657, 114444]), rule)
    array(['train', 'test'], dtype='<U5')
    """
    unique, inverse = np.unique(pixels, return_inverse=True)
    u = np.array(
        [
            int.from_bytes(hashlib.sha256(f"{pixel}_{config.seed}".encode("ascii")).digest()[:4])
            for pixel in unique.tolist()
        ],
        dtype=np.float64,
    ) / float(1 << 32)
    names = np.array(SPLIT_ORDER)
    return names[np.searchsorted(split_edges(config), u, side="right")][inverse]


def split_edges(config: SplitConfig) -> list[float]:
    """Return the values of u at which all splits but the first begin.

    The last split takes all that is left, so that fractions that add up to just below 1 lose no pixel.
    """
    fractions = [getattr(config.fractions, name) for name in SPLIT_ORDER]
    return list(accumulate(fractions))[:-1]


def unit_vectors(ra: FloatArray, dec: FloatArray) -> npt.NDArray[np.float64]:
    """Return Cartesian unit vectors, shape (n, 3), of positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def separation_arcsec(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the angle in arcseconds between unit vectors, row by row.

    From the chord, which unlike the dot product keeps its precision at small angles.
    """
    chord = np.sqrt(((a - b) ** 2).sum(axis=-1))
    angle: npt.NDArray[np.float64] = 2 * np.arcsin(np.minimum(chord / 2, 1.0)) / _ARCSEC
    return angle


class Pairs(NamedTuple):
    """Pairs of a source and a catalogue position within a radius; three arrays of one length."""

    source: IntArray
    position: IntArray
    separation_arcsec: FloatArray


def _expanded(first: IntArray, count: IntArray) -> tuple[IntArray, IntArray]:
    """Return the numbers of many runs, ``count[i]`` from ``first[i]`` on, each with its i before it."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) + np.repeat(first - (np.cumsum(count) - count), count)


class _Axis(NamedTuple):
    """Equal bins of a coordinate, numbered from 1; all that lies before is bin 0, all behind the last."""

    zero: float
    per_degree: float
    bins: int

    @classmethod
    def over(cls, low: float, high: float, bins: int) -> _Axis:
        """Divide what is between two values, with a margin, so that rounding puts neither outside."""
        per_degree = bins / (high - low + 2 * _MARGIN)
        return cls(low - _MARGIN - 1 / per_degree, per_degree, bins)

    def unbounded_bin_of(self, values: FloatArray) -> npt.NDArray[np.int32]:
        """Return the bin of each value, which may be below 0 or behind the last; of NaN some number."""
        place = values - self.zero
        place *= self.per_degree
        with np.errstate(invalid="ignore"):
            return place.astype(np.int32)

    def bin_of(self, values: FloatArray) -> npt.NDArray[np.int32]:
        """Return the bin of each value; of NaN some bin."""
        bins = self.unbounded_bin_of(values)
        np.maximum(bins, 0, out=bins)
        np.minimum(bins, self.bins + 1, out=bins)
        return bins


class PositionIndex:
    """Catalogue positions, searchable by sources within a radius, on the whole sphere.

    Sources are sieved by declination, then by cells of a grid, and only the few that are left have their
    distance computed. The grid is one of right ascension and declination; a circle reaches as far in right
    ascension as it does where it touches a meridian, around the whole sky if it holds a pole.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    radius_arcsec : float
        Pairs up to and including this separation are found.
    """

    #: Declination bins of the first sieve: 1.3 arcsec over 5 degrees, so that a narrow radius stays so.
    _DEC_BINS = 1 << 14
    #: Most cells of the grid in right ascension and in declination. So many stay in a processor's cache.
    _MOST_CELLS = (256, 1024)

    def __init__(self, ra: FloatArray, dec: FloatArray, radius_arcsec: float) -> None:
        self.size = len(ra)
        self.radius_arcsec = radius_arcsec
        if self.size == 0:
            return
        self._vectors = unit_vectors(ra, dec)
        radius = radius_arcsec / 3600 + _MARGIN
        south, north = dec - radius, dec + radius
        self._dec_axis = _Axis.over(float(south.min()), float(north.max()), self._DEC_BINS)
        self._bands = np.zeros(self._DEC_BINS + 2, dtype=bool)
        for first, last in zip(self._dec_axis.bin_of(south), self._dec_axis.bin_of(north), strict=True):
            self._bands[first : last + 1] = True
        self._make_grid(ra, south, north, radius)

    def _make_grid(self, ra: FloatArray, south: FloatArray, north: FloatArray, radius: float) -> None:
        """Find the cells that each circle lies in."""
        # Right ascension is counted from the meridian that is opposite to the circles' middle.
        lon = np.radians(ra)
        self._ra_zero = float(np.degrees(np.arctan2(np.sin(lon).sum(), np.cos(lon).sum()))) - 180
        dec = (south + north) / 2
        holds_pole = (south < -90 + _MARGIN) | (north > 90 - _MARGIN)
        sine = np.sin(np.radians(radius)) / np.cos(np.radians(np.where(holds_pole, 0, dec)))
        half = np.where(holds_pole, 180, np.degrees(np.arcsin(sine)) + _MARGIN)
        # What goes beyond that meridian begins anew on its other side.
        middle = self._ra_from_zero(ra) + np.array([[-360.0], [0.0], [360.0]])
        west, east = np.maximum(middle - half, 0), np.minimum(middle + half, 360)
        turn, owner = np.nonzero(west <= east)
        west, east, south, north = west[turn, owner], east[turn, owner], south[owner], north[owner]

        def axis(low: FloatArray, high: FloatArray, most: int) -> _Axis:
            first, last = float(low.min()), float(high.max())
            return _Axis.over(first, last, int(np.clip((last - first) / radius, 1, most)))

        self._columns, self._rows = map(axis, (west, south), (east, north), self._MOST_CELLS)
        row, last_row = (self._rows.bin_of(edge).astype(np.int64) for edge in (south, north))
        column, last_column = (self._columns.bin_of(edge).astype(np.int64) for edge in (west, east))
        of_row, row = _expanded(row, last_row + 1 - row)
        of_cell, column = _expanded(column[of_row], (last_column + 1 - column)[of_row])
        cell, owner = self._cell(row[of_cell], column), owner[of_row[of_cell]]
        order = np.lexsort((owner, cell))
        cell, owner = cell[order], owner[order]
        # A circle around a pole begins anew where it ends.
        is_new = np.ones(len(cell), dtype=bool)
        is_new[1:] = (cell[1:] != cell[:-1]) | (owner[1:] != owner[:-1])
        self._cells, self._owners = cell[is_new], owner[is_new]
        self._is_occupied = np.zeros(self._cell(self._rows.bins + 2, 0), dtype=bool)
        self._is_occupied[cell] = True

    def _ra_from_zero(self, ra: FloatArray) -> FloatArray:
        """Return right ascensions from this index's own zero, between 0 and 360."""
        angle = ra - self._ra_zero
        turns = np.floor(angle / 360)
        turns *= 360
        angle -= turns
        return angle

    def _cell(self, row: Any, column: Any) -> Any:
        return row * (self._columns.bins + 2) + column

    def _cell_of(self, ra: FloatArray, dec: FloatArray) -> npt.NDArray[np.int32]:
        """Return the cell of each position; of one with NaN some cell."""
        cell: npt.NDArray[np.int32] = self._cell(
            self._rows.bin_of(dec), self._columns.bin_of(self._ra_from_zero(ra))
        )
        return cell

    def near_declination(self, dec: FloatArray) -> IntArray:
        """Return the indices of sources whose declination alone allows a pair: the first sieve."""
        if self.size == 0:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self._bands.take(self._dec_axis.unbounded_bin_of(dec), mode="clip"))

    def near_cells(self, ra: FloatArray, dec: FloatArray) -> IntArray:
        """Return the indices of sources in a cell that some circle lies in: the second sieve."""
        if self.size == 0:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self._is_occupied.take(self._cell_of(ra, dec), mode="clip"))

    def pairs(self, ra: FloatArray, dec: FloatArray) -> Pairs:
        """Return all pairs of a source and a position within the radius.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Degrees; sources with NaN pair with nothing.

        Returns
        -------
        Pairs
            Sorted by source, then position.
        """
        candidates = self.near_declination(dec)
        candidates = candidates[np.isfinite(ra[candidates]) & np.isfinite(dec[candidates])]
        candidates = candidates[self.near_cells(ra[candidates], dec[candidates])]
        if len(candidates) == 0:
            empty = np.empty(0, dtype=np.int64)
            return Pairs(empty, empty, np.empty(0))
        cell = self._cell_of(ra[candidates], dec[candidates])
        first = np.searchsorted(self._cells, cell, side="left")
        count = np.searchsorted(self._cells, cell, side="right") - first
        of_pair, place = _expanded(first, count)
        source, position = candidates[of_pair], self._owners[place]
        separation = separation_arcsec(unit_vectors(ra[source], dec[source]), self._vectors[position])
        near = separation <= self.radius_arcsec
        return Pairs(source[near], position[near], separation[near])
