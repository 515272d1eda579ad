"""Usable values, column by column."""

import math
from typing import Any

import numpy as np
import pytest
from sweepfile import table

from lensneg.rules.rows import Rows
from lensneg.rules.usable import all_usable, count_unusable, unusable_values
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config

NAN, INF = math.nan, math.inf

FLOATS = [
    *(f"{quantity}_{band}" for quantity in ("FLUX", "PSFSIZE", "PSFDEPTH", "GALDEPTH", "MW_TRANSMISSION")
      for band in "GRZ"),
    "FLUX_W1", "EBV", "RA", "DEC", "SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC",
]  # fmt: skip
SHAPES = ["SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC"]
INTEGERS = ["RELEASE", "BRICKID", "OBJID", "NOBS_G", "NOBS_R", "NOBS_Z", "MASKBITS", "FITBITS"]


def unusable(config: Config, nulls: dict[str, int] | None = None, **changes: Any) -> list[str]:
    """The columns of GALAXY, with some changed, whose value cannot be used."""
    rows = Rows(table([changes]), nulls=nulls or {})
    found = [name for name, wrong in unusable_values(rows, config) if wrong.tolist() == [True]]
    assert all_usable(rows, config).tolist() == [not found]
    assert count_unusable(rows, config) == dict.fromkeys(found[:1], 1)
    return found


def test_these_are_the_needed_columns() -> None:
    assert {*FLOATS, *INTEGERS, "TYPE", "BRICKNAME"} == set(NEEDED_COLUMNS)


@pytest.mark.parametrize("column", FLOATS)
@pytest.mark.parametrize("kind", ["SER", "REX", "EXP", "DEV", "PSF", "DUP"])
def test_numbers(plan: Config, column: str, kind: str) -> None:
    must_be = column in ("RA", "DEC") or (column in SHAPES and kind not in ("PSF", "DUP"))
    assert unusable(plan, TYPE=kind) == []
    assert unusable(plan, TYPE=kind, **{column: INF}) == [column]
    assert unusable(plan, TYPE=kind, **{column: -INF}) == [column]
    assert unusable(plan, TYPE=kind, **{column: NAN}) == [column] * must_be
    if column not in ("RA", "DEC"):
        assert unusable(plan, TYPE=kind, **{column: -3.4e38}) == []


@pytest.mark.parametrize("column", INTEGERS)
def test_a_null_is_a_missing_value(plan: Config, parity: Config, column: str) -> None:
    value = int(table([{}])[column][0])
    in_plan = [] if column in ("NOBS_G", "NOBS_R") else [column]
    assert unusable(plan, {column: value}) == in_plan
    assert unusable(parity, {column: value}) == [column]
    assert unusable(parity, {column: value + 1}) == []
    assert unusable(parity, {column: 10**12}) == []  # no value of the column can be it


@pytest.mark.parametrize(
    ("column", "right", "wrong"),
    [
        ("BRICKID", [1, 1_048_575], [0, -1, 1_048_576, -(2**31)]),
        ("OBJID", [0, 4_194_303], [-1, 4_194_304]),
        ("NOBS_G", [0, 32767], [-1]),
        ("NOBS_R", [0], [-32768]),
        ("NOBS_Z", [0], [-1]),
        ("MASKBITS", [0, -1, 2**31 - 1], []),
        ("BRICKNAME", ["0001m002", " a "], ["", "    ", b"\xe9", b"a\x7f", b"a\tb", b"a\0b", b"\0a"]),
    ],
)
def test_ranges(parity: Config, column: str, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        assert unusable(parity, **{column: value}) == [], value
    for value in wrong:
        assert unusable(parity, **{column: value}) == [column], value


def test_a_row_counts_under_its_first_column(plan: Config) -> None:
    rows = Rows(table([{"EBV": INF, "SERSIC": NAN}, {"SERSIC": NAN}, {}, {"EBV": INF, "RA": NAN}]))
    assert count_unusable(rows, plan) == {"RA": 1, "EBV": 1, "SERSIC": 1}
    assert count_unusable(rows.take(np.array([2])), plan) == {}
    assert all_usable(Rows(table([])), plan).tolist() == []
