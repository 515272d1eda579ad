"""A source's unique key and its place in the draw.

Both are pure functions of the catalogue's identifiers and the seed, so a draw depends on neither file
order nor partitions nor retries.
"""

import numpy as np
import numpy.typing as npt

from lensneg.rules.rows import Rows
from lensneg.rules.usable import has_identity
from lensneg.schema.arrays import IntArray

_GOLDEN = 0x9E3779B97F4A7C15

_MASK64 = (1 << 64) - 1

#: Bits of a TARGETID that hold OBJID. Those above them hold RELEASE and BRICKID.
OBJID_BITS = 22


def targetid(release: npt.ArrayLike, brickid: npt.ArrayLike, objid: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Pack (RELEASE, BRICKID, OBJID) into desitarget's TARGETID.

    Parameters
    ----------
    release, brickid, objid : array_like of int, shape (n,)
        Below 2^16, 2^20 and 2^22.

    Returns
    -------
    ndarray of int64, shape (n,)
        ``RELEASE << 42 | BRICKID << 22 | OBJID`` (desitarget.targets.encode_targetid).

    Raises
    ------
    ValueError
        If an identifier does not fit its bits: the keys would collide.

    Examples
    --------
    >>> targetid([10002], [5], [7])
    array([43989261225033735])
    """
    packed = np.zeros(np.shape(release), dtype=np.int64)
    fields = (
        ("RELEASE", release, 16, 42),
        ("BRICKID", brickid, 20, OBJID_BITS),
        ("OBJID", objid, OBJID_BITS, 0),
    )
    for name, values, bits, shift in fields:
        array = np.asarray(values, dtype=np.int64)
        if array.size and (array.min() < 0 or array.max() >= 1 << bits):
            bad = array[(array < 0) | (array >= 1 << bits)][0]
            raise ValueError(f"{name} {bad} does not fit the {bits} bits it has in a TARGETID")
        packed |= array << shift
    return packed


def splitmix64(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the first output of SplitMix64 started at each state.

    A bijection of 64-bit integers whose outputs are uniform (Steele, Lea and Flood 2014, OOPSLA,
    doi:10.1145/2660193.2660195; constants of Vigna's reference code).

    Parameters
    ----------
    state : ndarray of uint64, shape (n,)
        Any integers.

    Returns
    -------
    ndarray of uint64, shape (n,)

    Examples
    --------
    >>> splitmix64(np.array([1234567], dtype=np.uint64))
    array([6457827717110365317], dtype=uint64)
    """
    z = state + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def targetids_of(rows: Rows) -> IntArray:
    """Return the TARGETID of each row, whatever it holds.

    Parameters
    ----------
    rows : Rows
        Needs RELEASE, BRICKID and OBJID.

    Returns
    -------
    ndarray of int64, shape (n,)
        0 for a row without a position or an id.
    """
    ids, known = np.zeros(len(rows), dtype=np.int64), np.flatnonzero(has_identity(rows))
    sources = rows.take(known)
    ids[known] = targetid(sources["RELEASE"], sources["BRICKID"], sources["OBJID"])
    return ids


def sampling_priority(targetids: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Return the priority of each source in the draw: the lowest are drawn.

    Parameters
    ----------
    targetids : ndarray of int64, shape (n,)
        As :func:`targetid` packs them.
    seed : int
        ``negative_pools.seed`` of the config, 0 to 2^63 - 1.

    Returns
    -------
    ndarray of int64, shape (n,)
        ``splitmix64(targetid + splitmix64(seed))``, read as a signed integer because neither
        Parquet readers nor the JVM share an unsigned one. Uniform over all 2^64 values. As the map
        is one to one, two sources never tie.
    """
    key = splitmix64(np.array([seed & _MASK64], dtype=np.uint64))
    return splitmix64(targetids.view(np.uint64) + key).view(np.int64)


#: Sampling priorities are all of the signed 64-bit integers.
PRIORITY_MIN = -(2**63)

PRIORITY_MAX = 2**63 - 1
