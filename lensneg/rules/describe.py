"""What the rules say of each row of a table."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.rules.borders import near_border
from lensneg.rules.pools import POOLS, classify
from lensneg.rules.priority import sampling_priority, targetid
from lensneg.rules.rows import Rows
from lensneg.rules.selection import first_failed_rule
from lensneg.rules.sky import healpix_pixel
from lensneg.rules.split import split_of_pixel
from lensneg.rules.strata import nobs_z_bin
from lensneg.schema.arrays import ArrowStream
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES


def describe(table: npt.NDArray[np.void] | ArrowStream, config: Config) -> pa.Table:
    """Return what the rules say of each row.

    Parameters
    ----------
    table : structured ndarray, pyarrow.Table, or DataFrame of pandas or Polars, n rows
        Columns of a sweep, whatever the case of their names: RELEASE, BRICKID, OBJID, TYPE, RA, DEC, NOBS_Z,
        MASKBITS, FLUX_G, FLUX_R, FLUX_Z, SHAPE_R, SHAPE_E1, SHAPE_E2 and SERSIC; with a dereddened selection
        also MW_TRANSMISSION_G, MW_TRANSMISSION_R and MW_TRANSMISSION_Z; and what further criteria look at.
    config : Config
        The science's numbers.

    Returns
    -------
    pyarrow.Table, n rows
        ``targetid``; ``cut``, the first cut that the row fails, null if it passes all; ``pool``,
        ``confuser_category`` and ``confuser_flags``, as if it passed; ``nobs_z_bin``; ``split``;
        ``sampling_priority``. Known lenses play no part.

    Raises
    ------
    InputError
        If an integer or text column has missing values.
    KeyError
        If a column is missing.

    Examples
    --------
    >>> import lensneg, numpy as np
    >>> config = lensneg.Config.load("negative_sampling_v1")
    >>> galaxies = pa.table({
    ...     "release": [10002, 10002], "brickid": [5, 5], "objid": [7, 8], "type": ["DEV", "SER"],
    ...     "ra": [10.0, 10.1], "dec": [2.0, 2.0], "nobs_z": [4, 12], "maskbits": [0, 0],
    ...     "flux_g": [2.0, 1.0], "flux_r": [8.0, 2.0], "flux_z": [15.0, 9.0],
    ...     "shape_r": [1.5, 0.8], "shape_e1": [0.1, 0.0], "shape_e2": [0.0, 0.2], "sersic": [4.0, 1.5],
    ... })
    >>> found = describe(galaxies, config)
    >>> found.select(["pool", "confuser_category", "nobs_z_bin", "cut"]).to_pylist()
    [{'pool': 'N2', 'confuser_category': 'ring_proxy', 'nobs_z_bin': '3-5', 'cut': None},
     {'pool': 'N1', 'confuser_category': None, 'nobs_z_bin': '11+', 'cut': 'faint'}]
    """
    rows = Rows.of(table)
    pool, category, flags = classify(rows, config)
    ids = targetid(rows["RELEASE"], rows["BRICKID"], rows["OBJID"])
    pixels = healpix_pixel(config.spatial_splits.nside, rows["RA"], rows["DEC"])
    at_border = near_border(rows["RA"], rows["DEC"], config.spatial_splits).tolist()
    cut = [
        reason or "border" * at or None
        for reason, at in zip(first_failed_rule(rows, config), at_border, strict=True)
    ]
    return pa.table(
        {
            "targetid": ids,
            "cut": pa.array(cut, pa.string()),
            "pool": _named(pool, POOLS),
            "confuser_category": _named(category, CONFUSER_CATEGORIES),
            "confuser_flags": flags,
            "nobs_z_bin": _named(nobs_z_bin(rows["NOBS_Z"], config.strata), config.strata.nobs_z_bins),
            "split": split_of_pixel(pixels, config.spatial_splits),
            "sampling_priority": sampling_priority(ids, config.negative_pools.seed),
        }
    )


def _named(index: npt.NDArray[np.integer], names: tuple[str, ...]) -> pa.Array:
    return pa.array(names).take(pa.array(index, mask=index < 0))
