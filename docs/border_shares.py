"""Work out what share of the sphere borders between splits take: the table in docs/science.md.

python docs/border_shares.py
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from lensneg.rules.borders import near_border
from lensneg.schema.config import Config

RADII_ARCSEC = (5.0, 10.0, 19.0, 30.0, 60.0, 120.0)


def share_lost(radius_arcsec: float, positions: int = 200_000, seed: int = 1) -> float:
    """Return the share of random positions that are within a radius of a pixel of another split."""
    split = Config.load("negative_sampling_v2").spatial_splits
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, positions), np.degrees(np.arcsin(rng.uniform(-1, 1, positions)))
    return float(near_border(ra, dec, split.model_copy(update={"border_arcsec": radius_arcsec})).mean())


if __name__ == "__main__":
    print("| `border_arcsec` | share of the sphere |\n|---|---|")
    for radius in RADII_ARCSEC:
        print(f"| {radius:g} | {share_lost(radius):.1%} |")
