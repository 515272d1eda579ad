"""Strata: the (nobs_z, type) bins in which negatives are drawn for positives."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.schema.config import StrataConfig
from lensneg.schema.sweep_columns import SOURCE_TYPES


class Stratum(NamedTuple):
    """A bin of exposures in z and a bin of morphological type."""

    nobs_z_bin: str
    type_bin: str

    def __str__(self) -> str:
        return f"{self.nobs_z_bin}/{self.type_bin}"


def strata_of(config: StrataConfig) -> list[Stratum]:
    """Return all strata, in the order of the config: exposures first, then type.

    Parameters
    ----------
    config : StrataConfig
        The bins.

    Returns
    -------
    list of Stratum
    """
    return [Stratum(b, t) for b in config.nobs_z_bins for t in config.types]


def type_order(config: StrataConfig) -> tuple[str, ...]:
    """Return all source types in the order of pool files: the strata's own first, then the others.

    Parameters
    ----------
    config : StrataConfig
        The bins.

    Returns
    -------
    tuple of str
    """
    return (*config.types, *(t for t in SOURCE_TYPES if t not in config.types))


def nobs_z_bin(nobs_z: npt.NDArray[np.integer], config: StrataConfig) -> npt.NDArray[np.int64]:
    """Return the index of the bin of each number of exposures, or -1 outside all bins.

    Parameters
    ----------
    nobs_z : ndarray of int, shape (n,)
        NOBS_Z.
    config : StrataConfig
        The bins.

    Returns
    -------
    ndarray of int64, shape (n,)
        Index into ``config.nobs_z_bins``. No exposure is in no bin, never in the lowest.
    """
    index = np.full(np.shape(nobs_z), -1)
    for i, (low, high) in enumerate(config.bin_limits):
        inside = nobs_z >= low
        if high is not None:
            inside &= nobs_z <= high
        index[inside] = i
    return index
