"""What the sample as a whole must obey: shares and counts of a few rows, worked out by hand."""

from typing import Any

import numpy as np
import pytest
import reference
from auditrows import Row, checks_of, content, only, positive, row

from lensneg.audit.sample_checks import PoolRatio, Splits, Strata
from lensneg.errors import ConfigError
from lensneg.rules.quotas import plain_draws
from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.quotas import PoolQuota, StratumQuota

#: RA, Dec, pixels at nside 128 and 64, split: the facts' vectors for seed 42.
TRAIN = {"ra": 165.4754, "dec": -6.04226, "healpix_128": 107657, "healpix_64": 26914, "split": "train"}
TEST = {"ra": 180.0, "dec": 31.999, "healpix_128": 114444, "healpix_64": 28611, "split": "test"}


def splits(config: Config, negatives: list[Row], positives: list[Row] | None = None) -> dict[str, Check]:
    checks = checks_of(Splits, content(config, negatives, positives or []))
    assert [c.name for c in checks] == ["split_rule", "split_fractions", "split_fractions_close"]
    assert [c.critical for c in checks] == [True, False, False]
    return {check.name: check for check in checks}


# ---------------------------------------------------------------- pixels and splits


@pytest.mark.parametrize(
    "changes",
    [
        {"healpix_128": 107658},
        {"healpix_64": 26915},
        {"healpix_64": 107657 // 2},
        {"split": "val"},
        {"split": "test"},
        {"split": "Train"},
        {"fold": 0},
        {"dec": -5.0},
        {"ra": 164.0},
        TEST | {"split": "train"},
        {"ra": TEST["ra"], "dec": TEST["dec"], "split": "test"},
    ],
)
def test_pixels_and_split_are_those_of_the_position(plan: Config, changes: Row) -> None:
    right = splits(plan, [row(1), row(2, **TEST)], [positive(**TEST)])
    assert (right["split_rule"].passed, right["split_rule"].actual) == (True, "all 3 rows")
    found = splits(plan, [row(1), row(2, **changes)], [positive(**TEST)])["split_rule"]
    assert (found.passed, found.actual) == (False, "not in 1 of 3 rows, the first in row 1")
    found = splits(plan, [row(1)], [positive(), positive(1001, **changes)])["split_rule"]
    assert found.actual == "not in 1 of 3 rows, the first in row 2"
    assert "split and fold of every row" in found.expected
    assert "a position was changed" in found.remedy


def test_every_split_is_that_of_the_rule(plan: Config, plan_dict: dict[str, Any]) -> None:
    """Random positions, by the reference; with another seed most of the others are wrong."""
    random = np.random.default_rng(5)
    rows = []
    for i in range(200):
        ra, dec = random.uniform(0, 360), random.uniform(-90, 90)
        pixel = reference.pixel(128, ra, dec)
        split = reference.split_of(ra, dec, plan_dict["spatial_splits"])
        rows.append(
            row(i, ra=ra, dec=dec, healpix_128=pixel, healpix_64=reference.pixel(64, ra, dec), split=split)
        )
    assert {r["split"] for r in rows} == {"train", "val", "test"}
    assert splits(plan, rows)["split_rule"].passed
    swapped = [{**r, "split": {"val": "test", "test": "val"}.get(r["split"], "train")} for r in rows]
    unlike = sum(r["split"] != "train" for r in rows)
    assert splits(plan, swapped)["split_rule"].actual.startswith(f"not in {unlike} of 200 rows")


def test_seed_and_fractions_are_the_configs(plan_with: Any) -> None:
    """u of the two pixels is 0.032 and 0.951 for seed 42."""
    rows = [row(1), row(2, **TEST)]
    for fractions, passed in (
        ({"train": 0.95, "val": 0.0, "test": 0.05}, True),
        ({"train": 0.96, "val": 0.0, "test": 0.04}, False),
        ({"train": 0.04, "val": 0.91, "test": 0.05}, True),
        ({"train": 0.03, "val": 0.92, "test": 0.05}, False),
    ):
        assert (
            splits(plan_with({"spatial_splits.allocations": fractions}), rows)["split_rule"].passed == passed
        )
    u = [reference.split_number(pixel, 43) for pixel in (107657, 114444)]
    other = plan_with({"spatial_splits.hash_seed": 43})
    for first in ("train", "val", "test"):
        expected = "train" if u[0] < 0.7 else "val" if u[0] < 0.85 else "test"
        assert splits(other, [row(1, split=first)])["split_rule"].passed == (first == expected)


def test_a_split_begins_with_the_fraction_at_which_the_one_before_it_ends(plan_with: Any) -> None:
    u = reference.split_number(TRAIN["healpix_128"], 42)
    for train, split in ((u, "val"), (u + 2**-32, "train"), (u - 2**-32, "val")):
        config = plan_with({"spatial_splits.allocations": {"train": train, "val": 1 - train, "test": 0.0}})
        for written in ("train", "val", "test"):
            assert splits(config, [row(split=written)])["split_rule"].passed == (written == split)


def test_where_a_position_is_impossible_no_split_is_judged(plan: Config) -> None:
    assert checks_of(Splits, content(plan, [row(1), row(2, ra=361.0)])) == []
    assert checks_of(Splits, content(plan, [row(1)], [positive(dec=np.nan)])) == []


# ---------------------------------------------------------------- the splits' shares

# 8 of 10 rows in a pixel of train and 2 in one of test: 10, -15 and +5 points from 70, 15 and 15 %. The sum
# of the squares of the pixels' shares is 0.68, so the standard deviations are sqrt(0.21 x 0.68) = 37.789
# points for train, and sqrt(0.1275 x 0.68) = 29.445 for the others.
EIGHT_AND_TWO = [row(i) for i in range(6)] + [row(i, **TEST) for i in (6, 7)]
TWO_POSITIVES = [positive(i) for i in (1000, 1001)]


def shares(plan_with: Any, tolerance: float, warning: float, sigmas: float = 0.0) -> dict[str, Check]:
    config = plan_with(
        {
            "gates.chance_sigmas": sigmas,
            "gates.split_tolerance_points": tolerance,
            "gates.split_warning_points": warning,
        }
    )
    return splits(config, EIGHT_AND_TWO, TWO_POSITIVES)


@pytest.mark.parametrize(
    ("points", "faults"),
    [
        (15.0, []),  # up to and including the tolerance
        (14.999, ["val 0.0%"]),
        (10.001, ["val 0.0%"]),
        (9.999, ["train 80.0%", "val 0.0%"]),
        (5.001, ["train 80.0%", "val 0.0%"]),
        (4.999, ["train 80.0%", "val 0.0%", "test 20.0%"]),
    ],
)
def test_shares_of_the_splits_by_hand(plan_with: Any, points: float, faults: list[str]) -> None:
    for found in (
        shares(plan_with, points, 100.0)["split_fractions"],
        shares(plan_with, 100.0, points)["split_fractions_close"],
    ):
        assert found.passed == (not faults)
        named = faults or ["train 80.0%", "val 0.0%", "test 20.0%"]
        assert [text.split(",")[0] for text in found.actual.split("; ")] == named
        assert f"within {points:g} points" in found.expected
        assert "2 pixels" in found.expected


@pytest.mark.parametrize(
    ("sigmas", "faults"),
    [(0.5, ["val"]), (0.3, ["val"]), (0.26, ["train", "val"]), (0.1, ["train", "val", "test"]), (0.51, [])],
)
def test_chance_widens_the_tolerance_by_what_the_pixels_are_worth(
    plan_with: Any, sigmas: float, faults: list[str]
) -> None:
    """With 0.5 sigmas 18.9, 14.7 and 14.7 points are allowed; with 0.51, 15.02 for val."""
    found = shares(plan_with, 0.001, 100.0, sigmas)["split_fractions"]
    assert found.passed == (not faults)
    assert [text.split(" ")[0] for text in found.actual.split("; ")] == (faults or ["train", "val", "test"])


def test_the_bound_is_shown(plan_with: Any) -> None:
    found = shares(plan_with, 0.001, 100.0, 1.0)["split_fractions"]
    assert found.actual.startswith(
        "train 80.0%, allowed 70% ± 37.8 points (0.001 fixed + 1σ of chance, σ = 38)"
    )


def test_one_row_is_worth_one_row(plan_with: Any) -> None:
    """It is in train: 30 points from 70 %, of which chance allows sqrt(0.21), that is 45.8 points."""
    for sigmas, passed in ((0.66, True), (0.65, False)):
        gates = {"gates.chance_sigmas": sigmas, "gates.split_tolerance_points": 0.001}
        assert splits(plan_with(gates), [row()])["split_fractions"].passed == passed


def test_of_no_rows_every_share_is_left_to_chance(plan_with: Any) -> None:
    """Which may do one whole a standard deviation: 70 points need 0.7 of them."""
    for sigmas, passed in ((0.71, True), (0.69, False)):
        gates = {"gates.chance_sigmas": sigmas, "gates.split_tolerance_points": 0.001}
        found = splits(plan_with(gates), [])
        assert found["split_rule"].passed
        assert found["split_fractions"].passed == passed
        assert "train 0.0%, allowed 70% ± " in found["split_fractions"].actual


def test_shares_are_warnings_unless_the_config_makes_them_critical(plan_with: Any) -> None:
    names = ("split_fractions", "split_fractions_close", "n1_n2_ratio")
    for raised in [(), *([name] for name in names), names]:
        found = content(plan_with({"gates.critical": list(raised)}), [row()], [positive()])
        checks = [*checks_of(Splits, found), *checks_of(PoolRatio, found)]
        assert {check.name for check in checks if check.critical} == {"split_rule", *raised}


@pytest.mark.parametrize("name", ["no_nulls", "row_count", "-n1_n2_ratio", "unique_targetids"])
def test_a_config_cannot_name_another_check(plan_with: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=r"gates\.critical"):
        plan_with({"gates.critical": [name]})


# ---------------------------------------------------------------- N1 and N2


@pytest.mark.parametrize(
    ("ratio", "points", "sigmas", "passed"),
    [
        ([1, 1], 25.0, 0.0, True),  # 3 of 4 are N1: 25 points from a half, and that is the tolerance
        ([1, 1], 24.999, 0.0, False),
        ([3, 1], 0.001, 0.0, True),
        ([1, 3], 50.0, 0.0, True),
        ([1, 3], 49.999, 0.0, False),
        ([1, 0], 24.0, 0.0, False),
        ([1, 1], 0.001, 1.0, True),  # sqrt(0.25 / 4) is 25 points
        ([1, 1], 0.001, 0.99, False),
        ([9, 1], 0.001, 1.01, True),  # sqrt(0.09 / 4) is 15 points
        ([9, 1], 0.001, 0.99, False),
    ],
)
def test_the_share_of_n1_by_hand(
    plan_with: Any, ratio: list[int], points: float, sigmas: float, passed: bool
) -> None:
    config = plan_with(
        {
            "negative_pools.n1_n2_ratio": ratio,
            "gates.n1_n2_tolerance_points": points,
            "gates.chance_sigmas": sigmas,
        }
    )
    rows = [row(i, pool="N1" if i else "N2") for i in range(4)]
    found = only(PoolRatio, content(config, rows, [positive(i) for i in range(1000, 1009)]))
    assert (found.name, found.passed, found.critical) == ("n1_n2_ratio", passed, False)
    assert found.actual == "N1 75.0% of 4 negatives"
    assert found.expected.startswith(f"N1 {ratio[0] / sum(ratio):.0%} ± ")


def test_of_no_negatives_the_share_of_n1_is_left_to_chance(plan: Config) -> None:
    found = only(PoolRatio, content(plan, [], [positive()]))
    assert (found.passed, found.actual) == (True, "N1 0.0% of 0 negatives")


# ---------------------------------------------------------------- quotas


def stratum(
    nobs: str, kind: str, positives: int, shortfall: int, n1: tuple[int, int], n2: tuple[int, int],
    reachable: bool = True,
) -> StratumQuota:  # fmt: skip
    """What quotas.json claims of a stratum; of each pool rows available and drawn."""
    pools = [
        PoolQuota(pool=name, available=available, target=quota, backfill=0, quota=quota)
        for name, (available, quota) in (("N1", n1), ("N2", n2))
    ]
    drawn = n1[1] + n2[1]
    return StratumQuota(
        nobs_z_bin=nobs, type_bin=kind, positives=positives, target=drawn + shortfall, shortfall=shortfall,
        reachable=reachable, pools=tuple(pools), draws=plain_draws(pools),
    )  # fmt: skip


#: Four negatives for each positive: of 3-5/SER two positives and 3 + 1 rows, so 4 are missing; of 11+/REX one
#: and all of its 4; and a stratum without positives.
STRATA = (
    stratum("3-5", "SER", 2, 4, (10, 3), (8, 1)),
    stratum("6-10", "DEV", 0, 0, (5, 0), (0, 0)),
    stratum("11+", "REX", 1, 0, (6, 2), (9, 2)),
)
REX = {"nobs_z": 12, "nobs_z_bin": "11+", "type": "REX", "type_bin": "REX"}
NEGATIVES = [
    *(row(i, sampling_weight=10 / 3) for i in range(3)),
    row(3, pool="N2", sampling_weight=8.0),
    *(row(i, **REX, sampling_weight=3.0) for i in (4, 5)),
    *(row(i, **REX, pool="N2", sampling_weight=4.5) for i in (6, 7)),
]
POSITIVES = [positive(1000), positive(1001), positive(1002, **REX)]


def of_strata(
    plan_with: Any,
    negatives: list[Row] = NEGATIVES,
    positives: list[Row] = POSITIVES,
    strata: tuple[StratumQuota, ...] = STRATA,
    ratio: int = 4,
) -> dict[str, str]:
    """The checks that fail, with what they say."""
    judged = content(plan_with({"negative_pools.neg_pos_ratio": ratio}), negatives, positives, strata=strata)
    checks = checks_of(Strata, judged)
    assert [c.name for c in checks] == ["strata_counts", "strata_represented", "targets", "weights"]
    assert all(check.critical for check in checks)
    for check in checks:
        if check.passed:
            assert check.actual == {"targets": "3 positives", "weights": "4 draws"}.get(
                check.name, f"{len(strata)} strata"
            )
    return {check.name: check.actual for check in checks if not check.passed}


def changed(rows: list[Row], i: int, **changes: Any) -> list[Row]:
    return [*rows[:i], {**rows[i], **changes}, *rows[i + 1 :]]


def claimed(i: int, **changes: Any) -> tuple[StratumQuota, ...]:
    return (*STRATA[:i], STRATA[i].model_copy(update=changes), *STRATA[i + 1 :])


def test_what_is_as_the_quotas_say_passes(plan_with: Any) -> None:
    assert of_strata(plan_with) == {}
    assert of_strata(plan_with, NEGATIVES[::-1], POSITIVES[::-1]) == {}


@pytest.mark.parametrize("rows", [NEGATIVES[1:], [*NEGATIVES, row(9)]])
def test_where_the_number_of_rows_is_wrong_that_alone_is_said(plan: Config, rows: list[Row]) -> None:
    assert checks_of(Strata, content(plan, rows, POSITIVES, strata=STRATA)) == []


def test_a_row_of_the_other_pool(plan_with: Any) -> None:
    found = of_strata(plan_with, changed(NEGATIVES, 0, pool="N2", draw="n2", sampling_weight=8.0))
    assert found == {"strata_counts": "3-5/SER/n1: 2 of 3 in N1, 3-5/SER/n2: 2 of 1 in N2"}


@pytest.mark.parametrize("where", [{"nobs_z_bin": "6-10"}, {"type_bin": "DEV"}, {"nobs_z_bin": "1-2"}])
def test_a_row_of_a_stratum_that_is_not_claimed(plan_with: Any, where: Row) -> None:
    key = "/".join(({"nobs_z_bin": "3-5", "type_bin": "SER"} | where).values())
    found = of_strata(plan_with, changed(NEGATIVES, 0, **where))
    assert found["strata_counts"] == f"3-5/SER/n1: 2 of 3 in N1, {key}/n1 is not of the config's strata"
    assert found["weights"] == f"not in {key}/n1"
    assert set(found) == {"strata_counts", "weights"}


def test_a_row_of_another_stratum_that_is_claimed(plan_with: Any) -> None:
    found = of_strata(plan_with, changed(NEGATIVES, 0, **REX, sampling_weight=3.0))
    assert found == {"strata_counts": "3-5/SER/n1: 2 of 3 in N1, 11+/REX/n1: 3 of 2 in N1"}


@pytest.mark.parametrize("where", [{"nobs_z_bin": "6-10"}, {"type_bin": "REX"}])
def test_a_positive_of_a_stratum_without_quota(plan_with: Any, where: Row) -> None:
    """Both the bin of exposures and that of type tell where a positive belongs."""
    key = "/".join(({"nobs_z_bin": "3-5", "type_bin": "SER"} | where).values())
    missing = "3-5/SER: 1 positives, 0 negatives missing"
    assert of_strata(plan_with, positives=changed(POSITIVES, 0, **where)) == {
        "targets": f"{missing}, {key}: 1 positives in no stratum of the config"
    }


def test_a_positive_of_another_stratum(plan_with: Any) -> None:
    assert of_strata(plan_with, positives=changed(POSITIVES, 0, **REX)) == {
        "targets": "3-5/SER: 1 positives, 0 negatives missing, 11+/REX: 2 positives, 4 negatives missing"
    }


@pytest.mark.parametrize("claim", [{"positives": 3}, {"positives": 1}, {"shortfall": 3}, {"shortfall": 5}])
def test_claims_of_positives_and_shortfall(plan_with: Any, claim: Row) -> None:
    found = of_strata(plan_with, strata=claimed(0, **claim))
    assert found == {"targets": "3-5/SER: 2 positives, 4 negatives missing"}


def test_another_ratio_leaves_other_numbers_missing(plan_with: Any) -> None:
    assert of_strata(plan_with, ratio=5) == {
        "targets": "3-5/SER: 2 positives, 6 negatives missing, 11+/REX: 1 positives, 1 negatives missing"
    }


@pytest.mark.parametrize("reachable", [True, False])
def test_a_stratum_with_positives_and_without_negatives(plan_with: Any, reachable: bool) -> None:
    """Where the cuts allow no source, there can be none."""
    strata = (*STRATA[:2], stratum("11+", "REX", 1, 4, (6, 0), (9, 0), reachable))
    judged = content(plan_with({"negative_pools.neg_pos_ratio": 4}), NEGATIVES[:4], POSITIVES, strata=strata)
    counts, represented, targets, weights = checks_of(Strata, judged)
    assert (counts.passed, targets.passed, weights.passed) == (True, True, True)
    assert weights.actual == "2 draws"
    assert represented.passed == (not reachable)
    assert represented.actual == ("none in 11+/REX" if reachable else "3 strata")


@pytest.mark.parametrize(
    ("i", "weight", "where"),
    [
        (0, 10 / 3 + 1e-9, "3-5/SER/n1"),
        (2, 3.0, "3-5/SER/n1"),
        (3, 1.0, "3-5/SER/n2"),
        (7, 3.0, "11+/REX/n2"),
    ],
)
def test_a_weight_is_available_by_drawn(plan_with: Any, i: int, weight: float, where: str) -> None:
    found = of_strata(plan_with, changed(NEGATIVES, i, sampling_weight=weight))
    assert found == {"weights": f"not in {where}"}


def test_equal_weights_that_are_wrong_throughout(plan_with: Any) -> None:
    rows = [{**r, "sampling_weight": 3.0} for r in NEGATIVES]
    assert of_strata(plan_with, rows) == {"weights": "not in 3-5/SER/n1, 3-5/SER/n2, 11+/REX/n2"}
