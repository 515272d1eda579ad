"""Draws that depend on each other, judged from rows and claims: as they are, and with one thing changed."""

import itertools
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from auditrows import Row, checks_of, content, positive, row

from lensneg.audit.planned_quotas import PlannedQuotas
from lensneg.rules.cells import bins_for, cell_edges, cell_of
from lensneg.rules.draws import StratumPool, plan_stratum
from lensneg.rules.strata import Stratum
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.quotas import StratumQuota

CATEGORIES = (*CONFUSER_CATEGORIES, "external:mine")
MATCHING = {"bins": {"mag_r": 3, "psfsize_z": 2}, "positives_per_cell": 2}


class Case(NamedTuple):
    """A stratum that was drawn: what it claims, its rows, and the sources that were not drawn."""

    config: Config
    quota: StratumQuota
    positives: list[Row]
    negatives: list[Row]
    left: list[Row]

    def failed(self) -> set[str]:
        """The names of the checks that fail."""
        judged = content(self.config, self.negatives, self.positives, strata=(self.quota,))
        return {check.name for check in checks_of(PlannedQuotas, judged) if not check.passed}

    def claim(self, draws: dict[str, int]) -> "Case":
        """With other quotas of some draws, and pools that add up."""
        changed = [d.model_copy(update={"quota": d.quota + draws.get(d.draw, 0)}) for d in self.quota.draws]
        pools = tuple(
            p.model_copy(
                update={
                    "quota": sum(d.quota for d in changed if d.pool == p.pool),
                    "backfill": sum(d.quota for d in changed if d.pool == p.pool and "fill" in d.draw),
                }
            )
            for p in self.quota.pools
        )
        return self._replace(quota=self.quota.model_copy(update={"draws": tuple(changed), "pools": pools}))

    def of(self, draw: str, **values: Any) -> list[Row]:
        """The rows of a draw."""
        return [r for r in self.negatives if r["draw"] == draw and all(r[k] == values[k] for k in values)]


def drawn(plan_with: Any, seed: int = 1, sources: int = 300, changes: dict[str, Any] | None = None) -> Case:
    """A stratum of twelve positives, as lensneg draws it."""
    config = plan_with(
        {
            "negative_pools.neg_pos_ratio": 10,
            "negative_pools.n1_n2_ratio": [60, 40],
            "negative_pools.pool_n1.population": "all",
            "negative_pools.pool_n1.unmatched_share": 0.25,
            "matching": MATCHING,
            **(changes or {}),
        }
    )
    rng = random.Random(seed)

    def place() -> Row:
        return {"mag_r": np.float32(rng.gauss(19, 1)), "psfsize_z": np.float32(rng.gauss(1.2, 0.1))}

    def values(rows: list[Row]) -> Any:
        columns = config.matching.bins if config.matching else ()
        return np.array([[float(r[name]) for name in columns] for r in rows]).reshape(len(rows), len(columns))

    positives = [positive(1000 + i, **place()) for i in range(12)]
    edges = cell_edges(values(positives), bins_for(12, config.matching)) if config.matching else ()
    pool = [
        row(
            i,
            **place(),
            confuser_category=rng.choice(CATEGORIES) if rng.random() < 0.4 else None,
            sampling_priority=rng.getrandbits(64) - 2**63,
        )
        for i in range(sources)
    ]
    cells = cell_of(values(pool), edges)
    pool = [r | {"cell": int(cell)} for r, cell in zip(pool, cells, strict=True)]
    order = sorted(range(sources), key=lambda i: (cells[i], pool[i]["sampling_priority"]))
    group = [CATEGORIES.index(r["confuser_category"]) + 1 if r["confuser_category"] else 0 for r in pool]
    counts = dict(zip(*np.unique(cell_of(values(positives), edges), return_counts=True), strict=True))
    quota = plan_stratum(
        Stratum("3-5", "SER"),
        {int(cell): int(n) for cell, n in counts.items()},
        StratumPool(
            np.array([cells[i] for i in order]),
            np.array([group[i] for i in order]),
            np.array([pool[i]["sampling_priority"] for i in order]),
            CATEGORIES,
        ),
        edges,
        config,
    )
    rows, left = [], []
    for i in range(sources):
        own = [
            draw
            for draw, r in ((d, r) for d in quota.draws for r in d.ranges)
            if ("N2" if group[i] else "N1") in r.classes
            and (not r.categories or pool[i]["confuser_category"] in r.categories)
            and r.cell in (None, cells[i])
            and r.lowest <= pool[i]["sampling_priority"] <= r.highest
        ]
        if own:
            rows.append(pool[i] | {"pool": own[0].pool, "draw": own[0].draw})
        else:
            left.append(pool[i])
    return Case(config, quota, positives, rows, left)


