"""Usable values, column by column, and rows without a position or an id."""

import math
from typing import Any

import numpy as np
import pytest
import yaml
from sweepfile import table

from lensneg.rules.rows import Rows
from lensneg.rules.usable import all_usable, allowed_bad_rows, count_unusable, has_identity, unusable_values
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config

NAN, INF = math.nan, math.inf

FLOATS = [
    *(f"{quantity}_{band}" for quantity in ("FLUX", "PSFSIZE", "PSFDEPTH", "GALDEPTH", "MW_TRANSMISSION")
      for band in "GRZ"),
    "FLUX_W1", "EBV", "SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC",
]  # fmt: skip
SHAPES = ["SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC"]
IDS = ["RELEASE", "BRICKID", "OBJID"]
INTEGERS = ["NOBS_G", "NOBS_R", "NOBS_Z", "MASKBITS", "FITBITS"]


def unusable(config: Config, nulls: dict[str, int] | None = None, **changes: Any) -> list[str]:
    """The columns of GALAXY, with some changed, whose value cannot be used."""
    rows = Rows(table([changes]), nulls=nulls or {})
    found = [name for name, wrong in unusable_values(rows, config) if wrong.tolist() == [True]]
    assert all_usable(rows, config).tolist() == [not found]
    assert count_unusable(rows, config) == dict.fromkeys(found[:1], 1)
    return found


def test_these_are_the_needed_columns() -> None:
    assert {*FLOATS, *INTEGERS, *IDS, "RA", "DEC", "TYPE", "BRICKNAME"} == set(NEEDED_COLUMNS)


@pytest.mark.parametrize("column", FLOATS)
@pytest.mark.parametrize("kind", ["SER", "REX", "EXP", "DEV", "PSF", "DUP"])
def test_numbers(plan: Config, column: str, kind: str) -> None:
    must_be = column in SHAPES and kind not in ("PSF", "DUP")
    assert unusable(plan, TYPE=kind) == []
    assert unusable(plan, TYPE=kind, **{column: INF}) == [column]
    assert unusable(plan, TYPE=kind, **{column: -INF}) == [column]
    assert unusable(plan, TYPE=kind, **{column: NAN}) == [column] * must_be
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
    rows = Rows(table([{"EBV": INF, "SERSIC": NAN}, {"SERSIC": NAN}, {}, {"EBV": INF, "FLUX_G": INF}]))
    assert count_unusable(rows, plan) == {"FLUX_G": 1, "EBV": 1, "SERSIC": 1}
    assert count_unusable(rows.take(np.array([2])), plan) == {}
    assert all_usable(Rows(table([])), plan).tolist() == []


@pytest.mark.parametrize(
    ("column", "right", "wrong"),
    [
        ("RA", [0.0, -0.0, 1e-300, 359.999, 360.0], [NAN, INF, -INF, -1e-300, np.nextafter(360, 361), -0.5]),
        ("DEC", [-90.0, -0.0, 90.0], [NAN, INF, -INF, np.nextafter(90, 91), np.nextafter(-90, -91)]),
        ("BRICKID", [1, 1_048_575], [0, -1, 1_048_576, -(2**31), 2**31 - 1]),
        ("OBJID", [0, 4_194_303], [-1, 4_194_304, -(2**31), 2**31 - 1]),
        ("RELEASE", [0, -1, 10002], []),
    ],
)
def test_a_row_without_a_position_or_an_id(column: str, right: list[Any], wrong: list[Any]) -> None:
    """Alone, and among others on either side of it."""
    for value in [*right, *wrong]:
        assert has_identity(Rows(table([{column: value}]))).tolist() == [value not in wrong], value
        among = Rows(table([{}, {column: value}, {}, {column: value}]))
        assert has_identity(among).tolist() == [True, value not in wrong] * 2, value
        assert has_identity(among.take(np.array([2, 1]))).tolist() == [True, value not in wrong], value
    assert has_identity(Rows(table([{column: right[0]}, *({column: value} for value in wrong)]))).sum() == 1


def test_a_masked_id_is_none() -> None:
    for column in IDS:
        value = int(table([{}])[column][0])
        rows = table([{}, {column: value + 1}])
        assert has_identity(Rows(rows, nulls={column: value})).tolist() == [False, True], column
        assert has_identity(Rows(rows, nulls={column: -5})).tolist() == [True, True], column


def test_columns_that_a_table_lacks_are_passed_over() -> None:
    assert has_identity(Rows({"RA": np.array([1.0, NAN])})).tolist() == [True, False]
    assert has_identity(Rows({"RA": np.array([], "f8")})).tolist() == []


@pytest.mark.parametrize(
    ("share", "rows", "allowed"),
    [(None, 5, 1), (None, 10_000, 1), (None, 30_000, 3), (0.0, 30_000, 0), (0.1, 20, 2)],
)
def test_how_many_bad_rows_are_allowed(
    plan_dict: dict[str, Any], share: float | None, rows: int, allowed: int
) -> None:
    """One in 10,000 where the config does not say."""
    sweeps = {"releases": [10002]} | ({} if share is None else {"bad_rows_max": share})
    config = Config.parse(yaml.safe_dump(plan_dict | {"sweeps": sweeps}, sort_keys=False))
    assert allowed_bad_rows(config, rows) == allowed
