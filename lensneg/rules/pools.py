"""Pools: N1, what a finder meets when deployed, and N2, the confusers that look like lenses.

The N2 criteria are *proxies* on catalogue columns: Tractor cannot see a ring. docs/science.md says how
far each can be trusted.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from lensneg.rules.photometry import ellipticity, limited_flux, magnitude
from lensneg.rules.rows import Rows
from lensneg.rules.selection import is_one_of
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES, TractorCriteria

#: The pools in the order in which they stand in every file.
POOLS: Final = ("N1", "N2")


def confuser_criteria(rows: Rows, config: Config) -> dict[str, BoolArray]:
    """Return, for each confuser category of a config, which rows meet its criterion.

    Parameters
    ----------
    rows : Rows
        Needs TYPE, SERSIC, FLUX_G, FLUX_R, SHAPE_R, SHAPE_E1, SHAPE_E2; MW_TRANSMISSION_G and
        MW_TRANSMISSION_R if the selection is dereddened; and of MASKBITS, FITBITS and ``READ_BY_NEED`` what
        the config's criteria look at. Limits are applied in float64; a NaN, such as the colour of a source
        without flux, meets no criterion.
    config : Config
        The criteria's limits, and whether those of brightness and colour are dereddened.

    Returns
    -------
    dict of str to ndarray of bool, shape (n,)
        In the order in which the categories are tried.
    """
    flux_r = limited_flux(rows, "R", config.selection)
    shape_r = rows["SHAPE_R"].astype(np.float64)
    mag_r = magnitude(flux_r)
    g_minus_r = magnitude(limited_flux(rows, "G", config.selection)) - mag_r
    sersic = rows["SERSIC"].astype(np.float64)
    e = ellipticity(rows["SHAPE_E1"], rows["SHAPE_E2"])
    criteria = config.negative_pools.pool_n2.tractor_criteria
    ring, edge, blue, large = (
        criteria.ring_proxy,
        criteria.edge_on_proxy,
        criteria.blue_clumpy_proxy,
        criteria.large_galaxy_proxy,
    )
    early = is_one_of(rows, ring.types) | (is_one_of(rows, ring.sersic_types) & (sersic >= ring.sersic_min))
    met = {
        "ring_proxy": early & (flux_r >= ring.flux_r_min),
        "edge_on_proxy": (
            is_one_of(rows, edge.types) & (e >= edge.ellipticity_min) & (shape_r >= edge.shape_r_min)
        ),
        "blue_clumpy": (g_minus_r <= blue.g_minus_r_max) & (mag_r <= blue.r_mag_max),
        "large_galaxy": (shape_r >= large.shape_r_min) & (flux_r >= large.flux_r_min),
    }
    return met | _further_criteria(rows, criteria, sersic, shape_r)


def _further_criteria(
    rows: Rows, criteria: TractorCriteria, sersic: FloatArray, shape_r: FloatArray
) -> dict[str, BoolArray]:
    """Return which rows meet each of the criteria that a config may leave out."""
    met: dict[str, BoolArray] = {}
    if (disk := criteria.disk_proxy) is not None:
        of_disk = is_one_of(rows, disk.sersic_types) & (sersic <= disk.sersic_max)
        met["disk_proxy"] = (is_one_of(rows, disk.types) | of_disk) & (shape_r >= disk.shape_r_min)
    if (merger := criteria.merger_proxy) is not None:
        overlapped = rows["FRACFLUX_R"].astype(np.float64) >= merger.fracflux_r_min
        met["merger_proxy"] = overlapped & (shape_r >= merger.shape_r_min)
    if (blend := criteria.blend_proxy) is not None:
        overlapped = rows["FRACFLUX_R"].astype(np.float64) >= blend.fracflux_r_min
        met["blend_proxy"] = overlapped | (rows["FITBITS"] & blend.fitbits_value != 0)
    if (residual := criteria.residual_proxy) is not None:
        # Extinction dims a source and the error of its flux alike.
        ivar = np.maximum(rows["FLUX_IVAR_R"].astype(np.float64), 0.0)
        well_measured = rows["FLUX_R"].astype(np.float64) * np.sqrt(ivar) >= residual.snr_r_min
        met["residual_proxy"] = well_measured & (rows["RCHISQ_R"].astype(np.float64) >= residual.rchisq_r_min)
    if (artefact := criteria.artefact_proxy) is not None:
        met["artefact_proxy"] = rows["MASKBITS"] & artefact.maskbits_value != 0
    return met


class Classes(NamedTuple):
    """What sources are; three arrays of one length.

    Attributes
    ----------
    pool : ndarray of int8
        Index into :data:`POOLS`; -1 in neither pool. A source that meets any confuser criterion is
        in N2 and not in N1, whatever its type.
    category : ndarray of int8
        Index into ``CONFUSER_CATEGORIES`` of the first criterion met; -1 for none.
    flags : ndarray of int32
        Bit i is set where the criterion of category i is met.
    """

    pool: npt.NDArray[np.int8]
    category: npt.NDArray[np.int8]
    flags: npt.NDArray[np.int32]


def classify(rows: Rows, config: Config) -> Classes:
    """Put each source in a pool, and say which criteria of confusers it meets.

    Parameters
    ----------
    rows : Rows
        As for :func:`confuser_criteria`.
    config : Config
        The types of N1 and the criteria of N2.

    Returns
    -------
    Classes
    """
    category = np.full(len(rows), -1, dtype=np.int8)
    flags = np.zeros(len(rows), dtype=np.int32)
    for name, met in reversed(confuser_criteria(rows, config).items()):
        place = CONFUSER_CATEGORIES.index(name)
        category[met] = place
        flags |= met.astype(np.int32) << np.int32(place)
    pool = np.where(is_one_of(rows, config.negative_pools.pool_n1.galaxy_types), 0, -1).astype(np.int8)
    pool[category >= 0] = 1
    return Classes(pool, category, flags)
