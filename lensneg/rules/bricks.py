"""The survey's bricks: the grid that tiles the sky, and the pixels of each brick's image.

A row of bricks is 0.25 degrees high and centred on Dec -90, -89.75 and so on. It has an even number of
columns, the fewest that are nowhere wider than 0.25 degrees, and one at each pole (desiutil.brick). The image
of a brick has 3,600 x 3,600 pixels of 0.262 arcsec, in the tangential projection about the brick's centre
(``wcs_for_brick`` of legacypipe).
"""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final

import numpy as np

from lensneg.rules.elementary import sin_cos
from lensneg.schema.arrays import FloatArray, IntArray

#: Arcseconds to a pixel of a brick's image.
PIXEL_ARCSEC: Final = 0.262

#: Pixels to a side of a brick's image.
IMAGE_PIXELS: Final = 3600


@cache
def brick_columns() -> IntArray:
    """Return the number of bricks in each row, from the south pole to the north pole.

    Returns
    -------
    ndarray of int64, shape (721,)

    Examples
    --------
    >>> brick_columns()[[0, 1, 360]]
    array([   1,   10, 1440])
    """
    # The side of a row that is nearer to the equator is the wider one.
    widest = np.abs(np.arange(721) / 4 - 90) - 0.125
    columns = 2 * np.ceil(720 * sin_cos(np.maximum(widest, 0.0))[1]).astype(np.int64)
    columns[[0, -1]] = 1
    return np.asarray(columns)


def brick_centres(names: Iterable[str]) -> tuple[FloatArray, FloatArray]:
    """Return the centres of bricks, which their names hold to a tenth of a degree.

    Parameters
    ----------
    names : iterable of str
        Names of bricks, such as ``1498p017``: tenths of a degree of right ascension and of declination, cut
        off. No two centres in a row are within a tenth of each other, so a name stands for one centre.

    Returns
    -------
    ra : ndarray of float64, shape (n,)
        Degrees; NaN where no brick has this name.
    dec : ndarray of float64, shape (n,)
        The same.

    Examples
    --------
    >>> brick_centres(["1498p017", "x"])
    (array([149.875,     nan]), array([1.75,  nan]))
    """
    found = [_centre(name) for name in names]
    return np.array([ra for ra, _ in found]), np.array([dec for _, dec in found])


@lru_cache(maxsize=1 << 16)
def _centre(name: str) -> tuple[float, float]:
    none = (np.nan, np.nan)
    if len(name) != 8 or name[4] not in "pm" or not (name[:4] + name[5:]).isdecimal():
        return none
    tenths, sign = int(name[:4]), 1 if name[4] == "p" else -1
    row = 360 + sign * -(-int(name[5:]) * 4 // 10)
    if not 0 <= row <= 720:
        return none
    columns = int(brick_columns()[row])
    # The first centre that is not below the name's tenths. In whole numbers, as some centres are tenths.
    column = -((1_800 - tenths * columns) // 3_600)
    ra, dec = 360 * (column + 0.5) / columns, row / 4 - 90
    return (ra, dec) if 0 <= column < columns and brick_name(ra, dec) == name else none


def brick_name(ra: float, dec: float) -> str:
    """Return the name of the brick with a centre.

    Parameters
    ----------
    ra, dec : float
        Degrees.

    Returns
    -------
    str

    Examples
    --------
    >>> brick_name(149.875, 1.75)
    '1498p017'
    """
    sign = "m" if dec < 0 else "p"
    return f"{round(ra * 1e4) // 1000:04d}{sign}{round(abs(dec) * 1e4) // 1000:03d}"


def image_pixels(
    ra: FloatArray, dec: FloatArray, ra_centre: FloatArray, dec_centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return where positions are in the images of their bricks.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        The positions, in degrees.
    ra_centre, dec_centre : ndarray of float64, shape (n,)
        The centres of their bricks, in degrees.

    Returns
    -------
    x : ndarray of float64, shape (n,)
        Pixels, as Tractor's BX: the middle of the first pixel is 0, and x grows to the west.
    y : ndarray of float64, shape (n,)
        Pixels, as Tractor's BY: y grows to the north.
    """
    (sin_ra, cos_ra), (sin_dec, cos_dec) = sin_cos(ra - ra_centre), sin_cos(dec)
    sin_0, cos_0 = sin_cos(dec_centre)
    depth = sin_0 * sin_dec + cos_0 * cos_dec * cos_ra
    scale = 180 * 3600 / np.pi / PIXEL_ARCSEC
    middle = (IMAGE_PIXELS - 1) / 2
    east = cos_dec * sin_ra / depth
    north = (cos_0 * sin_dec - sin_0 * cos_dec * cos_ra) / depth
    return middle - scale * east, middle + scale * north
