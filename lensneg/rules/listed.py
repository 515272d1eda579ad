"""Which sources a catalogue lists, by position or TARGETID: suspects, and hard negatives."""

import numpy as np

from lensneg.rules.sky import Pairs, PositionIndex
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray


class SourceList:
    """Entries of catalogues of sources. An entry lists each source within a radius, and that of its TARGETID.

    The rule needs one source alone, so what is listed does not depend on how the sweep files are cut.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees. NaN for an entry without a position.
    targetid : ndarray of int64, shape (n,)
        0 for an entry without one.
    radius_arcsec : float
        A source at exactly this separation is listed.

    Examples
    --------
    >>> listed = SourceList(np.array([10.0, np.nan]), np.array([2.0, np.nan]), np.array([0, 77]), 1.5)
    >>> ra, dec = np.array([10.0, 10.0, 50.0]), np.array([2.0004, 2.001, 5.0])
    >>> listed.holds(ra, dec, np.array([1, 2, 77]))
    array([ True, False,  True])
    """

    def __init__(self, ra: FloatArray, dec: FloatArray, targetid: IntArray, radius_arcsec: float) -> None:
        self._placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        self._positions = PositionIndex(ra[self._placed], dec[self._placed], radius_arcsec)
        named = np.flatnonzero(targetid > 0)
        self._named = named[np.argsort(targetid[named], kind="stable")]
        self._ids = targetid[self._named]

    @property
    def has_ids(self) -> bool:
        """Whether an entry has a TARGETID. Otherwise the sources' own are not looked at.

        Returns
        -------
        bool
        """
        return bool(len(self._ids))

    def near(self, ra: FloatArray, dec: FloatArray, ids: IntArray | None) -> IntArray:
        """Return the indices of the few sources that may be listed.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Degrees.
        ids : ndarray of int64, shape (n,), or None
            TARGETIDs. None if no entry has one.

        Returns
        -------
        ndarray of int64
            Ascending. No source that is listed is left out.
        """
        near = self._positions.near(ra, dec)
        if ids is None or not self.has_ids:
            return near
        return np.union1d(near, np.flatnonzero(np.isin(ids, self._ids)))

    def pairs(self, ra: FloatArray, dec: FloatArray, ids: IntArray) -> Pairs:
        """Return all pairs of a source and an entry that lists it.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Degrees.
        ids : ndarray of int64, shape (n,)
            TARGETIDs.

        Returns
        -------
        Pairs
            The separation of a source and the entry of its TARGETID is 0.
        """
        near = self._positions.pairs(ra, dec)
        first, last = (np.searchsorted(self._ids, ids, side=side) for side in ("left", "right"))
        source = np.repeat(np.arange(len(ids)), last - first)
        before = np.cumsum(last - first) - (last - first)
        entry = np.arange(len(source)) + (first - before)[source]
        return Pairs(
            np.concatenate([near.source, source]),
            np.concatenate([self._placed[near.position], self._named[entry]]),
            np.concatenate([near.separation_arcsec, np.zeros(len(source))]),
        )

    def holds(self, ra: FloatArray, dec: FloatArray, ids: IntArray) -> BoolArray:
        """Return which sources are listed.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Degrees.
        ids : ndarray of int64, shape (n,)
            TARGETIDs.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        found = np.zeros(len(ra), dtype=bool)
        found[self.pairs(ra, dec, ids).source] = True
        return found

    def first_group(self, ra: FloatArray, dec: FloatArray, ids: IntArray, group: IntArray) -> IntArray:
        """Return the group of each source: the lowest one of the entries that list it.

        Parameters
        ----------
        ra, dec : ndarray of float64, shape (n,)
            Degrees.
        ids : ndarray of int64, shape (n,)
            TARGETIDs.
        group : ndarray of int64, shape (m,)
            The group of each entry, 0 or more.

        Returns
        -------
        ndarray of int64, shape (n,)
            -1 for a source that is not listed.
        """
        pairs, none = self.pairs(ra, dec, ids), np.iinfo(np.int64).max
        found = np.full(len(ra), none, dtype=np.int64)
        np.minimum.at(found, pairs.source, group[pairs.position])
        return np.where(found == none, -1, found)


def expected_lenses(rate: float, negatives: int, pool: int, cut: int) -> tuple[float, float]:
    """Return how many unknown lenses negatives are expected to hold, before and after suspects are cut.

    Parameters
    ----------
    rate : float
        The expected share of lenses in the pool, suspects included.
    negatives : int
        The number of negatives.
    pool : int
        Sources left in the pool.
    cut : int
        Sources that were cut as suspects.

    Returns
    -------
    (float, float)
        In as many negatives of the whole pool; and in the negatives, if every source that was cut is a lens.
        The second number is the least: of suspects that are no lenses, more lenses are left.

    Examples
    --------
    >>> expected_lenses(0.01, 1000, 9950, 50)
    (10.0, 5.025125628140704)
    """
    left = max(0.0, rate * (pool + cut) - cut)
    return rate * negatives, negatives * left / pool if pool else 0.0
