"""Where a source is: HEALPix pixels, the split by pixel, and neighbours on the sphere."""

from __future__ import annotations

import hashlib
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.config import SPLIT_ORDER, SplitConfig
from lensneg.quickhealpy import healpy

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ARCSEC = np.pi / (180 * 3600)


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


class PositionIndex:
    """Catalogue positions, searchable by sources within a radius, on the whole sphere.

    Sources are sieved by declination, then by fine HEALPix pixels, and only the few that are left
    have their distance computed. Nothing here knows about RA 0/360 or the poles: pixels and chords
    have neither.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    radius_arcsec : float
        Pairs up to and including this separation are found.
    """

    #: Declination bins of the first sieve: 1.3 arcsec over 5 degrees, so that a narrow radius stays so.
    _DEC_BINS = 1 << 14

    def __init__(self, ra: FloatArray, dec: FloatArray, radius_arcsec: float) -> None:
        self.size = len(ra)
        self.radius_arcsec = radius_arcsec
        if self.size == 0:
            return
        self._vectors = unit_vectors(ra, dec)
        # A pixel about as wide as the search circle keeps both the list of pixels and the number of
        # sources in it short.
        self._nside = int(2 ** np.clip(np.floor(np.log2(2.1e5 / radius_arcsec)), 0, 17))
        radius = radius_arcsec * _ARCSEC
        pixels, owners = [], []
        for i, vector in enumerate(self._vectors):
            found = healpy.query_disc(self._nside, vector, radius, inclusive=True, nest=True)
            pixels.append(found)
            owners.append(np.full(len(found), i, dtype=np.int64))
        pixel, owner = np.concatenate(pixels), np.concatenate(owners)
        order = np.lexsort((owner, pixel))
        self._pixels, self._owners = pixel[order], owner[order]
        # First sieve: the bands of declination that hold a position's circle, a margin of a bin wide.
        radius_deg = radius_arcsec / 3600
        self._dec_low = float(dec.min()) - radius_deg
        span = float(dec.max()) + radius_deg - self._dec_low
        self._dec_scale = self._DEC_BINS / span
        first = np.floor((dec - radius_deg - self._dec_low) * self._dec_scale).astype(np.int64) - 1
        last = np.floor((dec + radius_deg - self._dec_low) * self._dec_scale).astype(np.int64) + 1
        # Two guard bins at each end take what lies outside.
        self._bands = np.zeros(self._DEC_BINS + 4, dtype=bool)
        for a, b in zip(first, last, strict=True):
            self._bands[max(a + 2, 1) : min(b + 2, self._DEC_BINS + 2) + 1] = True

    def near_declination(self, dec: FloatArray) -> IntArray:
        """Return the indices of sources whose declination alone allows a pair (a cheap sieve)."""
        if self.size == 0:
            return np.empty(0, dtype=np.int64)
        band = dec - (self._dec_low - 2 / self._dec_scale)
        band *= self._dec_scale
        with np.errstate(invalid="ignore"):  # NaN becomes some integer, and is dropped by pairs()
            bins = band.astype(np.int32)
        return np.flatnonzero(self._bands.take(bins, mode="clip"))

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
        if self.size == 0 or len(candidates) == 0:
            empty = np.empty(0, dtype=np.int64)
            return Pairs(empty, empty, np.empty(0))
        pixel = healpix_pixel(self._nside, ra[candidates], dec[candidates])
        low = np.searchsorted(self._pixels, pixel, side="left")
        count = np.searchsorted(self._pixels, pixel, side="right") - low
        source = np.repeat(candidates, count)
        starts = np.repeat(low - np.concatenate(([0], np.cumsum(count)[:-1])), count)
        position = self._owners[starts + np.arange(len(source))]
        separation = separation_arcsec(unit_vectors(ra[source], dec[source]), self._vectors[position])
        near = separation <= self.radius_arcsec
        return Pairs(source[near], position[near], separation[near])
