"""The cuts: each at and around its limit, their order, and the reference."""

import math
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from sweepfile import GALAXY, Row, table

from lensneg.rules.rows import Rows
from lensneg.rules.selection import CUT_REASONS, RULES, first_failed_rule, select
from lensneg.schema.config import Config

NAN, INF = math.nan, math.inf
#: The float32 numbers just below and just above a flux of 10, whose magnitude is 20 exactly.
BELOW_10 = np.nextafter(np.float32(10), np.float32(0))
ABOVE_10 = np.nextafter(np.float32(10), np.float32(20))


def reason(config: Config, **changes: Any) -> str | None:
    """The rule that cuts GALAXY with some columns changed; None if it is kept."""
    rows = Rows(table([changes]))
    kept, cut = select(rows, config)
    failed = [name for name, count in cut.items() if count]
    assert len(kept) + len(failed) == 1
    assert first_failed_rule(rows, config) == [failed[0] if failed else None]
    return failed[0] if failed else None


def test_the_galaxy_of_these_tests_is_kept(plan: Config, parity: Config) -> None:
    assert reason(plan) is None
    assert reason(parity) is None


# ---------------------------------------------------------------- the magnitude limit


@pytest.mark.parametrize("flux", [0.0, -0.0, -5.0, -1e30, NAN, -INF])
def test_a_source_without_positive_flux_z_is_cut_as_faint(plan: Config, flux: float) -> None:
    assert reason(plan, FLUX_Z=flux) == "faint"


@pytest.mark.parametrize(
    ("flux", "expected"),
    [
        (1e-30, "faint"),
        (9.9, "faint"),
        (BELOW_10, "faint"),
        (10.0, "faint"),  # z = 20.0 is not z < 20.0
        (ABOVE_10, None),
        (10.1, None),
        (1e30, None),
    ],
)
def test_the_magnitude_limit_is_strict(plan: Config, flux: float, expected: str | None) -> None:
    assert reason(plan, FLUX_Z=flux) == expected


def test_the_magnitude_limit_is_of_the_observed_flux(plan: Config) -> None:
    # Dereddened, this source would have a flux of 18.
    assert reason(plan, FLUX_Z=9.0, MW_TRANSMISSION_Z=0.5) == "faint"


@pytest.mark.parametrize(
    ("flux", "transmission", "expected"),
    [
        (9.0, 0.5, None),  # dereddened, a flux of 18
        (5.0, 0.5, "faint"),  # of 10: z = 20.0 is not z < 20.0
        (np.nextafter(np.float32(5), np.float32(6)), 0.5, None),
        (10.5, 1.0625, "faint"),  # a transmission may be above 1
        (9.0, 1.0, "faint"),
        (100.0, 0.0, "faint"),
        (100.0, -0.5, "faint"),
        (100.0, NAN, "faint"),
        (-100.0, 0.5, "faint"),
        (INF, 0.5, "unusable"),
    ],
)
def test_the_magnitude_limit_of_a_dereddened_selection(
    plan_with: Any, flux: float, transmission: float, expected: str | None
) -> None:
    config = plan_with({"selection.dereddened": True})
    assert reason(config, FLUX_Z=flux, MW_TRANSMISSION_Z=transmission) == expected


@given(st.lists(st.tuples(st.floats(8.5, 11, width=32), st.floats(0.75, 1.125, width=32)), max_size=40))
def test_the_dereddened_limit_agrees_with_the_reference(
    plan_with: Any, plan_dict: dict[str, Any], sources: list[tuple[float, float]]
) -> None:
    config = plan_with({"selection.dereddened": True})
    kept, _ = select(Rows(table([{"FLUX_Z": f, "MW_TRANSMISSION_Z": t} for f, t in sources])), config)
    plain = {**plan_dict, "selection": plan_dict["selection"] | {"dereddened": True}}
    galaxy = {name.lower(): value for name, value in GALAXY.items()} | {"maskbits": 0}
    passing = [
        i
        for i, (flux, through) in enumerate(sources)
        if reference.selection_failure(galaxy | {"flux_z": flux, "mw_transmission_z": through}, plain) is None
    ]
    assert kept.tolist() == passing


@pytest.mark.parametrize("limit", [18.3, 19.0, 20.0, 21.7, 22.5])
def test_the_magnitude_limit_agrees_with_magnitudes_for_the_float32_fluxes_around_it(
    plan_with: Any, limit: float
) -> None:
    config = plan_with({"selection.z_mag_limit": limit})
    middle = np.float32(10 ** ((22.5 - limit) / 2.5))
    fluxes = (middle.view(np.int32) + np.arange(-200, 201, dtype=np.int32)).view(np.float32)
    kept, _ = select(Rows(table([{"FLUX_Z": flux} for flux in fluxes])), config)
    brighter = [i for i, flux in enumerate(fluxes) if 22.5 - 2.5 * math.log10(float(flux)) < limit]
    assert kept.tolist() == brighter
    assert 0 < len(kept) < len(fluxes)


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("kind", "in_plan", "in_parity"),
    [
        ("SER", None, None),
        ("DEV", None, None),
        ("REX", None, None),
        ("EXP", None, "type"),
        ("PSF", "type", "type"),
        ("DUP", "type", "type"),
        ("", "type", "type"),
        ("ser", None, None),
        ("Rex", None, None),
    ],
)
def test_types(plan: Config, parity: Config, kind: str, in_plan: str | None, in_parity: str | None) -> None:
    assert reason(plan, TYPE=kind) == in_plan
    assert reason(parity, TYPE=kind) == in_parity


