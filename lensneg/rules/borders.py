"""Borders between splits: which sources have a pixel of another split within a radius.

A split is a set of HEALPix pixels. If the circle around each of two sources of different splits lies in
pixels of its own split, the circles do not touch: the sources are farther apart than twice the radius.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from lensneg.healpy_without_plots import healpy
from lensneg.rules.sky import healpix_pixel, separation_arcsec, unit_vectors
from lensneg.rules.split import split_of_pixel
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.config import SpatialSplitsConfig

#: Arcseconds by which a circle is taken for larger than it is. An edge is curved, and its chords differ from
#: it by less: by 0.07" in the pixels at the poles, and by 0.01" and less elsewhere.
MARGIN_ARCSEC: Final = 0.1

#: Radians of an arcsecond.
_ARCSEC: Final = np.pi / (180 * 3600)

#: Chords that stand for an edge of a pixel: 26" each at nside 128.
_CHORDS: Final = 64

#: The sides of a pixel, NW, SW, SE and NE: which of its neighbours, in healpy's order, is beyond each, and
#: which is beyond the corner at its end.
_BEYOND: Final = ((2, 1), (0, 7), (6, 5), (4, 3))

#: Cells along an edge of a pixel, as a power of two, that tell most sources to be far from it.
_CELL_BITS: Final = 10

#: The narrowest cell is at a pole, and 1 / (1.452 nside) radians wide between opposite edges.
_CELLS_PER_RADIAN: Final = 1.452


def near_border(ra: FloatArray, dec: FloatArray, config: SpatialSplitsConfig) -> BoolArray:
    """Return which sources have a pixel of another split within ``border_arcsec``.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    config : SpatialSplitsConfig
        The radius and the splits.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for each source whose circle touches such a pixel, and for those that are nearer than
        ``MARGIN_ARCSEC`` and a chord's error to that. All false if the radius is 0.

    Examples
    --------
    From the first position north, the edge of another split is at Dec -5.774.

    >>> from lensneg.schema.config import SpatialSplitsConfig
    >>> thirds = {"train": 0.70, "val": 0.15, "test": 0.15}
    >>> rule = SpatialSplitsConfig.model_validate(
    ...     {"nside": 128, "hash_seed": 42, "allocations": thirds, "border_arcsec": 19.0}
    ... )
    >>> near_border(np.array([165.4754, 165.4754]), np.array([-6.04226, -5.776]), rule)
    array([False,  True])
    """
    near = np.zeros(len(ra), dtype=bool)
    if config.border_arcsec == 0:
        return near
    radius = config.border_arcsec + MARGIN_ARCSEC
    near_side, along_side = _sides(ra, dec, config.nside, radius)
    (rows,) = np.nonzero(near_side.any(axis=0))
    near_side, along_side = near_side[:, rows], along_side[:, rows]
    places = unit_vectors(ra[rows], dec[rows])
    pixels, of_row = np.unique(healpix_pixel(config.nside, ra[rows], dec[rows]), return_inverse=True)
    # In this order: SW, W, NW, N, NE, E, SE, S. Where only seven pixels meet a pixel, one of them is -1.
    around = healpy.get_all_neighbours(config.nside, pixels, nest=True)
    splits = split_of_pixel(around.ravel(), config).reshape(around.shape)
    is_other = (splits != split_of_pixel(pixels, config)) & (around >= 0)
    outline = _outline(pixels, config.nside)
    # The nearest point of a side is no farther along it than the radius.
    window = min(2 * int(np.ceil(_CELLS_PER_RADIAN * config.nside * _CHORDS * radius * _ARCSEC)) + 3, _CHORDS)
    for side, (beyond, beyond_its_end) in enumerate(_BEYOND):
        (here,) = np.nonzero(near_side[side] & is_other[beyond, of_row])
        first = np.clip(along_side[side, here] - window // 2, 0, _CHORDS - window) + side * _CHORDS
        points = first[:, np.newaxis] + np.arange(window + 1)
        distance = _distance_arcsec(places[here], outline[of_row[here][:, np.newaxis], points])
        near[rows[here[distance <= radius]]] = True
        # A pixel may meet this one in a corner alone. Its nearest point may lie beside the corner, as the
        # angles there are 57 to 123 degrees.
        at_corner = near_side[side] | near_side[(side + 1) % 4]
        (here,) = np.nonzero(at_corner & is_other[beyond_its_end, of_row] & ~near[rows])
        distance = separation_arcsec(places[here], outline[of_row[here], (side + 1) * _CHORDS])
        here = here[distance <= 1.5 * radius]
        others, of_other = np.unique(around[beyond_its_end, of_row[here]], return_inverse=True)
        distance = _distance_arcsec(places[here], _outline(others, config.nside)[of_other])
        near[rows[here[distance <= radius]]] = True
    return near


def _sides(ra: FloatArray, dec: FloatArray, nside: int, radius_arcsec: float) -> tuple[BoolArray, IntArray]:
    """Return which sources may be near each side of their pixel, and the chord of the side where they are.

    Both arrays have the shape (4, n), in the order of ``_BEYOND``.
    """
    cells = 1 << _CELL_BITS
    fine = nside * cells
    x, y, _ = healpy.pix2xyf(fine, healpix_pixel(fine, ra, dec), nest=True)
    x, y = x & (cells - 1), y & (cells - 1)
    reach = int(np.ceil(_CELLS_PER_RADIAN * fine * radius_arcsec * _ARCSEC))
    last = cells - 1
    near = np.stack([y >= last - reach, x <= reach, y <= reach, x >= last - reach])
    return near, np.stack([last - x, last - y, x, y]) * _CHORDS // cells


def _outline(pixels: IntArray, nside: int) -> npt.NDArray[np.float64]:
    """Return points of the outlines of pixels, from the northern corner by west, south and east, and back."""
    if not len(pixels):
        return np.empty((0, 4 * _CHORDS + 1, 3))
    points = np.moveaxis(healpy.boundaries(nside, pixels, _CHORDS, nest=True), 1, 2)
    return np.concatenate([points, points[:, :1]], axis=1)


def _distance_arcsec(places: npt.NDArray[np.float64], lines: npt.NDArray[np.float64]) -> FloatArray:
    """Return the distance of each place from its line, which chords between points make up.

    Parameters
    ----------
    places : ndarray of float64, shape (n, 3)
        Unit vectors.
    lines : ndarray of float64, shape (n, points, 3)
        Unit vectors of the points of each line.
    """
    start, chord = lines[:, :-1], np.diff(lines, axis=1)
    to_place = places[:, np.newaxis] - start
    along = np.clip(_dot(to_place, chord) / _dot(chord, chord), 0.0, 1.0)
    gap = to_place - along[..., np.newaxis] * chord
    nearest = np.take_along_axis(gap, _dot(gap, gap).argmin(axis=1)[:, np.newaxis, np.newaxis], axis=1)[:, 0]
    return separation_arcsec(places, places - nearest)


def _dot(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> FloatArray:
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])
