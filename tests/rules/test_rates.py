"""A rate on the sky from a drawn sample, against the rate of the whole population."""

import random
from typing import Any

import numpy as np
import pytest
from test_draws import CATEGORIES, SER, as_pool, drawn_of

from lensneg.rules.draws import plan_stratum
from lensneg.rules.rates import population_rate
from lensneg.rules.strata import Stratum

Source = tuple[int, str | None, int]


def test_by_hand() -> None:
    """Parts of 20 and 60 sources; shares 0 of 2 and 1 of 2."""
    found = population_rate(np.array([0, 0, 1, 0], bool), list("aabb"), np.array([10.0, 10.0, 30.0, 30.0]))
    assert found.rate == pytest.approx(0.75 * 0.5)
    variance = 0.25**2 * 0.9 * (1 / 6 * 5 / 6) + 0.75**2 * (1 - 1 / 30) * 0.25
    assert found.error == pytest.approx(variance**0.5)


def test_a_whole_population_has_no_error() -> None:
    assert population_rate(np.array([True, False]), [1, 1], np.ones(2)) == (0.5, 0.0)


@pytest.mark.parametrize("population", ["all", "not_n2"])
def test_the_rate_of_a_known_population_is_recovered(plan_with: Any, population: str) -> None:
    """A finder flags a tenth of the confusers and a hundredth of the others; two strata of unequal shares."""
    config = plan_with({"negative_pools.neg_pos_ratio": 50, "negative_pools.pool_n1.population": population})
    strata = {SER: (4000, 0.3, 6), Stratum("11+", "REX"): (1500, 0.05, 3)}
    within = []
    for seed in range(60):
        rng, rows, flagged_in_all = random.Random(seed), [], 0
        for stratum, (count, confusers, positives) in strata.items():
            sources: list[Source] = []
            flagged = {}
            for _ in range(count):
                category = CATEGORIES[0] if rng.random() < confusers else None
                priority = rng.getrandbits(64) - 2**63
                sources.append((0, category, priority))
                flagged[priority] = rng.random() < (0.1 if category else 0.01)
            flagged_in_all += sum(flagged.values())
            quota = plan_stratum(stratum, {0: positives}, as_pool(sources, is_matched=False), (), config)
            for draw in quota.draws:
                if draw.draw == "n1" or population == "not_n2":
                    drawn = drawn_of(quota, sources)[draw.draw]
                    rows += [(flagged[s[2]], f"{stratum}/{draw.draw}", draw.weight) for s in drawn]
        found = population_rate(
            np.array([row[0] for row in rows]), [row[1] for row in rows], np.array([row[2] for row in rows])
        )
        within.append(abs(found.rate - flagged_in_all / 5500) <= 2 * found.error)
    assert np.mean(within) > 0.9
