"""Where a source is: HEALPix pixels, and neighbours on the sphere."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.healpy_without_plots import healpy
from lensneg.rules.elementary import sin_cos
from lensneg.schema.arrays import FloatArray, IntArray

_ARCSEC = np.pi / (180 * 3600)

#: Half a chord up to which four terms of the arcsine's series are exact to the last bit or two: 1.1 degrees.
_SERIES_REACH: Final = 0.01

#: Degrees by which a sieve holds more than it must: rounding may lose nothing.
_MARGIN = 1e-6


def healpix_pixel(nside: int, ra: FloatArray, dec: FloatArray) -> IntArray:
    """Return the NESTED HEALPix pixel of each position.

    Parameters
    ----------
    nside : int
        A power of two.
    ra, dec : ndarray of float64, shape (n,)
        Degrees.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> healpix_pixel(128, np.array([165.4754]), np.array([-6.04226]))
    array([107657])
    """
    pixels: IntArray = healpy.ang2pix(nside, ra, dec, nest=True, lonlat=True)
    return pixels


def unit_vectors(ra: FloatArray, dec: FloatArray) -> npt.NDArray[np.float64]:
    """Return Cartesian unit vectors of positions.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.

    Returns
    -------
    ndarray of float64, shape (n, 3)
    """
    (sin_ra, cos_ra), (sin_dec, cos_dec) = sin_cos(ra), sin_cos(dec)
    return np.stack([cos_dec * cos_ra, cos_dec * sin_ra, sin_dec], axis=1)


def separation_arcsec(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the angle between unit vectors, row by row.

    It is computed from the chord, which unlike the dot product keeps its precision at small angles.

    Parameters
    ----------
    a, b : ndarray of float64, shape (n, 3)
        Unit vectors.

    Returns
    -------
    ndarray of float64, shape (n,)
        Arcseconds.
    """
    x, y, z = (a - b).T
    half = np.minimum(np.sqrt(x * x + y * y + z * z) / 2, 1.0)
    square = half * half
    series = half * (1 + square * (1 / 6 + square * (3 / 40 + square * (5 / 112))))
    # The library's arcsine is not the same everywhere. No radius of a config reaches as far.
    return np.asarray(2 * np.where(half < _SERIES_REACH, series, np.arcsin(half)) / _ARCSEC)


class Pairs(NamedTuple):
    """Pairs of a source and a catalogue position within a radius; three arrays of one length."""

    source: IntArray
    position: IntArray
    separation_arcsec: FloatArray


