"""The split by HEALPix pixel."""

import hashlib
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from lensneg.schema.arrays import IntArray
from lensneg.schema.config import SPLIT_ORDER, SpatialSplitsConfig


def split_of_pixel(pixels: IntArray, config: SpatialSplitsConfig) -> npt.NDArray[np.str_]:
    """Return the split of each pixel.

    The rule: u is the first four bytes, big-endian, of the SHA-256 of ``"{pixel}_{seed}"``, divided
    by 2^32; the fractions are cumulated in the order train, val, test.

    Parameters
    ----------
    pixels : ndarray of int, shape (n,)
        NESTED pixels at ``config.nside``.
    config : SpatialSplitsConfig
        Seed and fractions.

    Returns
    -------
    ndarray of str, shape (n,)
        ``train``, ``val`` or ``test``.

    Examples
    --------
    >>> from lensneg.schema.config import SpatialSplitsConfig
    >>> thirds = {"train": 0.70, "val": 0.15, "test": 0.15}
    >>> rule = SpatialSplitsConfig.model_validate({"nside": 128, "hash_seed": 42, "allocations": thirds})
    >>> split_of_pixel(np.array([107657, 114444]), rule)
    array(['train', 'test'], dtype='<U5')
    """
    unique, inverse = np.unique(pixels, return_inverse=True)
    u = np.array([_hashed(pixel, str(config.hash_seed)) for pixel in unique.tolist()]) / float(1 << 32)
    names = np.array(SPLIT_ORDER)
    return names[np.searchsorted(split_edges(config), u, side="right")][inverse]


def fold_of_pixel(pixels: IntArray, config: SpatialSplitsConfig) -> IntArray:
    """Return the fold of each pixel.

    The rule: u is the first four bytes, big-endian, of the SHA-256 of ``"{pixel}_{seed}_fold"``, divided by
    2^32; the fold is the whole part of u times the number of folds.

    Parameters
    ----------
    pixels : ndarray of int, shape (n,)
        NESTED pixels at ``config.nside``.
    config : SpatialSplitsConfig
        Seed and number of folds.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0; -1 for a pixel of the split ``test``, and for all without folds.
    """
    if config.folds is None:
        return np.full(len(pixels), -1)
    unique, inverse = np.unique(pixels, return_inverse=True)
    u = [_hashed(pixel, f"{config.hash_seed}_fold") for pixel in unique.tolist()]
    fold = np.array(u, dtype=np.int64) * config.folds >> 32
    return np.where(split_of_pixel(unique, config) == SPLIT_ORDER[-1], -1, fold)[inverse]


@lru_cache(maxsize=12 * 128**2)  # the pixels of the sky; a manifest is checked batch by batch
def _hashed(pixel: int, seed: str) -> int:
    """Return the first four bytes of the SHA-256 of pixel and seed."""
    return int.from_bytes(hashlib.sha256(f"{pixel}_{seed}".encode()).digest()[:4])


def split_edges(config: SpatialSplitsConfig) -> list[float]:
    """Return the values of u at which all splits but the first begin.

    The last split takes all that is left, so that fractions that add up to just below 1 lose no pixel.

    Parameters
    ----------
    config : SpatialSplitsConfig
        Fractions of the splits.

    Returns
    -------
    list of float
    """
    fractions = [getattr(config.allocations, name) for name in SPLIT_ORDER]
    return list(accumulate(fractions))[:-1]
