"""Work out how often a cutout crosses an edge of the split: the numbers in docs/science.md.

    python docs/split_edges.py

Squares along right ascension and declination lie at random positions of the sphere. A square crosses where a
point of its outline is in another pixel, or another split, than its middle.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from lensneg.rules.sky import healpix_pixel
from lensneg.rules.split import split_of_pixel
from lensneg.schema.config import Config

SIDE_ARCSEC, POINTS_ON_A_SIDE = 26.5, 25


def crossings(positions: int, seed: int = 1) -> tuple[float, float]:
    """Return the shares of squares that cross into another pixel, and into another split."""
    split = Config.load("negative_sampling_v1").spatial_splits
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, positions), np.degrees(np.arcsin(rng.uniform(-1, 1, positions)))
    half = SIDE_ARCSEC / 7200
    middle = healpix_pixel(split.nside, ra, dec)
    names = split_of_pixel(middle, split)
    pixel_crossed, split_crossed = (np.zeros(positions, dtype=bool) for _ in range(2))
    for along in np.linspace(-half, half, POINTS_ON_A_SIDE):
        for east, north in ((along, -half), (along, half), (-half, along), (half, along)):
            there = np.clip(dec + north, -90, 90)
            pixel = healpix_pixel(split.nside, (ra + east / np.cos(np.radians(there))) % 360, there)
            pixel_crossed |= pixel != middle
            split_crossed |= split_of_pixel(pixel, split) != names
    return float(pixel_crossed.mean()), float(split_crossed.mean())


if __name__ == "__main__":
    pixel_share, split_share = crossings(400_000)
    print(
        f'{SIDE_ARCSEC}" square: {pixel_share:.1%} into another pixel, {split_share:.1%} into another split'
    )
