"""Rates on the sky, such as a finder's false positives, estimated from the drawn rows."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.schema.arrays import BoolArray, FloatArray


class Rate(NamedTuple):
    """A share of a population, and its standard error."""

    rate: float
    error: float


def population_rate(flagged: BoolArray, sample: npt.ArrayLike, weight: FloatArray) -> Rate:
    """Return the share of a population that is flagged, from random samples of its parts.

    The estimator of stratified sampling without replacement (Cochran 1977, Sampling Techniques, sections 5.3
    and 5.6). In the error, the share of a part is (k + 1/2) / (n + 1), so a part without flagged rows adds to
    it.

    Parameters
    ----------
    flagged : ndarray of bool, shape (n,)
        Rows that the finder takes for lenses.
    sample : array_like, shape (n,)
        A label of the part of the population that each row was drawn from.
    weight : ndarray of float, shape (n,)
        ``sampling_weight``: the sources that the row stands for.

    Returns
    -------
    Rate
        The share and its standard error.

    Examples
    --------
    Two of four rows stand for 10 sources each, and two for 30; one of the latter is flagged.

    >>> flagged, weight = np.array([False, False, True, False]), np.array([10.0, 10.0, 30.0, 30.0])
    >>> population_rate(flagged, ["a", "a", "b", "b"], weight)
    Rate(rate=0.375, error=0.3791437722025775)
    """
    labels, part = np.unique(np.asarray(sample), return_inverse=True)
    rows = np.bincount(part, minlength=len(labels))
    sources = np.bincount(part, weights=weight, minlength=len(labels))
    share = np.bincount(part, weights=flagged, minlength=len(labels)) / rows
    size = sources / sources.sum()
    likely = (share * rows + 0.5) / (rows + 1)
    left = np.clip(1 - rows / sources, 0, 1)
    variance = size**2 * left * likely * (1 - likely) / np.maximum(rows - 1, 1)
    return Rate(float((size * share).sum()), math.sqrt(float(variance.sum())))
