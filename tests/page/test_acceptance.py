"""The numbers and checks of the plan's acceptance scripts, against pandas and on rows with one fault each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from lensneg.page.acceptance import overview

STARTED = "2026-01-02T03:04:05Z"


def sample() -> dict[str, list[Any]]:
    """A hundred rows: 85 of N1, 70 of training, four types, two bins."""
    rows = range(100)
    return {
        "galaxy_id": [f"0001p000_{i}" for i in rows],
        "ra": [359.0 if i == 7 else 0.5 + i for i in rows],
        "dec": [-90.0 + i for i in rows],
        "type": [("SER", "DEV", "REX", "EXP")[i % 4] for i in rows],
        "type_bin": [("SER", "DEV", "REX", "EXP")[i % 4] for i in rows],
        "nobs_z": [3 + i % 4 for i in rows],
        "nobs_z_bin": ["6-10" if i % 4 == 3 else "3-5" for i in rows],
        "pool": ["N1" if i < 85 else "N2" for i in rows],
        "split": ["train" if i % 20 < 14 else "val" if i % 20 < 17 else "test" for i in rows],
        "git_commit": ["b" * 40 if i == 3 else "a" * 40 for i in rows],
    }


def batches(rows: dict[str, list[Any]]) -> Callable[[Sequence[str]], Iterator[pa.Table]]:
    """Reads columns of the rows, seven at a time."""
    table = pa.table(rows)
    return lambda columns: (table.select(columns).slice(start, 7) for start in range(0, len(table), 7))


def test_the_numbers_are_those_of_the_script() -> None:
    found = overview(batches(sample()), STARTED).as_json()
    checks = found.pop("acceptance_checks")
    assert found == {
        "timestamp": STARTED,
        "total_rows": 100,
        "unique_galaxies": 100,
        "pool_distribution": {"N1": 85, "N2": 15},
        "split_distribution": {"test": 15, "train": 70, "val": 15},
        "type_distribution": {"DEV": 25, "EXP": 25, "REX": 25, "SER": 25},
        "nobs_distribution": {"3-5": 75, "6-10": 25},
        "ra_range": [0.5, 359.0],
        "dec_range": [-90.0, 9.0],
        "git_commits": ["a" * 40, "b" * 40],
    }
    assert [check["name"] for check in checks] == [
        *(f"null_{name}" for name in ("galaxy_id", "ra", "dec", "type", "nobs_z", "pool", "split")),
        *("no_duplicates", "n1_n2_ratio", "split_ratio", "all_types", "ra_range", "dec_range"),
    ]
    assert all(check["passed"] for check in checks)


@pytest.mark.parametrize(
    ("column", "values", "failing", "what"),
    [
        ("galaxy_id", {1: "0001p000_0"}, {"no_duplicates"}, "1 duplicates"),
        ("split", {0: None}, {"null_split"}, "1 nulls"),
        ("ra", {5: None}, {"null_ra", "ra_range"}, "1 nulls"),
        ("ra", {5: 360.5}, {"ra_range"}, "0.5000 to 360.5000"),
        ("dec", {5: -90.5}, {"dec_range"}, "-90.5000 to 9.0000"),
        ("pool", dict.fromkeys(range(10), "N2"), {"n1_n2_ratio"}, "75.0 % N1"),
        ("pool", dict.fromkeys(range(85, 95), "N1"), {"n1_n2_ratio"}, "95.0 % N1"),
        ("split", dict.fromkeys((14, 15, 16, 17, 18), "train"), {"split_ratio"}, "75.0 % train"),
        ("split", dict.fromkeys((0, 1, 2, 3, 4), "val"), {"split_ratio"}, "65.0 % train"),
        ("type_bin", dict.fromkeys(range(3, 100, 4), "SER"), {"all_types"}, "DEV, REX, SER"),
    ],
)
def test_a_fault_fails_its_check(column: str, values: dict[int, Any], failing: set[str], what: str) -> None:
    rows = sample()
    for index, value in values.items():
        rows[column][index] = value
    checks = overview(batches(rows), STARTED).acceptance_checks
    assert checks is not None
    assert {check.name for check in checks if not check.passed} == failing
    assert next(check.found for check in checks if not check.passed) == what


def test_the_limits_are_those_of_the_script() -> None:
    rows = sample()
    rows["pool"][85:94] = ["N1"] * 9
    rows["split"] = ["train"] * 74 + ["val"] * 26
    assert all(check.passed for check in overview(batches(rows), STARTED).acceptance_checks or ())


@pytest.mark.parametrize("at_once", [1, 1000])
def test_galaxies_are_counted_once_however_many_are_held_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some names end with a digit, and some do not."""
    monkeypatch.setattr("lensneg.page.acceptance._NAMES_AT_ONCE", at_once)
    rows = sample()
    rows["galaxy_id"][:5] = ["a", "0001p000_99", "", "a", ""]
    assert overview(batches(rows), STARTED).unique_galaxies == 100 - 3
