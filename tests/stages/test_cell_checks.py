"""Gate 2's warnings about the matching, on strata worked out by hand and on drawn ones."""

import random
from typing import Any

import numpy as np
import pytest

from lensneg.rules.draws import StratumPool, plan_stratum
from lensneg.rules.strata import Stratum
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.quotas import CellCount, PoolQuota, StratumQuota
from lensneg.stages.summarize_fan_out.cell_checks import cell_checks, ratio_with_enough

MATCHING = {"bins": {"mag_r": 6, "psfsize_z": 3}, "positives_per_cell": 5}
EDGES = ((18.0, 19.0), ())


def stratum(
    name: str, positives: int, edges: Any = EDGES, moved: int = 0, cells: tuple[CellCount, ...] = ()
) -> StratumQuota:
    pool = PoolQuota(pool="N1", available=999, target=10 * positives, backfill=moved, quota=10 * positives)
    return StratumQuota(
        nobs_z_bin="3-5", type_bin=name, positives=positives, target=10 * positives, shortfall=0,
        reachable=True, pools=(pool,), edges=edges, cells=cells, from_other_cells=moved,
    )  # fmt: skip


def failing(config: Config, *strata: StratumQuota) -> dict[str, str]:
    checks = list(cell_checks(config, strata))
    assert [(c.name, c.critical) for c in checks] == [("strata_matched", False), ("cells_available", False)]
    return {check.name: check.actual for check in checks if not check.passed}


def test_without_matching_there_is_nothing_to_check(plan: Config) -> None:
    assert list(cell_checks(plan, [stratum("SER", 3)])) == []


def test_a_few_positives_without_cells_are_named(plan_with: Any) -> None:
    """95 of 100 positives have cells, and that is enough; 94 are not."""
    config = plan_with({"matching": MATCHING})
    assert failing(config, stratum("SER", 95), stratum("EXP", 5, ((), ()))) == {}
    assert failing(config, stratum("SER", 94), stratum("REX", 0, ((), ())), stratum("EXP", 6, ((), ()))) == {
        "strata_matched": "6 of 100: 3-5/EXP 6"
    }
    wider = plan_with({"matching": MATCHING, "gates.unmatched_max": 0.06})
    assert failing(wider, stratum("SER", 94), stratum("EXP", 6, ((), ()))) == {}
    assert failing(config) == {}


def test_rows_from_other_cells_are_counted(plan_with: Any) -> None:
    config = plan_with({"matching": MATCHING})
    assert failing(config, stratum("SER", 10, moved=5)) == {}
    assert failing(config, stratum("SER", 10, moved=6)) == {"cells_available": "6 of 100 (6.0%)"}


@pytest.mark.parametrize(("bright", "ratio"), [(100, 10), (50, 5), (9, 0), (1_000, 20)])
def test_the_ratio_by_hand(plan_with: Any, bright: int, ratio: int) -> None:
    """Ten positives in each of two cells, one of few galaxies: 5 % of the rows, that is one a positive."""
    config = plan_with({"matching": MATCHING, "negative_pools.neg_pos_ratio": 20, "gates.unmatched_max": 0.0})
    cells = tuple(
        CellCount(cell=i, positives=10, ordinary=n - 3, confusers=2, external=1)
        for i, n in enumerate((bright, 9_999))
    )
    found = stratum("SER", 20, cells=cells)
    assert ratio_with_enough(config, [found]) == ratio
    [check] = [c for c in cell_checks(config, [found]) if c.name == "cells_available"]
    assert (f"of about {ratio} there" in check.remedy) == (ratio > 0)


@pytest.mark.parametrize("unmatched", [0.0, 0.5])
def test_at_the_ratio_that_is_named_there_is_enough(plan_with: Any, unmatched: float) -> None:
    rng, edges = random.Random(3), ((18.0, 19.0, 20.0), ())
    cell = np.sort(rng.choices(range(4), [1, 4, 20, 100], k=20_000))
    pool = StratumPool(
        cell,
        np.array([rng.randrange(10) if rng.random() < 0.4 else 0 for _ in cell]),
        np.concatenate([np.sort([rng.getrandbits(63) for _ in range(n)]) for n in np.bincount(cell)]),
        CONFUSER_CATEGORIES,
    )

    def planned(ratio: int) -> tuple[Config, StratumQuota]:
        config = plan_with(
            {
                "matching": MATCHING,
                "negative_pools.neg_pos_ratio": ratio,
                "negative_pools.pool_n1.population": "all",
                "negative_pools.pool_n1.unmatched_share": unmatched,
            }
        )
        return config, plan_stratum(Stratum("3-5", "SER"), dict.fromkeys(range(4), 10), pool, edges, config)

    def moved(ratio: int) -> float:
        quota = planned(ratio)[1]
        return quota.from_other_cells / quota.quota

    config, quota = planned(200)
    best = ratio_with_enough(config, [quota])
    assert 5 < best < 100
    assert moved(best) <= 0.06
    assert moved(round(1.3 * best)) > 0.05
