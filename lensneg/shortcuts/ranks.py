"""The area under the ROC curve (AUC) of a number, by ranks, and its standard deviation."""

import math
from typing import Final, Literal, NamedTuple

import numpy as np

from lensneg.schema.arrays import BoolArray, FloatArray, IntArray

_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")


class Measured(NamedTuple):
    """The probability that a value of a positive is above one of a negative, and its standard deviation."""

    auc: float
    error: float


def auc(a: FloatArray, b: FloatArray) -> float:
    """Return the probability that a value of ``a`` is above a value of ``b``. A tie counts half.

    Parameters
    ----------
    a, b : ndarray of float64, shapes (n,) and (m,)
        The samples, in ascending order. Neither may be empty.

    Returns
    -------
    float
        The probability, 0 to 1 (Mann and Whitney's U, divided by the number of pairs).

    Examples
    --------
    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 3.0]))
    0.625
    """
    few, many = (a, b) if len(a) < len(b) else (b, a)
    # For each of the few: twice the number of the many below it, and once that of those equal to it.
    below = sum(int(many.searchsorted(few, side).sum()) for side in _SIDES)
    pairs = 2 * len(a) * len(b)
    return (below if few is a else pairs - below) / pairs


def variance(auc: float, n: int, m: int) -> float:
    """Return the variance of the AUC of n positives and m negatives.

    The formula is that of Hanley and McNeil (1982), Radiology 143, 29, doi:10.1148/radiology.143.1.7063747.
    It is exact for exponential distributions, and needs no second positive, as DeLong's does.

    Parameters
    ----------
    auc : float
        The AUC.
    n, m : int
        Numbers of positives and of negatives.

    Returns
    -------
    float
        The variance.

    Examples
    --------
    >>> variance(0.5, 1, 1)  # above or below: 1 or 0
    0.25
    """
    two_positives, two_negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (n - 1) * (two_positives - auc**2) + (m - 1) * (two_negatives - auc**2)
    return (auc * (1 - auc) + spread) / (n * m)


def measure(values: FloatArray, is_positive: BoolArray, group: IntArray) -> Measured | None:
    """Return the AUC of the pairs of a positive and a negative of one group.

    A pair counts once, so the AUC is the mean of the groups' AUCs, weighted by their numbers of pairs. Groups
    are independent, so their variances add up.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The values. One that is not finite is left out.
    is_positive : ndarray of bool, shape (n,)
        Which of them are of positives.
    group : ndarray of int, shape (n,)
        The group of each.

    Returns
    -------
    Measured or None
        None if no group has both.
    """
    finite = np.isfinite(values)
    order = np.lexsort((values[finite], group[finite]))
    values, is_positive = values[finite][order], is_positive[finite][order]
    group = group[finite][order]
    sizes, above = [], 0.0
    for start, stop in _runs(group):
        here, of = values[start:stop], is_positive[start:stop]
        n, m = int(of.sum()), int((~of).sum())
        if n and m:
            sizes.append((n, m))
            above += n * m * auc(here[of], here[~of])
    pairs = sum(n * m for n, m in sizes)
    if not pairs:
        return None
    found = above / pairs
    total = sum((n * m / pairs) ** 2 * variance(max(found, 1 - found), n, m) for n, m in sizes)
    return Measured(found, math.sqrt(total))


def _runs(group: IntArray) -> list[tuple[int, int]]:
    """Return where each run of equal numbers starts and ends."""
    edges = np.flatnonzero(np.diff(group)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(group)], strict=True))
