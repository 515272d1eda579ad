"""Magnitudes and colours from fluxes, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

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
    values = np.asarray(flux, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, ZERO_POINT - 2.5 * np.log10(values), np.nan)


def flux_of_magnitude(mag: float) -> float:
    """Return the flux in nanomaggies of an AB magnitude."""
    return float(10 ** ((ZERO_POINT - mag) / 2.5))


def ellipticity(e1: npt.ArrayLike, e2: npt.ArrayLike) -> FloatArray:
    """Return |e| = sqrt(e1^2 + e2^2) of Tractor's ellipticity components."""
    return np.hypot(np.asarray(e1, dtype=np.float64), np.asarray(e2, dtype=np.float64))
