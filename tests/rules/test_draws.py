"""The draws of overlapping pools and matched negatives, against a plain computation on lists."""

import random
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lensneg.rules.cells import cell_edges, cell_of, cells_in_strata, matched_values, stratum_numbers
from lensneg.rules.draws import StratumPool, needs_planned_draws, plan_stratum
from lensneg.rules.priority import PRIORITY_MAX, PRIORITY_MIN
from lensneg.rules.strata import Stratum
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.quotas import Draw, StratumQuota

SER = Stratum("3-5", "SER")
CATEGORIES = (*CONFUSER_CATEGORIES, "external:mine", "external:rings")
MATCHED = {"bins": {"mag_r": 3, "psfsize_z": 2}, "positives_per_cell": 1}
EDGES = ((18.0, 19.0), (1.2,))  # six cells

#: A source: its cell, its category or none, its priority.
Source = tuple[int, str | None, int]


def made_up(count: int, seed: int, confusers: float = 0.3) -> list[Source]:
    """Sources in four of six cells, one of them with few."""
    rng = random.Random(seed)
    sources = []
    for _ in range(count):
        cell = rng.choices([0, 1, 3, 5], [10, 10, 10, 1])[0]
        category = rng.choice(CATEGORIES) if rng.random() < confusers else None
        sources.append((cell, category, rng.getrandbits(64) - 2**63))
    return sources


