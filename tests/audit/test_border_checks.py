"""Negatives of different splits are apart: circles in another split, and near pairs, against brute force."""

from typing import Any

import numpy as np
import pytest
import reference
from auditrows import Row, checks_of, content, positive, row

from lensneg.audit import border_checks
from lensneg.audit.border_checks import Borders, near_pairs
from lensneg.schema.check import Check
from lensneg.schema.config import Config

#: A position in training, and one north of it that is near an edge of another split (docs/science.md's
#: positions, and rules/borders).
FAR, NEAR = {"ra": 165.4754, "dec": -6.04226}, {"ra": 165.4754, "dec": -5.776}


@pytest.fixture
def bordered(plan_with: Any) -> Config:
    return plan_with({"spatial_splits.border_arcsec": 19.0})


def judged(config: Config, *rows: Row, positives: tuple[Row, ...] = ()) -> dict[str, Check]:
    return {check.name: check for check in checks_of(Borders, content(config, rows, positives))}


def placed(i: int, ra: float, dec: float, config: dict[str, Any]) -> Row:
    """A row with the pixels and the split of its position."""
    return row(
        i, ra=ra, dec=dec, healpix_128=reference.pixel(128, ra, dec),
        split=reference.split_of(ra, dec, config["spatial_splits"]),
    )  # fmt: skip


def test_without_a_border_there_is_nothing_to_check(plan: Config) -> None:
    assert judged(plan, row(1, **NEAR), row(2, **FAR)) == {}


def test_a_circle_that_enters_another_split(bordered: Config) -> None:
    found = judged(bordered, row(1, **FAR), row(2, **NEAR), positives=(positive(**NEAR),))
    assert {name: check.passed for name, check in found.items()} == {
        "clear_of_borders": False,
        "splits_apart": True,
    }
    assert found["clear_of_borders"].actual == "not in 1 of 2 rows, the first in row 1"
    assert found["clear_of_borders"].critical
    assert all(
        check.passed for check in judged(bordered, row(1, **FAR), positives=(positive(**NEAR),)).values()
    )


@pytest.mark.parametrize(("apart", "passed"), [(37.9, False), (38.1, True)])
@pytest.mark.parametrize("dec", [0.0, 60.0, 89.9])
def test_pairs_of_different_splits(bordered: Config, apart: float, passed: bool, dec: float) -> None:
    """The splits are those written; the circles' splits are another check."""
    rows = [row(1, ra=0.001, dec=dec), row(2, ra=0.001, dec=dec + apart / 3600, split="test")]
    found = judged(bordered, *rows, *(row(i, ra=10.0 * i, dec=5.0) for i in range(3, 6)))["splits_apart"]
    assert (found.passed, found.critical) == (passed, True)
    assert judged(bordered, *rows[:1], {**rows[1], "split": "train"})["splits_apart"].passed
    if not passed:
        assert found.actual.startswith("1 pairs are, the first at RA 0.00100, Dec")
        assert "(train)" in found.actual
        assert "(test)" in found.actual


def test_rows_off_the_sphere_are_another_check(bordered: Config) -> None:
    assert judged(bordered, row(1, **NEAR), row(2, ra=361.0)) == {}
    assert judged(bordered, row(1, dec=np.nan)) == {}


def test_the_rows_of_all_bands_are_compared(bordered: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows at most are held: a pair on both sides of a band's edge is found once."""
    monkeypatch.setattr(border_checks, "_ROWS_AT_ONCE", 1)
    decs = [-90.0, -0.02, -0.005, 0.005, 0.02, 90.0]
    rows = [row(i, ra=20.0, dec=dec, split=("train", "test")[i % 2]) for i, dec in enumerate(decs)]
    assert judged(bordered, *rows)["splits_apart"].actual.startswith("1 pairs are")
    assert judged(bordered, *(r for i, r in enumerate(rows) if i != 3))["splits_apart"].passed


@pytest.mark.parametrize("pairs_at_once", [7, 1 << 19])
@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ((0.0, 0.1), (0.0, 0.1)),
        ((-0.05, 0.05), (-60.1, -60.0)),
        ((0.0, 360.0), (89.95, 90.0)),
        ((0.0, 360.0), (-90.0, -89.95)),
    ],
)
def test_near_pairs_are_those_of_brute_force(
    ra: tuple[float, float], dec: tuple[float, float], pairs_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(border_checks, "_PAIRS_AT_ONCE", pairs_at_once)
    rng = np.random.default_rng(4)
    places = [(rng.uniform(*ra) % 360, rng.uniform(*dec)) for _ in range(150)]
    split = rng.choice(np.array(["train", "val", "test"], dtype=object), 150)
    expected = sum(
        split[i] != split[j] and reference.separation(*places[i], *places[j]) < 30.0
        for i in range(150)
        for j in range(i)
    )
    assert expected > 20
    assert near_pairs(*np.array(places).T, split, 30.0)[0] == expected


def test_a_sample_of_kept_rows_passes(bordered: Config, plan_dict: dict[str, Any]) -> None:
    """Of positions in a field with borders, those that the reference keeps."""
    rng = np.random.default_rng(3)
    config = {**plan_dict, "spatial_splits": plan_dict["spatial_splits"] | {"border_arcsec": 19.0}}
    places = np.stack([rng.uniform(165.0, 166.0, 60), rng.uniform(-6.5, -5.5, 60)], axis=1).tolist()
    kept = [place for place in places if not reference.at_border(*place, config["spatial_splits"])]
    found = judged(bordered, *(placed(i, *place, config) for i, place in enumerate(kept)))
    assert {name: check.passed for name, check in found.items()} == {
        "clear_of_borders": True,
        "splits_apart": True,
    }
