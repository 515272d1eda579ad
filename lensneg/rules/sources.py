"""Sources in more than one row. A source is a TARGETID, and only sources are counted and drawn."""

import numpy as np
import numpy.typing as npt

from lensneg.rules.priority import OBJID_BITS
from lensneg.schema.arrays import IntArray


def brick_of(targetids: npt.ArrayLike) -> IntArray:
    """Return the release and brick of each source, as one number.

    Parameters
    ----------
    targetids : array_like of int64, shape (n,)
        TARGETIDs.

    Returns
    -------
    ndarray of int64, shape (n,)
        TARGETID without its OBJID.
    """
    return np.asarray(targetids, dtype=np.int64) >> OBJID_BITS


def brick_ranges(targetids: IntArray) -> list[tuple[int, int]]:
    """Return the lowest and the highest TARGETID of each brick.

    Parameters
    ----------
    targetids : ndarray of int64, shape (n,)
        The sources of a table's rows, in any order.

    Returns
    -------
    list of (int, int)
        One pair for each brick, ascending. A brick of which some source is in two rows has its pair twice.

    Examples
    --------
    >>> brick_ranges(np.array([5, 2, 9]) + (7 << 22)) == [((7 << 22) + 2, (7 << 22) + 9)]
    True
    >>> len(brick_ranges(np.array([5, 5])))
    2
    """
    ids = np.sort(targetids)
    brick = brick_of(ids)
    first = np.flatnonzero(np.diff(brick, prepend=-1))
    last = np.flatnonzero(np.diff(brick, append=-1))
    repeats = np.isin(brick[first], brick[1:][np.diff(ids) == 0])
    ranges = np.repeat(np.stack([ids[first], ids[last]], axis=1), 1 + repeats, axis=0)
    return [(low, high) for low, high in ranges.tolist()]


def shared_bricks(ranges: list[tuple[int, int]]) -> IntArray:
    """Return the bricks of which some source may be in two rows.

    Parameters
    ----------
    ranges : list of (int, int)
        The :func:`brick_ranges` of all tables.

    Returns
    -------
    ndarray of int64
        Bricks as :func:`brick_of` numbers them. A source of any other brick is in one row only.

    Examples
    --------
    >>> shared_bricks([(1, 5), (6, 9)]), shared_bricks([(1, 6), (6, 9)])
    (array([], dtype=int64), array([0]))
    """
    first, last = np.array(sorted(ranges), dtype=np.int64).reshape(-1, 2).T
    overlaps = first[1:] <= np.maximum.accumulate(last)[:-1]
    return np.unique(brick_of(first[1:][overlaps]))