def as_pool(sources: list[Source], is_matched: bool = True) -> StratumPool:
    rows = sorted((cell if is_matched else 0, priority, category) for cell, category, priority in sources)
    return StratumPool(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([CATEGORIES.index(row[2]) + 1 if row[2] else 0 for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        CATEGORIES,
    )


def in_draw(draw: Draw, sources: list[Source]) -> list[Source]:
    """The sources in a draw's ranges, as the job selects them."""
    found = []
    for source in sources:
        cell, category, priority = source
        holding = [
            r
            for r in draw.ranges
            if ("N2" if category else "N1") in r.classes
            and (not r.categories or category in r.categories)
            and (r.cell is None or r.cell == cell)
            and r.lowest <= priority <= r.highest
        ]
        assert len(holding) <= 1
        found += [source] * len(holding)
    return found


def split(total: int, share: Fraction) -> tuple[int, int]:
    """A whole number in two parts: the nearest, and at half the larger first part."""
    first = (2 * total * share.numerator + share.denominator) // (2 * share.denominator)
    return first, total - first


def plainly(
    sources: list[Source], positives: dict[int, int], config: dict[str, Any]
) -> tuple[dict[str, list[Source]], int]:
    """The draws by sorting lists, for pools of the population ``all`` with matching.

    The sources by draw, and how many replace sources that another cell lacks.
    """
    left, drawn = sorted(sources, key=lambda s: s[2]), dict[str, list[Source]]()
    external = {c for c in CATEGORIES if c.startswith("external")}

    def take(name: str, wanted: int, fits: Any) -> int:
        chosen = [s for s in left if fits(s)][:wanted]
        drawn.setdefault(name, []).extend(chosen)
        for source in chosen:
            left.remove(source)
        return wanted - len(chosen)

    n1 = {c: split(config["ratio"] * n, Fraction(85, 100))[0] for c, n in sorted(positives.items())}
    n2 = {c: config["ratio"] * positives[c] - n1[c] for c in n1}
    free = {c: split(n, Fraction(str(config["unmatched"])))[0] for c, n in n1.items()}
    missing = Counter[int]()
    missing[min(n1)] += take("n1", sum(free.values()), lambda s: True)
    for c in n1:
        missing[c] += take(f"n1_matched:{c}", n1[c] - free[c], lambda s, c=c: s[0] == c)
    if config["external"]:
        total = sum(n2.values())
        most = split(total, Fraction(str(config["external"])))[0]
        taken = most - take("external", most, lambda s: s[1] in external)
        exact = {c: Fraction((total - taken) * n, total) for c, n in n2.items()}
        n2 = {c: int(value) for c, value in exact.items()}
        by_rest = sorted(n2, key=lambda c: (n2[c] - exact[c], c))
        for c in by_rest[: total - taken - sum(n2.values())]:
            n2[c] += 1
    for c in n2:
        rest = n2[c]
        for category, share in config["shares"].items():
            wanted = min(split(n2[c], Fraction(str(share)))[0], rest)
            name = f"n2:{c}:{category}"
            rest -= wanted - take(name, wanted, lambda s, c=c, k=category: s[0] == c and s[1] == k)
        missing[c] += take(f"n2:{c}", rest, lambda s, c=c: s[0] == c and s[1] and s[1] not in external)
    bins, elsewhere = {c: np.unravel_index(c, (3, 2)) for c in range(6)}, 0
    for c, lack in sorted(missing.items()):

        def distance(other: int, c: int = c) -> tuple[int, int]:
            return sum(abs(int(a) - int(b)) for a, b in zip(bins[c], bins[other], strict=True)), other

        for other in sorted({s[0] for s in left}, key=distance):
            before = lack
            lack = take(f"n1_backfill:{other}", lack, lambda s, o=other: s[0] == o)
            elsewhere += before - lack if other != c else 0
    return {name: sorted(rows, key=lambda s: s[2]) for name, rows in drawn.items() if rows}, elsewhere


def config_of(plan_with: Any, population: str = "all", **changes: Any) -> Config:
    """A config with overlapping pools and, unless ``matching=None``, with matching."""
    keys = {
        "negative_pools.neg_pos_ratio": changes.get("ratio", 10),
        "negative_pools.pool_n1.population": population,
        "negative_pools.pool_n1.unmatched_share": changes.get("unmatched", 0.25),
        "negative_pools.pool_n2.category_shares": changes.get("shares", {}),
        "matching": changes.get("matching", MATCHED),
    }
    if changes.get("external"):
        keys["hard_negatives"] = {"match_radius_arcsec": 1.0, "share": changes["external"]}
    return plan_with(keys)


def drawn_of(quota: StratumQuota, sources: list[Source]) -> dict[str, list[Source]]:
    found = {draw.draw: in_draw(draw, sources) for draw in quota.draws}
    assert len({s[2] for rows in found.values() for s in rows}) == sum(map(len, found.values()))
    assert {name: len(rows) for name, rows in found.items()} == {d.draw: d.quota for d in quota.draws}
    return {name: sorted(rows, key=lambda s: s[2]) for name, rows in found.items()}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [60, 200, 2000])
@pytest.mark.parametrize(
    "rule",
    [
        {"ratio": 10, "unmatched": 0.25, "external": 0.0, "shares": {}},
        {"ratio": 7, "unmatched": 0.0, "external": 0.5, "shares": {"ring_proxy": 0.4, "large_galaxy": 0.3}},
        {"ratio": 20, "unmatched": 1.0, "external": 0.2, "shares": {}},
    ],
)
def test_the_draws_are_those_of_sorted_lists(
    plan_with: Any, rule: dict[str, Any], count: int, seed: int
) -> None:
    sources, positives = made_up(count, seed), {0: 3, 1: 1, 5: 2}
    quota = plan_stratum(SER, positives, as_pool(sources), EDGES, config_of(plan_with, **rule))
    assert (drawn_of(quota, sources), quota.from_other_cells) == plainly(sources, positives, rule)
    for c in quota.cells:
        kinds = [category for cell, category, _ in sources if cell == c.cell]
        external = sum(bool(kind and kind.startswith("external")) for kind in kinds)
        assert (c.positives, c.ordinary, c.external) == (
            positives.get(c.cell, 0), kinds.count(None), external,
        )  # fmt: skip
        assert c.ordinary + c.confusers + c.external == len(kinds)
    assert {c.cell for c in quota.cells} == {s[0] for s in sources} | positives.keys()
    assert quota.quota + quota.shortfall == quota.target == 6 * rule["ratio"]
    assert quota.shortfall == max(0, quota.target - count)


def planned_at(ratio: int, v2: Config, sources: list[Source], positives: dict[int, int]) -> StratumQuota:
    """The draws of negative_sampling_v2 at a ratio."""
    pools = v2.negative_pools.model_copy(update={"neg_pos_ratio": ratio})
    config = v2.model_copy(update={"negative_pools": pools})
    return plan_stratum(SER, positives, as_pool(sources), EDGES, config)


@pytest.mark.parametrize("seed", range(10))
def test_under_v2_a_lower_ratio_is_the_beginning_of_a_higher_one(v2: Config, seed: int) -> None:
    """In each cell and category, and in the draw n1, as long as no cell lacks a source."""
    sources = [s for s in made_up(3000, seed, 0.5) if not (s[1] or "").startswith("external")]
    positives, full = {0: 2, 1: 1, 3: 3}, 0
    before, n1_before = dict[tuple[int, str | None], list[int]](), list[Source]()
    for ratio in (1, 2, 3, 5, 8, 13, 21):
        quota = planned_at(ratio, v2, sources, positives)
        if any("backfill" in draw.draw for draw in quota.draws):
            break
        drawn = drawn_of(quota, sources)
        found = dict[tuple[int, str | None], list[int]]()
        for cell, category, priority in sorted(
            (s for rows in drawn.values() for s in rows), key=lambda s: s[2]
        ):
            found.setdefault((cell, category), []).append(priority)
        assert before.keys() <= found.keys()
        for place, priorities in before.items():
            assert found[place][: len(priorities)] == sorted(priorities)
        n1 = drawn.get("n1", [])
        assert n1[: len(n1_before)] == n1_before
        before, n1_before, full = found, n1, full + 1
    assert full >= 4


def test_where_a_cell_lacks_sources_a_lower_ratio_need_not_be_part_of_a_higher_one(v2: Config) -> None:
    """What fills the gap of a cell at one ratio may be beyond what a draw takes at the next."""
    sources, found = made_up(150, 59, 0.1), []
    for ratio in (5, 6):
        quota = planned_at(ratio, v2, sources, {0: 1, 5: 2})
        assert quota.from_other_cells
        found.append({s for rows in drawn_of(quota, sources).values() for s in rows})
    assert len(found[0] - found[1]) == 1


def test_n1_comes_first_and_n2_takes_the_next(plan_with: Any) -> None:
    """Of ten sources, every second a confuser, N1 takes the first three, and N2 the next two confusers."""
    sources: list[Source] = [(0, "ring_proxy" if i % 2 else None, i) for i in range(10)]
    config = plan_with(
        {
            "negative_pools.neg_pos_ratio": 5,
            "negative_pools.n1_n2_ratio": [3, 2],
            "negative_pools.pool_n1.population": "all",
        }
    )
    quota = plan_stratum(SER, {0: 1}, as_pool(sources, is_matched=False), (), config)
    found = drawn_of(quota, sources)
    assert {name: [s[2] for s in rows] for name, rows in found.items()} == {"n1": [0, 1, 2], "n2": [3, 5]}
    assert [(d.available, d.left, d.weight) for d in quota.draws] == [(10, 10, 10 / 3), (5, 4, 2.5)]
    assert [(p.available, p.target, p.quota, p.backfill) for p in quota.pools] == [
        (10, 3, 3, 0),
        (5, 2, 2, 0),
    ]


def test_what_n2_lacks_n1_takes(plan_with: Any) -> None:
    sources: list[Source] = [(0, "ring_proxy" if i == 1 else None, i) for i in range(10)]
    rule = {"negative_pools.neg_pos_ratio": 5, "negative_pools.n1_n2_ratio": [3, 2]}
    config = plan_with(rule | {"negative_pools.pool_n1.population": "all"})
    quota = plan_stratum(SER, {0: 1}, as_pool(sources, is_matched=False), (), config)
    found = drawn_of(quota, sources)
    assert {name: [s[2] for s in rows] for name, rows in found.items()} == {
        "n1": [0, 1, 2],
        "n1_backfill": [3, 4],
    }
    assert [(p.quota, p.backfill) for p in quota.pools] == [(5, 2), (0, 0)]
    assert quota.shortfall == 0


def test_disjoint_pools_fill_each_other(plan_with: Any) -> None:
    sources: list[Source] = [(0, "ring_proxy" if i > 1 else None, i) for i in range(10)]
    config = plan_with(
        {
            "negative_pools.neg_pos_ratio": 5,
            "negative_pools.n1_n2_ratio": [3, 2],
            "negative_pools.pool_n2.category_shares": {"ring_proxy": 0.5},
        }
    )
    quota = plan_stratum(SER, {0: 1}, as_pool(sources, is_matched=False), (), config)
    found = drawn_of(quota, sources)
    assert {name: [s[2] for s in rows] for name, rows in found.items()} == {
        "n1": [0, 1],
        "n2:ring_proxy": [2],
        "n2": [3],
        "n2_backfill": [4],
    }


def test_what_comes_from_another_cell_is_not_in_place_of_the_other_pool(plan_with: Any) -> None:
    """Cell 0 has two galaxies for the five rows of its positive, and no confuser; cell 1 has the rest."""
    sources: list[Source] = [(0, None, 1), (0, None, 2), *((1, None, i) for i in range(3, 9))]
    config = config_of(plan_with, ratio=5, unmatched=0.0)
    quota = plan_stratum(SER, {0: 1}, as_pool(sources), EDGES, config)
    n1, n2 = quota.pools
    assert (n1.target, n1.quota, n1.backfill, n1.in_place_of_other) == (4, 5, 3, 1)
    assert (n2.target, n2.quota, n2.backfill, n2.in_place_of_other) == (1, 0, 0, 0)
    assert quota.from_other_cells == 3


def test_a_stratum_without_positives_or_sources(plan_with: Any) -> None:
    config = config_of(plan_with)
    empty = plan_stratum(SER, {}, as_pool(made_up(50, 1)), EDGES, config)
    assert (empty.target, empty.draws, empty.shortfall) == (0, (), 0)
    nothing = plan_stratum(SER, {0: 1}, as_pool([]), EDGES, config)
    assert (nothing.target, nothing.draws, nothing.shortfall) == (10, (), 10)


def test_counts_are_enough_where_the_pools_are_apart(plan_with: Any) -> None:
    assert not needs_planned_draws(plan_with({}), CONFUSER_CATEGORIES)
    assert needs_planned_draws(plan_with({}), CATEGORIES)
    assert needs_planned_draws(plan_with({"negative_pools.pool_n1.population": "all"}), ())
    assert needs_planned_draws(plan_with({"matching": MATCHED}), ())
    assert needs_planned_draws(plan_with({"negative_pools.pool_n2.category_shares": {"ring_proxy": 0.1}}), ())


# ---------------------------------------------------------------- cells


def test_bins_hold_equally_many_positives() -> None:
    rng = np.random.default_rng(3)
    values = np.stack([rng.normal(18, 1, 600), rng.normal(1.2, 0.1, 600)], axis=1)
    edges = cell_edges(values, (6, 3))
    assert [len(ends) for ends in edges] == [5, 2]
    cells = cell_of(values, edges)
    assert cells.min() == 0
    assert cells.max() == 17
    assert np.bincount(cells // 3).tolist() == [100] * 6
    assert np.bincount(cells % 3).tolist() == [200] * 3
    for value, cell in zip(values, cells, strict=True):
        bins = [sum(v > end for end in ends) for v, ends in zip(value, edges, strict=True)]
        assert cell == bins[0] * 3 + bins[1]


def test_few_or_equal_positives_make_fewer_bins_and_none_is_empty() -> None:
    assert cell_edges(np.array([[1.0], [1.0], [1.0]]), (3,)) == ((),)
    assert cell_edges(np.array([[2.0], [1.0]]), (6,)) == ((1.0,),)
    assert cell_edges(np.empty((0, 1)), (6,)) == ((),)
    assert cell_edges(np.array([[np.nan], [3.0]]), (2,)) == ((),)


def test_a_missing_value_is_in_the_last_bin() -> None:
    assert cell_of(np.array([[np.nan], [0.0], [9.0]]), ((1.0, 2.0),)).tolist() == [2, 0, 2]


def test_each_row_has_the_cell_of_its_own_stratum() -> None:
    rng, names = random.Random(4), ["3-5/SER", "11+/REX"]
    edges = [((18.0, 19.0), (1.2,)), ((), (1.0,))]
    rows = [
        {
            "nobs_z_bin": rng.choice(["3-5", "11+"]),
            "type_bin": rng.choice(["SER", "REX", "DEV"]),
            "mag_r": rng.choice([None, rng.uniform(17, 20)]),
            "psfsize_z": rng.uniform(0.8, 1.4),
        }
        for _ in range(200)
    ]
    table = pa.Table.from_pylist(rows)
    numbers, values = stratum_numbers(table, names), matched_values(table, ["mag_r", "psfsize_z"])
    for row, number, cell in zip(rows, numbers, cells_in_strata(values, numbers, edges), strict=True):
        name = f"{row['nobs_z_bin']}/{row['type_bin']}"
        if name not in names:
            assert (number, cell) == (-1, -1)
            continue
        assert names[number] == name
        mag, psf = edges[number]
        bright = len(mag) if row["mag_r"] is None else sum(row["mag_r"] > end for end in mag)
        assert cell == bright * 2 + (row["psfsize_z"] > psf[0])


def test_priorities_are_those_of_the_whole_range() -> None:
    assert (PRIORITY_MIN, PRIORITY_MAX) == (-(2**63), 2**63 - 1)