RULES: dict[str, dict[str, Any]] = {
    "overlapping": {},
    "apart": {"negative_pools.pool_n1.population": "not_n2"},
    "shares": {"negative_pools.pool_n2.category_shares": {"ring_proxy": 0.4, "large_galaxy": 0.3}},
    "external": {"hard_negatives": {"match_radius_arcsec": 1.0, "share": 0.3}},
    "no cells": {"matching": None, "hard_negatives": {"match_radius_arcsec": 1.0, "share": 0.3}},
    "no backfill": {"negative_pools.backfill": False},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sources", [0, 40, 125, 300])
def test_what_was_drawn_passes(plan_with: Any, rule: str, sources: int) -> None:
    assert drawn(plan_with, 1, sources, RULES[rule]).failed() == set()


def exchanged(case: Case, one: Row, other: Row) -> Case:
    """With the draws of two rows exchanged."""
    draws = {one["targetid"]: other, other["targetid"]: one}
    rows = [
        r | {name: draws[r["targetid"]][name] for name in ("draw", "pool")} if r["targetid"] in draws else r
        for r in case.negatives
    ]
    return case._replace(negatives=rows)


def draws_of(case: Case, begins: str) -> list[str]:
    return [d.draw for d in case.quota.draws if d.draw.startswith(begins)]


def test_a_confuser_of_another_cell(plan_with: Any) -> None:
    case = drawn(plan_with)
    one, other = draws_of(case, "n2:")[:2]
    found = exchanged(case, case.of(one)[0], case.of(other)[0]).failed()
    assert "draw_populations" in found


def test_a_confuser_of_another_category(plan_with: Any) -> None:
    case = drawn(plan_with, changes=RULES["shares"])
    for draw in draws_of(case, "n2:"):
        if draw.endswith(":ring_proxy"):
            plain = [
                r for r in case.of(draw.removesuffix(":ring_proxy")) if r["confuser_category"] != "ring_proxy"
            ]
            if plain:
                assert "draw_populations" in exchanged(case, case.of(draw)[0], plain[0]).failed()
                return
    pytest.fail("no cell has both")


@pytest.mark.parametrize("begins", ["n1", "n1_matched:", "n2:", "external"])
def test_a_source_that_an_earlier_draw_should_have_taken(plan_with: Any, begins: str) -> None:
    """Two rows of one cell and category, of which the later draw has the one of lower priority."""
    for seed in range(40):
        few = {"hard_negatives": {"match_radius_arcsec": 1.0, "share": 0.05}}
        case = drawn(plan_with, seed, 160, few)
        for draw, after in itertools.combinations([d.draw for d in case.quota.draws], 2):
            if draw == begins or (draw.startswith(begins) and begins.endswith(":")):
                kinds = {(r["cell"], r["confuser_category"]): r for r in case.of(draw)}
                for other in case.of(after):
                    one = kinds.get((other["cell"], other["confuser_category"]))
                    if one:
                        assert exchanged(case, one, other).failed() == {"draws_in_turn"}
                        return
    pytest.fail("no two draws have sources of one cell and category")


def moved(case: Case, from_draw: str, row_of: Callable[[Row], bool], to_draw: str) -> Case:
    """With a row less of a draw, and one more of another: a source that is left over."""
    lost = max(case.of(from_draw), key=lambda r: r["sampling_priority"])
    new = min(filter(row_of, case.left), key=lambda r: r["sampling_priority"])
    like = case.of(to_draw)[0]
    added = new | {k: like[k] for k in ("draw", "pool")}
    rows = [r for r in case.negatives if r is not lost]
    changed = case._replace(negatives=[*rows, added])
    return changed.claim({from_draw: -1, to_draw: 1})


def test_another_division_of_n2_among_the_cells(plan_with: Any) -> None:
    case = drawn(plan_with)
    one, other = draws_of(case, "n2:")[:2]
    cell = int(other.partition(":")[2])

    def fits(r: Row) -> bool:
        kind = r["confuser_category"]
        return r["cell"] == cell and kind is not None and not kind.startswith("external")

    assert moved(case, one, fits, other).failed() == {"quota_rule"}


def test_fewer_hard_negatives_than_their_share(plan_with: Any) -> None:
    case = drawn(plan_with, changes=RULES["external"])
    to = draws_of(case, "n2:")[0]
    cell = int(to.partition(":")[2])

    def fits(r: Row) -> bool:
        kind = r["confuser_category"]
        return r["cell"] == cell and kind is not None and not kind.startswith("external")

    assert "quota_rule" in moved(case, "external", fits, to).failed()


def test_backfill_from_a_cell_that_is_not_the_nearest(plan_with: Any) -> None:
    for seed in range(20):
        case = drawn(plan_with, seed, sources=160)
        fills = draws_of(case, "n1_backfill:")
        for one, other in itertools.permutations(fills, 2):
            cell = int(other.partition(":")[2])
            if any(r["cell"] == cell for r in case.left):
                found = moved(case, one, lambda r, cell=cell: r["cell"] == cell, other).failed()
                assert "quota_rule" in found
                return
    pytest.fail("no stratum is filled from two cells")


@pytest.mark.parametrize("name", ["positives", "ordinary", "confusers", "external"])
def test_other_numbers_of_a_cell(plan_with: Any, name: str) -> None:
    case = drawn(plan_with)
    first, *others = case.quota.cells
    changed = first.model_copy(update={name: getattr(first, name) + 1})
    quota = case.quota.model_copy(update={"cells": (changed, *others)})
    assert case._replace(quota=quota).failed() == {"quota_rule"}


def test_a_draw_that_there_should_not_be(plan_with: Any) -> None:
    case = drawn(plan_with)
    rows = [case.negatives[0] | {"draw": "n3"}, *case.negatives[1:]]
    assert "quota_rule" in case._replace(negatives=rows).failed()