# ---------------------------------------------------------------- exposures


@pytest.mark.parametrize(("nobs", "expected"), [(-1, "unusable"), (0, "nobs"), (1, None), (300, None)])
def test_the_plan_needs_one_exposure_in_z(plan: Config, nobs: int, expected: str | None) -> None:
    assert reason(plan, NOBS_Z=nobs) == expected


def test_the_plan_needs_no_exposure_in_g_and_r(plan: Config) -> None:
    assert reason(plan, NOBS_G=0, NOBS_R=0) is None


@pytest.mark.parametrize("band", ["G", "R", "Z"])
def test_parity_needs_three_exposures_in_each_band(parity: Config, band: str) -> None:
    assert reason(parity, **{f"NOBS_{band}": 2}) == "nobs"
    assert reason(parity, **{f"NOBS_{band}": 3}) is None


# ---------------------------------------------------------------- footprint


@pytest.mark.parametrize("dec", [-18.0, 32.0, -90.0, 33.0])
def test_parity_cuts_outside_its_open_range_of_declination(parity: Config, dec: float) -> None:
    assert reason(parity, DEC=dec) == "footprint"


@pytest.mark.parametrize("dec", [np.nextafter(-18, 0), 0.0, np.nextafter(32, 0)])
def test_parity_keeps_inside_its_open_range_of_declination(parity: Config, dec: float) -> None:
    assert reason(parity, DEC=dec) is None


@pytest.mark.parametrize("dec", [-89.9, -18.0, 32.0, 33.9])
def test_the_plan_takes_any_declination(plan: Config, dec: float) -> None:
    assert reason(plan, DEC=dec) is None


@pytest.mark.parametrize("column", ["RA", "DEC"])
def test_a_source_without_position_is_cut(plan: Config, parity: Config, column: str) -> None:
    for value in (NAN, INF):
        assert reason(plan, **{column: value}) == "bad_row"
        assert reason(parity, **{column: value}) == "bad_row"


def test_a_row_that_is_no_source_counts_as_such_whatever_else_it_is(parity: Config) -> None:
    """A row of zeros has no flux, no type and no exposures either."""
    zeros = {"RA": 0.0, "DEC": 0.0, "BRICKID": 0, "OBJID": 0, "FLUX_Z": 0.0, "TYPE": "", "NOBS_Z": 0}
    assert reason(parity, **zeros) == "bad_row"
    assert reason(parity, **zeros, RELEASE=0) == "bad_row"


# ---------------------------------------------------------------- mask bits


@pytest.mark.parametrize("bit", range(31))
def test_each_mask_bit_alone(plan: Config, parity: Config, bit: int) -> None:
    expected = "maskbits" if bit in {1, 5, 6, 7, 11, 12, 13} else None if bit else "not_primary"
    assert reason(plan, MASKBITS=1 << bit) == expected
    assert reason(parity, MASKBITS=1 << bit) == expected


def test_an_excluded_mask_bit_among_others(plan: Config) -> None:
    every_bit = 2**17 - 2  # but NPRIMARY
    assert reason(plan, MASKBITS=every_bit) == "maskbits"
    assert reason(plan, MASKBITS=every_bit - 14562) is None


def test_no_mask_bit_need_be_excluded(plan_with: Any) -> None:
    assert reason(plan_with({"exclusion.exclude_maskbits": []}), MASKBITS=2**17 - 2) is None


# ---------------------------------------------------------------- primary sources


@pytest.mark.parametrize(
    ("values", "primary"),
    [
        (np.array([b"T", b"F", b"\0"]), [True, False, False]),  # logical, as FITS has it; the last is none
        (np.array([b"true", b"False", b""]), [True, False, False]),
        (np.array([b"1", b"0", b"True"]), [True, False, True]),
        (np.array([1, 0, 255], "u1"), [True, False, True]),
        (np.array([True, False, True]), [True, False, True]),
    ],
)
def test_stacked_bricks_say_which_rows_are_primary(plan: Config, values: Any, primary: list[bool]) -> None:
    rows = table([{}, {}, {}])
    columns = {name: rows[name] for name in rows.dtype.names} | {"BRICK_PRIMARY": values}
    kept, cut = select(Rows(columns), plan)
    assert kept.tolist() == [i for i in range(3) if primary[i]]
    assert cut["not_primary"] == 3 - len(kept)
    columns["MASKBITS"] = np.array([1, 1, 1], ">i2")
    assert select(Rows(columns), plan)[1]["not_primary"] == 3


