"""The keys that a config had in earlier versions."""

from collections.abc import Mapping
from typing import Final

_CRITERIA: Final = "negative_pools.pool_n2.tractor_criteria"

#: Keys of earlier versions, and their names now.
RENAMED: Final[Mapping[str, str]] = {
    "selection.mag_z_max": "selection.z_mag_limit",
    "selection.maskbits_excluded": "exclusion.exclude_maskbits",
    "lenses.exclusion_radius_arcsec": "exclusion.known_lens_radius_arcsec",
    "pools.n1.types": "negative_pools.pool_n1.galaxy_types",
    "pools.n2.ring_proxy": f"{_CRITERIA}.ring_proxy",
    "pools.n2.edge_on_proxy": f"{_CRITERIA}.edge_on_proxy",
    "pools.n2.blue_clumpy": f"{_CRITERIA}.blue_clumpy_proxy",
    "pools.n2.blue_clumpy.mag_r_max": f"{_CRITERIA}.blue_clumpy_proxy.r_mag_max",
    "pools.n2.large_galaxy": f"{_CRITERIA}.large_galaxy_proxy",
    "sampling.seed": "negative_pools.seed",
    "sampling.neg_pos_ratio": "negative_pools.neg_pos_ratio",
    "sampling.n1_n2_ratio": "negative_pools.n1_n2_ratio",
    "sampling.backfill": "negative_pools.backfill",
    "split.nside": "spatial_splits.nside",
    "split.seed": "spatial_splits.hash_seed",
    "split.fractions": "spatial_splits.allocations",
}
