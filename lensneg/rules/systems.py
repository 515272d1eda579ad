"""Which spectra are of one lens system, and which positions have a companion."""

import numpy as np

from lensneg.rules.sky import PositionIndex
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray


def systems(ra: FloatArray, dec: FloatArray, radius_arcsec: float) -> IntArray:
    """Return the system of each spectrum. Spectra that are linked by a chain of neighbours are one system.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    radius_arcsec : float
        Spectra up to and including this separation are neighbours.

    Returns
    -------
    ndarray of int64, shape (n,)
        The index of the first spectrum of the system.

    Examples
    --------
    >>> systems(np.array([10.0, 50.0, 10.0]), np.array([1.0, 2.0, 1.0]), 3.0)
    array([0, 1, 0])
    """
    pairs = PositionIndex(ra, dec, radius_arcsec).pairs(ra, dec)
    found = np.arange(len(ra))
    while True:
        lowest = found.copy()
        np.minimum.at(lowest, pairs.source, found[pairs.position])
        if np.array_equal(lowest, found):
            return found
        found = lowest


def near_any(
    ra: FloatArray,
    dec: FloatArray,
    other_ra: FloatArray,
    other_dec: FloatArray,
    radius_arcsec: float | FloatArray,
) -> BoolArray:
    """Return which positions lie within a radius of any other position.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    other_ra, other_dec : ndarray of float64, shape (m,)
        Degrees.
    radius_arcsec : float or ndarray of float64
        One for all others, or one for each.
        A separation of exactly this is within the radius.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> near_any(np.array([359.9999, 0.1]), np.zeros(2), np.zeros(1), np.zeros(1), 1.0)
    array([ True, False])
    """
    near = np.zeros(len(ra), dtype=bool)
    near[PositionIndex(other_ra, other_dec, radius_arcsec).pairs(ra, dec).source] = True
    return near
