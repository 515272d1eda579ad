"""Count the test galaxies of a manifest with one of training near them: see docs/use-the-manifest.md.

    python docs/split_neighbours.py build/out

Negatives and positives count alike.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1]))

from lensneg import Manifest
from lensneg.rules.sky import PositionIndex

RADIUS_ARCSEC = 60.0


def neighbours(manifest: Manifest, radius_arcsec: float = RADIUS_ARCSEC) -> tuple[int, int]:
    """Return the number of test galaxies with one of training within a radius, and that of all of them."""
    columns = ["ra", "dec"]
    train, test = (
        pa.concat_tables(
            [
                manifest.negatives(split=split, columns=columns).to_table(),
                manifest.positives(split=split, columns=columns).to_table(),
            ]
        )
        for split in ("train", "test")
    )
    index = PositionIndex(train["ra"].to_numpy(), train["dec"].to_numpy(), radius_arcsec)
    pairs = index.pairs(test["ra"].to_numpy(), test["dec"].to_numpy())
    return len(np.unique(pairs.source)), len(test)


if __name__ == "__main__":
    near, all_of_test = neighbours(Manifest.open(sys.argv[1]))
    print(f'{near:,} of {all_of_test:,} test galaxies have one of training within {RADIUS_ARCSEC:g}"')