# ---------------------------------------------------------------- order and counts

#: A change that makes GALAXY fail each rule of paper_iv_parity, in the order of the rules.
FAILING: dict[str, Row] = {
    "bad_row": {"BRICKID": 0},
    "faint": {"FLUX_Z": 1.0},
    "type": {"TYPE": "PSF"},
    "unusable": {"FLUX_W1": INF},
    "not_primary": {"MASKBITS": 1},
    "nobs": {"NOBS_Z": 0},
    "footprint": {"DEC": 40.0},
    "maskbits": {"MASKBITS": 2},  # without NPRIMARY
}


def test_the_rules_and_reasons_in_order() -> None:
    assert [rule.reason for rule in RULES] == list(FAILING)
    assert list(CUT_REASONS) == [*FAILING, "no_pool", "near_lens", "border", "suspect"]


@pytest.mark.parametrize("first", range(len(FAILING)))
def test_a_source_is_counted_under_the_first_rule_that_it_fails(parity: Config, first: int) -> None:
    changes: Row = {}
    for failing in list(FAILING.values())[first:]:
        changes |= failing
    if first <= list(FAILING).index("not_primary"):
        changes["MASKBITS"] = 3
    assert reason(parity, **changes) == list(FAILING)[first]


def test_rows_in_are_rows_kept_and_rows_cut(parity: Config) -> None:
    rows = [{}, *FAILING.values(), {"TYPE": "REX"}, FAILING["nobs"], {}]
    kept, cut = select(Rows(table(rows)), parity)
    assert kept.tolist() == [0, 9, 11]
    assert cut == dict.fromkeys(FAILING, 1) | {"nobs": 2}


def test_rows_that_were_gathered_are_counted_from_0(parity: Config) -> None:
    rows = Rows(table([FAILING["faint"], FAILING["nobs"], {}, {"TYPE": "REX"}, {}]))
    kept, cut = select(rows.take(np.array([4, 1, 0, 2])), parity)
    assert kept.tolist() == [0, 3]
    assert cut == dict.fromkeys(FAILING, 0) | {"faint": 1, "nobs": 1}


def test_a_table_without_rows(plan: Config) -> None:
    kept, cut = select(Rows(table([])), plan)
    assert len(kept) == 0
    assert set(cut.values()) == {0}


SOURCES = st.fixed_dictionaries(
    {
        "FLUX_Z": st.sampled_from([NAN, -1.0, 0.0, BELOW_10, 10.0, ABOVE_10, 50.0, INF]),
        "FLUX_G": st.sampled_from([NAN, -1.0, 5.0, -INF]),
        "SHAPE_R": st.sampled_from([NAN, 0.0, 1.0, 1.0, INF]),
        "SERSIC": st.sampled_from([NAN, 4.0, 4.0]),
        "EBV": st.sampled_from([NAN, 0.1, 0.1, INF]),
        "BRICKID": st.sampled_from([0, 1, 336_000, 2**20 - 1, 2**20]),
        "OBJID": st.sampled_from([-1, 0, 2**22 - 1, 2**22]),
        "BRICKNAME": st.sampled_from(["1512p025", "1512p025", " ", "a\x7f"]),
        "TYPE": st.sampled_from(["PSF", "REX", "EXP", "DEV", "SER", "DUP"]),
        "NOBS_G": st.integers(-1, 4),
        "NOBS_R": st.integers(0, 4),
        "NOBS_Z": st.integers(0, 4),
        "RA": st.sampled_from([0.0, 151.2, NAN]),
        "DEC": st.sampled_from([-18.0, -17.9, 5.0, 31.9, 32.0, NAN]),
        "MASKBITS": st.sampled_from([0, 1, 2, 4, 2**5, 2**10, 2**12, 2**14, 2**17 - 1]),
    }
)


@given(st.lists(SOURCES, max_size=30))
def test_selection_agrees_with_the_reference(
    plan: Config,
    parity: Config,
    plan_dict: dict[str, Any],
    parity_dict: dict[str, Any],
    sources: list[Row],
) -> None:
    rows = Rows(table(sources))
    for config, config_dict in ((plan, plan_dict), (parity, parity_dict)):
        expected = [
            reference.selection_failure(
                {name.lower(): _plain(value) for name, value in (GALAXY | source).items()},
                config_dict,
            )
            for source in sources
        ]
        kept, cut = select(rows, config)
        assert kept.tolist() == [i for i, failure in enumerate(expected) if failure is None]
        assert cut == {name: expected.count(name) for name in FAILING}
        assert first_failed_rule(rows, config) == expected


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, np.float32) else value