def _expanded(first: IntArray, count: IntArray) -> tuple[IntArray, IntArray]:
    """Return the numbers of many runs, ``count[i]`` from ``first[i]`` on, each with its i before it."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) + np.repeat(first - (np.cumsum(count) - count), count)


class PositionIndex:
    """Catalogue positions, searchable by sources within a radius, on the whole sphere.

    Declination bins and cells of a grid exclude most sources; distances are computed for the few that are
    left. The grid is one of right ascension and declination. A circle reaches as far in right ascension as
    where it touches a meridian, and around the whole sky if it holds a pole.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    radius_arcsec : float or ndarray of float64, shape (n,)
        Pairs up to and including this separation are found: one for all positions, or one for each.
    """

    #: Declination bins of the first sieve: 1.1 arcsec over 5 degrees, so that a narrow radius stays so.
    _DEC_BINS = 1 << 14
    #: Least bins to a row of the grid, as a power of two: half an arcminute over 5 degrees.
    _ROW_BITS = 5
    #: Most columns around the sky, as a power of two: 5 arcminutes each.
    _COLUMN_BITS = 12

    def __init__(self, ra: FloatArray, dec: FloatArray, radius_arcsec: float | FloatArray) -> None:
        self.size = len(ra)
        self.radius_arcsec = np.broadcast_to(radius_arcsec, len(ra))
        if self.size == 0:
            return
        self._vectors = unit_vectors(ra, dec)
        radius = self.radius_arcsec / 3600 + _MARGIN
        widest = float(radius.max())
        south, north = dec - radius, dec + radius
        # The first bin is left empty: what has no declination comes to lie there.
        self._bins_per_degree = (self._DEC_BINS - 3) / float(north.max() - south.min())
        self._dec_zero = float(south.min()) - 1.5 / self._bins_per_degree
        first, last = self._dec_bin(south), self._dec_bin(north)
        self._bands = np.zeros(self._DEC_BINS, dtype=bool)
        for a, b in zip(first.tolist(), last.tolist(), strict=True):
            self._bands[a : b + 1] = True
        # A cell is not made smaller than half the widest radius: circles would lie in too many.
        self._row_bits = max(self._ROW_BITS, int(np.ceil(np.log2(self._bins_per_degree * widest / 2))))
        self._column_bits = min(self._COLUMN_BITS, int(np.log2(360 / (widest / 2))))
        # How far the circles reach in right ascension.
        holds_pole = np.abs(dec) + radius > 90 - _MARGIN
        sine = np.sin(np.radians(radius)) / np.cos(np.radians(np.where(holds_pole, 0, dec)))
        half = np.where(holds_pole, 180, np.degrees(np.arcsin(sine)))
        columns = 1 << self._column_bits
        west, east = (np.floor(edge * (columns / 360)).astype(np.int64) for edge in (ra - half, ra + half))
        wide = np.minimum(east + 1 - west, columns)
        row, last_row = first >> self._row_bits, last >> self._row_bits
        # One entry for each row of a circle, then one for each cell of the row.
        owner, row = _expanded(row, last_row + 1 - row)
        entry, column = _expanded(west[owner], wide[owner])
        cell, owner = self._cell(row[entry], column), owner[entry]
        order = np.lexsort((owner, cell))
        self._cells, self._owners = cell[order], owner[order]
        self._is_occupied = np.zeros(self._DEC_BINS >> self._row_bits << self._column_bits, dtype=bool)
        self._is_occupied[cell] = True

    def _dec_bin(self, dec: FloatArray) -> IntArray:
        """Return the bin of each declination; of one that no circle comes near, or of NaN, some bin."""
        place = dec - self._dec_zero
        place *= self._bins_per_degree
        with np.errstate(invalid="ignore"):
            bins = place.astype(np.int64)
        bins &= self._DEC_BINS - 1
        return bins

    def _cell(self, row: IntArray, column: IntArray) -> IntArray:
        """Return the number of a cell; columns are counted around the sky, as often as one likes."""
        return row << self._column_bits | column & ((1 << self._column_bits) - 1)

    def _cell_of(self, ra: FloatArray, dec_bin: IntArray) -> IntArray:
        """Return the cell of each position; of one with NaN some cell."""
        with np.errstate(invalid="ignore"):
            column = np.floor(ra * ((1 << self._column_bits) / 360)).astype(np.int64)
        return self._cell(dec_bin >> self._row_bits, column)

    def near(self, ra: npt.NDArray[np.floating], dec: FloatArray) -> IntArray:
        """Return the indices of the few sources that may have a position within the radius.

        Parameters
        ----------
        ra : ndarray of float, shape (n,)
            Degrees. Only those are looked at whose declination allows a pair; so this may be a column as it
            stands in a file, in any byte order.
        dec : ndarray of float64, shape (n,)
            Degrees.

        Returns
        -------
        ndarray of int64
            Ascending. No source that has a position within the radius is left out.
        """
        if self.size == 0:
            return np.empty(0, dtype=np.int64)
        bins = self._dec_bin(dec)
        (found,) = self._bands[bins].nonzero()
        if len(found) == 0:
            return found
        cell = self._cell_of(ra[found].astype(np.float64), bins[found])
        return found[self._is_occupied[cell]]

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
        candidates = self.near(ra, dec)
        if len(candidates) == 0:
            empty = np.empty(0, dtype=np.int64)
            return Pairs(empty, empty, np.empty(0))
        cell = self._cell_of(ra[candidates], self._dec_bin(dec[candidates]))
        first = np.searchsorted(self._cells, cell)
        count = np.searchsorted(self._cells, cell, side="right") - first
        of_pair, place = _expanded(first, count)
        source, position = candidates[of_pair], self._owners[place]
        separation = separation_arcsec(unit_vectors(ra[source], dec[source]), self._vectors[position])
        near = separation <= self.radius_arcsec[position]  # where there is NaN, not
        return Pairs(source[near], position[near], separation[near])
