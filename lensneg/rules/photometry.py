"""Magnitudes and colours from fluxes, in float64."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lensneg.rules.elementary import log10
from lensneg.rules.rows import Rows
from lensneg.schema.arrays import FloatArray
from lensneg.schema.config import SelectionConfig

#: AB magnitude of a flux of one nanomaggy (DR10 catalogs page).
ZERO_POINT = 22.5


def magnitude(flux: npt.ArrayLike) -> FloatArray:
    """Return the AB magnitude of fluxes in nanomaggies: 22.5 - 2.5 log10(flux).

    Parameters
    ----------
    flux : array_like of float, shape (n,)
        Nanomaggies; zero, negative and NaN are common in a catalogue.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where the flux is not positive: such a source has no magnitude, and NaN compares as
        neither brighter nor fainter than any limit.

    Examples
    --------
    >>> magnitude([10.0, 0.0, -1.0])
    array([20., nan, nan])
    """
    return ZERO_POINT - 2.5 * log10(flux)


def dereddened(flux: npt.ArrayLike, transmission: npt.ArrayLike) -> FloatArray:
    """Return fluxes as they are without Galactic extinction.

    Parameters
    ----------
    flux : array_like of float, shape (n,)
        Observed fluxes in nanomaggies.
    transmission : array_like of float, shape (n,)
        MW_TRANSMISSION of the same band.

    Returns
    -------
    ndarray of float64, shape (n,)
        Flux / transmission. NaN where the transmission is not positive: such a source has no magnitude.

    Examples
    --------
    >>> dereddened([9.0, 9.0], [0.5, 0.0])
    array([18., nan])
    """
    through = np.asarray(transmission, dtype=np.float64)
    return np.asarray(flux, dtype=np.float64) / np.where(through > 0, through, np.nan)


def limited_flux(rows: Rows, band: str, selection: SelectionConfig) -> FloatArray:
    """Return the fluxes that limits of brightness and colour look at.

    Parameters
    ----------
    rows : Rows
        Needs FLUX of the band, and MW_TRANSMISSION of it if the selection is dereddened.
    band : str
        In upper case.
    selection : SelectionConfig
        Whether limits are those of dereddened fluxes.

    Returns
    -------
    ndarray of float64, shape (n,)
        Nanomaggies.
    """
    if selection.dereddened:
        return dereddened(rows[f"FLUX_{band}"], rows[f"MW_TRANSMISSION_{band}"])
    return np.asarray(rows[f"FLUX_{band}"], dtype=np.float64)


@lru_cache(maxsize=16)
def faintest_flux(mag: float) -> np.float32:
    """Return the lowest float32 flux in nanomaggies whose magnitude is below a limit.

    Magnitude falls as flux rises, and neighbouring float32 numbers differ in magnitude by 1e-8 or more, which
    float64 tells apart. A float32 flux is therefore at or above this one if, and only if, its
    :func:`magnitude` is below the limit: one comparison takes the place of a logarithm.

    Parameters
    ----------
    mag : float
        AB magnitude.

    Returns
    -------
    float32
        Nanomaggies.

    Examples
    --------
    Ten nanomaggies have magnitude 20, which is not below 20; the next float32 number has less.

    >>> faintest_flux(20.0), np.nextafter(np.float32(10), np.float32(11))
    (np.float32(10.000001), np.float32(10.000001))
    """
    # Positive numbers are in the order of their bits, from 0, which has no magnitude, to infinity.
    low, high = 0, int(np.float32(np.inf).view(np.uint32))
    while high - low > 1:
        middle = (low + high) // 2
        if magnitude(np.uint32(middle).view(np.float32)) < mag:
            high = middle
        else:
            low = middle
    return np.uint32(high).view(np.float32)


def ellipticity(e1: npt.ArrayLike, e2: npt.ArrayLike) -> FloatArray:
    """Return |e| = sqrt(e1^2 + e2^2) of Tractor's ellipticity components.

    Parameters
    ----------
    e1, e2 : array_like of float, shape (n,)
        SHAPE_E1 and SHAPE_E2.

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> ellipticity([0.3], [0.4])
    array([0.5])
    """
    one, other = np.asarray(e1, dtype=np.float64), np.asarray(e2, dtype=np.float64)
    return np.sqrt(one * one + other * other)
