"""The limit of gate 4 on what nuisance columns tell, of rows whose shortcut was put in."""

from typing import Any

import numpy as np
import pytest
from auditrows import Row, checks_of, content, only, positive, row

from lensneg.audit.shortcut_check import ShortcutAuc
from lensneg.schema.check import Check
from lensneg.schema.config import Config


def rows(positives: int, shift: float) -> tuple[list[Row], list[Row]]:
    """Negatives and positives in 20 pixels; these are brighter by some standard deviations."""
    random = np.random.default_rng(3)
    mags = random.standard_normal(400 + positives)
    places = [{"healpix_64": 4 * int(pixel)} for pixel in random.integers(0, 20, len(mags))]
    negatives = [row(i, mag_r=20 + mags[i], **places[i]) for i in range(400)]
    lenses = [positive(i, mag_r=20 + mags[i] - shift, **places[i]) for i in range(400, len(mags))]
    return negatives, lenses


def judged(config: Config, positives: int = 30, shift: float = 4.0) -> Check:
    return only(ShortcutAuc, content(config, *rows(positives, shift)))


@pytest.fixture(scope="module")
def limited(plan_with: Any) -> Config:
    return plan_with({"gates.shortcut_auc_max": 0.6})


def test_positives_that_are_brighter_are_a_warning(limited: Config) -> None:
    found = judged(limited)
    assert (found.name, found.passed, found.critical) == ("shortcut_auc", False, False)
    assert found.expected == "an AUC of at most 0.6 of all nuisance columns together"
    auc, error = map(float, found.actual.removeprefix("an AUC of ").split(" ± "))
    assert auc > 0.97  # Phi(4 / sqrt 2) is 0.998
    assert 0 < error < 0.05
    assert "match the negatives" in found.remedy


def test_equal_rows_and_a_high_limit_pass(limited: Config, plan_with: Any) -> None:
    assert judged(limited, shift=0.0).passed
    assert judged(plan_with({"gates.shortcut_auc_max": 1.0})).passed


def test_what_is_not_measured_passes_and_says_so(limited: Config) -> None:
    found = judged(limited, positives=19)
    assert (found.passed, found.actual) == (
        True,
        "not measured: 19 positives are too few: a classifier needs 20",
    )


def test_a_config_without_a_limit_has_no_such_check(plan: Config) -> None:
    assert plan.gates.shortcut_auc_max is None
    assert checks_of(ShortcutAuc, content(plan, *rows(30, 4.0))) == []
