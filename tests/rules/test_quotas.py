"""Quotas: by hand, by their properties, and against the reference."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from lensneg.rules.priority import PRIORITY_MAX, PRIORITY_MIN
from lensneg.rules.quotas import compute_quotas, largest_remainder, priority_threshold, stratum_is_reachable
from lensneg.rules.strata import Stratum, strata_of
from lensneg.schema.config import Config
from lensneg.schema.quotas import StratumQuota

SER = Stratum("3-5", "SER")

# ---------------------------------------------------------------- largest remainders


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (100, (85, 15), (85, 15)),
        (10, (85, 15), (9, 1)),  # 8.5 and 1.5: the earlier part takes the unit
        (10, (15, 85), (2, 8)),
        (1, (85, 15), (1, 0)),
        (3, (85, 15), (3, 0)),  # 2.55 and 0.45
        (4, (85, 15), (3, 1)),  # 3.4 and 0.6
        (0, (85, 15), (0, 0)),
        (7, (1, 0), (7, 0)),
        (7, (0, 1), (0, 7)),
        (2, (1, 1, 1), (1, 1, 0)),
        (100, (1, 1, 1), (34, 33, 33)),
    ],
)
def test_largest_remainder(total: int, weights: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert largest_remainder(total, weights) == expected


@given(
    st.integers(0, 10**12),
    st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any).map(tuple),
)
def test_parts_add_up_and_differ_from_their_shares_by_less_than_one(
    total: int, weights: tuple[int, ...]
) -> None:
    parts = largest_remainder(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize("quota", [0, -1])
def test_nothing_to_draw_has_the_lowest_threshold(quota: int) -> None:
    assert priority_threshold(quota, 1000) == PRIORITY_MIN == -(2**63)


@pytest.mark.parametrize(
    ("quota", "available"), [(1, 1), (10, 10), (5, 10), (100, 120), (1000, 1200), (1, 43)]
)
def test_a_quota_near_all_that_there_is_has_the_highest_threshold(quota: int, available: int) -> None:
    # quota + 6 sqrt(quota) + 36 is not below the rows available
    assert priority_threshold(quota, available) == PRIORITY_MAX == 2**63 - 1


@pytest.mark.parametrize(
    ("quota", "available"),
    [(1, 44), (1, 10**6), (10, 100), (100, 1000), (8500, 10**5), (10**5, 10**8), (10**6, 1_007_000)],
)
def test_a_threshold_holds_the_quota_and_little_more(quota: int, available: int) -> None:
    threshold = priority_threshold(quota, available)
    assert PRIORITY_MIN < threshold < PRIORITY_MAX
    share = (threshold + 2**63) / 2**64  # of uniform priorities that lie at or below the threshold
    below = np.random.default_rng(1).binomial(available, share, 10_000)
    assert below.min() >= quota
    assert below.mean() <= quota + 6 * quota**0.5 + 36 + 0.1 * below.std()


@given(st.integers(1, 10**9), st.integers(1, 10**10))
def test_a_threshold_is_a_signed_integer_of_64_bits(quota: int, available: int) -> None:
    assert -(2**63) < priority_threshold(quota, available) <= 2**63 - 1


@given(st.integers(1, 10**6), st.integers(1, 10**7))
def test_a_threshold_rises_with_the_quota(quota: int, available: int) -> None:
    assert priority_threshold(quota, available) <= priority_threshold(quota + 1, available)


# ---------------------------------------------------------------- quotas by hand


def quota_of(config: Config, positives: int, n1: int, n2: int) -> StratumQuota:
    """The quota of stratum 3-5/SER; every other stratum is asked for nothing and gets nothing."""
    available = {(SER, "N1"): n1, (SER, "N2"): n2}
    quotas = compute_quotas({SER: positives}, available, config)
    (own,) = [q for q in quotas if (q.nobs_z_bin, q.type_bin) == SER]
    assert sum(q.quota for q in quotas) == own.quota
    return own


# positives, N1 and N2 available; N1 and N2 drawn; backfill of N1 and N2; shortfall. The ratio is 100,
# 85 of them N1.
BY_HAND = [
    (1, 1000, 1000, 85, 15, 0, 0, 0),
    (2, 170, 30, 170, 30, 0, 0, 0),  # exactly enough
    (2, 169, 31, 169, 31, 0, 1, 0),  # one of N1 is missing and one of N2 is left
    (2, 171, 29, 171, 29, 1, 0, 0),
    (2, 1000, 0, 200, 0, 30, 0, 0),
    (2, 0, 1000, 0, 200, 0, 170, 0),
    (2, 100, 50, 100, 50, 0, 20, 50),  # all there is
    (2, 180, 10, 180, 10, 10, 0, 10),
    (2, 0, 0, 0, 0, 0, 0, 200),
    (0, 1000, 1000, 0, 0, 0, 0, 0),
]


@pytest.mark.parametrize(("positives", "n1", "n2", "q1", "q2", "b1", "b2", "shortfall"), BY_HAND)
def test_quotas_with_backfill(
    plan: Config, positives: int, n1: int, n2: int, q1: int, q2: int, b1: int, b2: int, shortfall: int
) -> None:
    quota = quota_of(plan, positives, n1, n2)
    assert quota.target == 100 * positives
    assert [pool.pool for pool in quota.pools] == ["N1", "N2"]
    assert [pool.target for pool in quota.pools] == [85 * positives, 15 * positives]
    assert [pool.available for pool in quota.pools] == [n1, n2]
    assert [pool.quota for pool in quota.pools] == [q1, q2]
    assert [pool.backfill for pool in quota.pools] == [b1, b2]
    assert quota.shortfall == shortfall


@pytest.mark.parametrize(
    ("n1", "n2", "q1", "q2", "shortfall"),
    [(1000, 1000, 170, 30, 0), (100, 1000, 100, 30, 70), (1000, 10, 170, 10, 20), (0, 0, 0, 0, 200)],
)
def test_quotas_without_backfill(plan_with: Any, n1: int, n2: int, q1: int, q2: int, shortfall: int) -> None:
    quota = quota_of(plan_with({"negative_pools.backfill": False}), 2, n1, n2)
    assert [pool.quota for pool in quota.pools] == [q1, q2]
    assert [pool.backfill for pool in quota.pools] == [0, 0]
    assert quota.shortfall == shortfall


def test_thresholds_are_those_of_the_quotas(plan: Config) -> None:
    quota = quota_of(plan, 10, 10**6, 160)
    assert [draw.ranges[0].highest for draw in quota.draws] == [
        priority_threshold(850, 10**6),
        PRIORITY_MAX,  # 150 of 160
    ]


def test_quotas_are_of_all_strata_in_their_order(plan: Config) -> None:
    quotas = compute_quotas({SER: 1}, {}, plan)
    assert [(q.nobs_z_bin, q.type_bin) for q in quotas] == strata_of(plan.strata)
    assert [q.positives for q in quotas] == [0, 0, 0, 0, 1] + [0] * 11


def test_strata_do_not_fill_each_other(plan: Config) -> None:
    rich = Stratum("3-5", "DEV")
    quotas = compute_quotas({SER: 1, rich: 1}, {(rich, "N1"): 10**6, (rich, "N2"): 10**6}, plan)
    drawn = {(q.nobs_z_bin, q.type_bin): (q.quota, q.shortfall) for q in quotas}
    assert drawn[SER] == (0, 100)
    assert drawn[rich] == (100, 0)


# ---------------------------------------------------------------- which strata can be filled


def test_parity_cannot_fill_its_lowest_bin(parity: Config) -> None:
    reachable = {s: stratum_is_reachable(s, parity) for s in strata_of(parity.strata)}
    assert {s for s, reached in reachable.items() if not reached} == {
        Stratum("1-2", "SER"),
        Stratum("1-2", "DEV"),
        Stratum("1-2", "REX"),
    }
    quotas = compute_quotas({Stratum("1-2", "SER"): 1}, {}, parity)
    assert (quotas[0].reachable, quotas[0].shortfall) == (False, 100)
    assert quotas[3].reachable


def test_the_plan_can_fill_all_strata(plan: Config) -> None:
    assert all(stratum_is_reachable(s, plan) for s in strata_of(plan.strata))


@pytest.mark.parametrize(
    ("nobs", "unreachable"),
    [(1, set()), (2, set()), (3, {"1-2"}), (5, {"1-2"}), (6, {"1-2", "3-5"}), (11, {"1-2", "3-5", "6-10"})],
)
def test_a_bin_is_reachable_up_to_its_last_number_of_exposures(
    plan_with: Any, nobs: int, unreachable: set[str]
) -> None:
    config = plan_with({"selection.nobs_min": {"z": nobs}})
    found = {s.nobs_z_bin for s in strata_of(config.strata) if not stratum_is_reachable(s, config)}
    assert found == unreachable


def test_a_stratum_of_a_type_that_is_cut_cannot_be_filled(plan_with: Any) -> None:
    config = plan_with({"selection.types": ["SER", "DEV", "EXP"]})
    unreachable = [s for s in strata_of(config.strata) if not stratum_is_reachable(s, config)]
    assert {s.type_bin for s in unreachable} == {"REX"}


# ---------------------------------------------------------------- properties

COUNTS = st.one_of(st.integers(0, 30), st.integers(0, 10_000))


@pytest.mark.parametrize("backfill", [True, False])
@pytest.mark.parametrize("ratio", [[85, 15], [1, 0], [1, 2], [33, 34]])
def test_properties_of_quotas(plan_with: Any, backfill: bool, ratio: list[int]) -> None:
    rule = {"neg_pos_ratio": 7, "n1_n2_ratio": ratio, "backfill": backfill}
    config = plan_with({f"negative_pools.{key}": value for key, value in rule.items()})

    @given(st.integers(0, 1000), COUNTS, COUNTS)
    def holds(positives: int, n1: int, n2: int) -> None:
        quota = quota_of(config, positives, n1, n2)
        drawn = [pool.quota for pool in quota.pools]
        target = [pool.target for pool in quota.pools]

        assert quota.target == sum(target) == 7 * positives
        assert quota.shortfall == quota.target - sum(drawn) >= 0
        assert all(0 <= q <= have for q, have in zip(drawn, (n1, n2), strict=True))
        if backfill:
            assert sum(drawn) == min(quota.target, n1 + n2)
            # a pool gives less than its target only where it has no more
            assert all(q >= min(t, have) for q, t, have in zip(drawn, target, (n1, n2), strict=True))
        else:
            assert drawn == [min(t, have) for t, have in zip(target, (n1, n2), strict=True)]
        assert [pool.backfill for pool in quota.pools] == [
            max(0, q - t) for q, t in zip(drawn, target, strict=True)
        ]

        expected = reference.quota(positives, n1, n2, rule)
        assert drawn == [expected["n1_quota"], expected["n2_quota"]]
        assert quota.shortfall == expected["shortfall"]

    holds()
