"""AUCs and their errors, against all pairs, published examples and repeated random samples."""

import math

import numpy as np
import pytest

from lensneg.shortcuts.ranks import auc, measure, variance


def of_all_pairs(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([(x > y) + (x == y) / 2 for x in a for y in b]))


def test_an_auc_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        a = np.sort(rng.integers(0, 9, rng.integers(1, 40)).astype(float))
        b = np.sort(rng.integers(2, 12, rng.integers(1, 40)).astype(float))
        assert auc(a, b) == pytest.approx(of_all_pairs(a, b))


def test_only_pairs_of_one_group_count_and_each_counts_once() -> None:
    """Ties, values that are missing, and a group without positives are among them."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        values = rng.integers(0, 9, 80).astype(float)
        values[rng.random(80) < 0.1] = np.nan
        is_positive, group = rng.random(80) < 0.3, rng.integers(0, 4, 80)
        is_positive[group == 2] = False
        pairs = [
            (x > y) + (x == y) / 2
            for x, g in zip(values[is_positive], group[is_positive], strict=True)
            for y, h in zip(values[~is_positive], group[~is_positive], strict=True)
            if g == h and not math.isnan(x + y)
        ]
        found = measure(values, is_positive, group)
        assert found is not None
        assert found.auc == pytest.approx(np.mean(pairs))


def test_without_a_pair_there_is_no_auc() -> None:
    ones = np.ones(4)
    assert measure(ones, np.array([True, True, False, False]), np.array([0, 0, 1, 1])) is None
    assert measure(ones * np.nan, np.array([True, False, True, False]), np.zeros(4, int)) is None
    assert measure(ones[:0], np.zeros(0, bool), np.zeros(0, int)) is None


def test_the_error_is_exact_for_exponential_distributions() -> None:
    """An exponential of mean 3 is above one of mean 1 with probability 3/4."""
    rng = np.random.default_rng(7)
    groups, zeros = np.arange(13) < 3, np.zeros(13, int)
    found = [measure(rng.exponential(np.where(groups, 3, 1)), groups, zeros) for _ in range(4000)]
    assert np.var([one.auc for one in found if one]) == pytest.approx(variance(0.75, 3, 10), rel=0.07)


def test_the_error_is_the_same_whichever_side_is_higher() -> None:
    values, is_positive = np.arange(20.0), np.arange(20) % 3 == 0
    one, other = (measure(sign * values, is_positive, np.zeros(20, int)) for sign in (1, -1))
    assert one is not None
    assert other is not None
    assert one.auc == pytest.approx(1 - other.auc)
    assert one.error == pytest.approx(other.error)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_error_is_the_spread_of_repeated_samples(shift: float) -> None:
    """20 positives and 200 negatives in each of two groups of different levels."""
    rng = np.random.default_rng(6)
    is_positive, group = np.arange(440) % 11 == 0, np.arange(440) // 220
    found = [
        measure(rng.standard_normal(440) + shift * is_positive + 5 * group, is_positive, group)
        for _ in range(400)
    ]
    spread = np.std([one.auc for one in found if one])
    assert np.mean([one.error for one in found if one]) == pytest.approx(spread, rel=0.15)
    # A normal variable of this shift: the probability that it is above one without.
    expected = 0.5 * (1 + math.erf(shift / 2))
    assert np.mean([one.auc for one in found if one]) == pytest.approx(expected, abs=0.01)
