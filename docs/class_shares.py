"""Work out the shares of the criteria of N2 in the pool, what dereddening adds, and which cuts lenses fail.

The numbers are in docs/science.md.

    python docs/class_shares.py

It writes the default made-up sky into a temporary folder. Lenses and borders are left aside.
"""

import csv
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).parents[1]))

from lensneg.mocksky import write_mock_sky
from lensneg.rules.pools import classify
from lensneg.rules.rows import Rows
from lensneg.rules.selection import first_failed_rule, select
from lensneg.rules.sky import PositionIndex
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES


def pool_of(rows: Rows, config: Config) -> Rows:
    """Return the rows that pass the cuts that look at one source alone."""
    return rows.take(select(rows, config)[0])


def shares(rows: Rows, config: Config) -> dict[str, tuple[float, float]]:
    """Return the share of the pool that meets each criterion, and the share of N2 that meets it first."""
    found = classify(pool_of(rows, config), config)
    n2 = found.category >= 0
    of = {name: i for i, name in enumerate(CONFUSER_CATEGORIES)}
    return {
        name: (float((found.flags >> of[name] & 1).mean()), float((found.category[n2] == of[name]).mean()))
        for name in config.negative_pools.pool_n2.tractor_criteria.categories
    } | {"N2": (float(n2.mean()), 1.0)}


def failed_cuts(rows: Rows, catalog: Path, config: Config) -> Counter[str | None]:
    """Count the sources of lenses by the first cut of the negatives that they fail."""
    rows = rows.take(np.flatnonzero(rows["TYPE"] != b"DUP"))
    with catalog.open() as file:
        lenses = list(csv.DictReader(file))
    ra, dec = (np.array([float(lens[axis]) for lens in lenses]) for axis in ("ra", "dec"))
    pairs = PositionIndex(ra, dec, config.positives.match_radius_arcsec).pairs(rows["RA"], rows["DEC"])
    order = np.lexsort((pairs.separation_arcsec, pairs.position))
    _, first = np.unique(pairs.position[order], return_index=True)
    return Counter(first_failed_rule(rows.take(np.unique(pairs.source[order][first])), config))


def main() -> None:
    """Print the tables."""
    config = Config.load("negative_sampling_v2")
    observed = config.model_copy(
        update={"selection": config.selection.model_copy(update={"dereddened": False})}
    )
    with tempfile.TemporaryDirectory() as folder:
        write_mock_sky(folder)
        files = sorted(Path(folder).rglob("sweep-*.fits"))
        rows = Rows(np.concatenate([np.asarray(fits.getdata(path, 1)) for path in files]))
        failed = failed_cuts(rows, Path(folder) / "positives.csv", config)
    print("| | in the pool | first in N2 |\n|---|---|---|")
    for name, (met, first) in shares(rows, config).items():
        print(f"| {name} | {met:.1%} | {first:.1%} |")
    pools = len(pool_of(rows, config)), len(pool_of(rows, observed))
    print("\n| first cut that it fails | lenses |\n|---|---|")
    for cut, lenses in failed.most_common():
        print(f"| {cut or 'none'} | {lenses} |")
    print(f"\nDereddened, {pools[0]:,} rows pass the cuts; with observed limits {pools[1]:,}.")


if __name__ == "__main__":
    main()
