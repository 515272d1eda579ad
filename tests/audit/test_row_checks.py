"""The rules of a row, each at and around its limits: one row is changed, and its check alone may notice."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import reference
from auditrows import RUN_COLUMNS, Row, content, only, part_table, positive, row
from conftest import edited
from hypothesis import given
from hypothesis import strategies as st
from poolcases import CASES, FURTHER_CASES, G_0_4, NAN, R_20_5, SEVERAL, above, below, up

from lensneg.audit import row_checks
from lensneg.audit.columns import Rows
from lensneg.rules.quotas import plain_draws
from lensneg.schema.columns import MANIFEST_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.quotas import PoolQuota, StratumQuota

#: The float32 numbers just below and just above a flux of 10, whose magnitude is 20 exactly.
BELOW_10, ABOVE_10 = below(10.0), above(10.0)

INF = float("inf")


def wrong(check: Any, config: Config, *rows: Row, positives: tuple[Row, ...] = ()) -> int:
    """How many of some rows are wrong; the check's words say the same."""
    found = only(check, content(config, rows, positives))
    total = len(rows) + len(positives)
    if check is row_checks.selection_rule:
        total = len(rows)
    assert found.critical
    assert found.remedy
    if found.passed:
        assert found.actual == f"all {total} rows"
        return 0
    count, of = found.actual.removeprefix("not in ").split(" rows")[0].split(" of ")
    assert int(of) == total
    return int(count)


def is_wrong(check: Any, config: Config, **changes: Any) -> bool:
    """Whether a negative is wrong that differs from a right one in some columns."""
    count = wrong(check, config, row(1), row(2, **changes))
    assert count in (0, 1)
    return bool(count)


def is_wrong_positive(check: Any, config: Config, **changes: Any) -> bool:
    """The same of a positive."""
    count = wrong(check, config, row(1), positives=(positive(1000), positive(1001, **changes)))
    assert count in (0, 1)
    return bool(count)


ROW_RULES = [
    row_checks.coordinates,
    row_checks.keys,
    row_checks.magnitudes,
    row_checks.selection_rule,
    row_checks.stratum_rule,
    row_checks.pool_rule,
    row_checks.priority_rule,
]


@pytest.mark.parametrize("check", ROW_RULES)
def test_a_right_row_is_right_and_no_row_is_none_wrong(check: Any, plan: Config, parity: Config) -> None:
    for config in (plan, parity):
        assert wrong(check, config, row(1), row(2), positives=(positive(),)) == 0
        assert wrong(check, config) == 0


def test_the_rows_that_are_wrong_are_counted_and_the_first_is_named(plan: Config) -> None:
    rows = [row(i, ra=ra) for i, ra in enumerate([1.0, 361.0, 2.0, -1.0])]
    found = only(row_checks.coordinates, content(plan, rows, [positive(ra=400.0)]))
    assert (found.name, found.passed, found.actual) == (
        "coordinates",
        False,
        "not in 3 of 5 rows, the first in row 1",
    )
    assert "[0, 360]" in found.expected
    assert "a sweep file" in found.remedy


# ---------------------------------------------------------------- counts, nulls, keys


def stratum(n1: int, n2: int) -> StratumQuota:
    """A stratum whose quota is so many rows of each pool."""
    pools = [
        PoolQuota(pool=name, available=100, target=quota, backfill=0, quota=quota)
        for name, quota in (("N1", n1), ("N2", n2))
    ]
    return StratumQuota(
        nobs_z_bin="3-5", type_bin="SER", positives=1, target=n1 + n2, shortfall=0, reachable=True,
        pools=tuple(pools), draws=plain_draws(pools),
    )  # fmt: skip


@pytest.mark.parametrize(("rows", "passed"), [(2, False), (3, True), (4, False)])
def test_negatives_are_as_many_as_the_quotas_ask(plan: Config, rows: int, passed: bool) -> None:
    judged = content(plan, [row(i) for i in range(rows)], [positive()], strata=(stratum(1, 1), stratum(0, 1)))
    found = only(row_checks.row_count, judged)
    assert (found.name, found.passed, found.actual) == ("row_count", passed, str(rows))
    assert found.expected.startswith("3 negatives")


MAY_BE_NULL = {
    "mag_g", "mag_r", "mag_z", "g_minus_r", "r_minus_z", "z_minus_w1", "confuser_category", "fold",
    "fracflux_r", "rchisq_r", "flux_ivar_r",
    "flux_g", "flux_r", "flux_z", "flux_w1", "ebv", "fitbits", "shape_r", "shape_e1", "shape_e2", "sersic",
    *(f"{name}_{b}" for name in ("psfsize", "psfdepth", "galdepth", "mw_transmission") for b in "grz"),
}  # fmt: skip


@pytest.mark.parametrize("name", row())
def test_only_some_columns_may_hold_nulls(plan: Config, name: str) -> None:
    for judged in (
        content(plan, [row(1), row(2, **{name: None})], [positive()]),
        content(plan, [row(1)], [positive(**{name: None})]),
    ):
        found = only(row_checks.NoNulls, judged)
        assert found.name == "no_nulls"
        assert found.passed == (name in MAY_BE_NULL)
        assert found.actual == ("none" if name in MAY_BE_NULL else f"nulls in {name}")


@pytest.mark.parametrize("name", ["flux_g", "mag_r", "sersic", "galdepth_z", "sampling_weight"])
def test_a_value_that_is_lacking_is_null_and_not_nan(plan: Config, name: str) -> None:
    found = only(row_checks.NoNulls, content(plan, [row(1), row(2, **{name: float("nan")})], [positive()]))
    assert (found.passed, found.actual) == (False, f"NaN in {name}")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ra": 0.0}, False),
        ({"ra": -1e-9}, True),
        ({"ra": 360.0}, False),
        ({"ra": np.nextafter(360, 361)}, True),
        ({"ra": NAN}, True),
        ({"dec": 90.0}, False),
        ({"dec": np.nextafter(90, 91)}, True),
        ({"dec": -90.0}, False),
        ({"dec": np.nextafter(-90, -91)}, True),
        ({"dec": NAN}, True),
    ],
)
def test_positions_are_on_the_sphere(plan: Config, changes: Row, expected: bool) -> None:
    assert is_wrong(row_checks.coordinates, plan, **changes) == expected
    assert is_wrong_positive(row_checks.coordinates, plan, **changes) == expected


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_a_source_is_in_one_row_of_both_tables(
    plan: Config, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many TARGETIDs are compared at once."""
    monkeypatch.setattr(row_checks, "_KEYS_AT_ONCE", at_once)
    for rows, positives, actual in (
        ([row(1), row(2)], [positive(3)], "3"),
        ([row(1), row(2), row(1)], [positive(3)], "1 rows too many"),
        ([row(1), row(2)], [positive(2), positive(1)], "2 rows too many"),
    ):
        found = only(row_checks.UniqueTargetids, content(plan, rows, positives))
        assert found.name == "unique_targetids"
        assert (found.passed, found.actual) == (actual == "3", actual)


def test_shares_of_targetids_are_equal_and_together_all(
    plan: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of neighbours in one brick, too; and the column is read once for each share."""
    ids, readings = 10002 * 2**42 + np.arange(1000), []
    judged = content(plan, [row()] * 1000)
    monkeypatch.setattr(row_checks, "_KEYS_AT_ONCE", 100)

    def column(part: str, name: str) -> list[pa.Array]:
        readings.append((part, name))
        return [pa.array(ids)] if part == "negatives" else []

    judged.column = column  # type: ignore[assignment, method-assign]
    tally = row_checks.UniqueTargetids(judged)
    assert next(tally.checks()).passed
    assert readings == 10 * [("negatives", "targetid"), ("positives", "targetid")]
    sizes = [tally._distinct(share, 10) for share in range(10)]
    assert sum(sizes) == 1000
    assert 60 < min(sizes) <= max(sizes) < 140  # four standard deviations


@pytest.mark.parametrize(
    "changes",
    [
        {"release": 10001},
        {"objid": 7, "galaxy_id": "1512p025_7", "object_id": "1512p025-7"},
        {"galaxy_id": "1512p025_3"},
        {"galaxy_id": "1512p025-2"},
        {"object_id": "1512p025-3"},
        {"object_id": "1512p025_2"},
        {"brickname": "1512p026"},
        {"targetid": 10002 * 2**42 + 336_000 * 2**22 + 3},
        {"targetid": 10002 * 2**42 + 336_000 * 2**22 + 2 - 2**63},
    ],
)
def test_keys_are_made_of_release_brick_and_objid(plan: Config, changes: Row) -> None:
    assert is_wrong(row_checks.keys, plan, **changes)
    assert is_wrong_positive(row_checks.keys, plan, **changes)


def test_the_largest_keys_are_right(plan: Config) -> None:
    """16, 20 and 22 bits, all set; and none."""
    largest = {
        "release": 2**16 - 1,
        "objid": 2**22 - 1,
        "galaxy_id": "1512p025_4194303",
        "object_id": "1512p025-4194303",
        "targetid": 2**58 - 1,
    }
    assert not is_wrong(row_checks.keys, plan, **largest)
    none = {"release": 0, "objid": 0, "galaxy_id": "1512p025_0", "object_id": "1512p025-0", "targetid": 0}
    assert not is_wrong(row_checks.keys, plan, **none)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pipeline_version", "1.2.4"),
        ("git_commit", "abd"),
        ("extraction_timestamp", datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)),
    ],
)
def test_every_row_names_the_run(plan: Config, name: str, value: Any) -> None:
    right = only(row_checks.Provenance, content(plan, [row(1), row(2)], [positive()]))
    assert (right.name, right.passed) == ("provenance", True)
    assert right.actual == ", ".join(RUN_COLUMNS.values())
    for judged in (
        content(plan, [row(1), row(2, **{name: value})], [positive()]),
        content(plan, [row(1)], [positive(**{name: value})]),
    ):
        found = only(row_checks.Provenance, judged)
        assert (found.passed, found.actual) == (False, f"another {name}")


# ---------------------------------------------------------------- magnitudes

MAGNITUDES = ("mag_g", "mag_r", "mag_z", "g_minus_r", "r_minus_z", "z_minus_w1")


@pytest.mark.parametrize("name", MAGNITUDES)
def test_magnitudes_are_those_of_the_fluxes(plan: Config, name: str) -> None:
    value = row()[name]
    for written, expected in (
        (value + 0.5e-9, False),
        (value - 0.5e-9, False),
        (value + 2e-9, True),
        (value - 2e-9, True),
        (-value, True),
        (None, True),
        (NAN, True),
    ):
        assert is_wrong(row_checks.magnitudes, plan, **{name: written}) == expected
        assert is_wrong_positive(row_checks.magnitudes, plan, **{name: written}) == expected


def test_a_billionth_of_a_magnitude_is_none(plan: Config) -> None:
    """Exactly: log10(10^9) is 9, and so the magnitude 0."""
    for written, expected in ((1e-9, False), (-1e-9, False), (1.001e-9, True)):
        changes = {"flux_g": 1e9, "mag_g": written, "g_minus_r": -20.0}
        assert is_wrong(row_checks.magnitudes, plan, **changes) == expected


@pytest.mark.parametrize("flux", [0.0, -5.0, NAN, None])
@pytest.mark.parametrize(
    ("band", "without"),
    [
        ("g", {"mag_g", "g_minus_r"}),
        ("r", {"mag_r", "g_minus_r", "r_minus_z"}),
        ("z", {"mag_z", "r_minus_z", "z_minus_w1"}),
        ("w1", {"z_minus_w1"}),
    ],
)
def test_without_positive_flux_there_is_no_magnitude_and_no_colour(
    plan: Config, flux: Any, band: str, without: set[str]
) -> None:
    right = {f"flux_{band}": flux, **dict.fromkeys(without)}
    assert not is_wrong(row_checks.magnitudes, plan, **right)
    for name in without:
        assert is_wrong(row_checks.magnitudes, plan, **{**right, name: 2.5})


# ---------------------------------------------------------------- the cuts


@pytest.mark.parametrize(
    ("flux", "expected"),
    [
        (BELOW_10, True),
        (10.0, True),  # z = 20.0 is not z < 20.0
        (ABOVE_10, False),
        (0.0, True),
        (-100.0, True),
        (NAN, True),
        (None, True),
    ],
)
def test_the_magnitude_limit_is_strict(plan: Config, flux: Any, expected: bool) -> None:
    assert is_wrong(row_checks.selection_rule, plan, flux_z=flux) == expected


@pytest.mark.parametrize(
    ("flux", "transmission", "expected"),
    [
        (5.0, 0.5, True),  # dereddened, z = 20.0
        (above(5.0), 0.5, False),
        (below(5.0), 0.5, True),
        (100.0, 0.0, True),
        (100.0, None, True),
    ],
)
def test_the_magnitude_limit_of_a_dereddened_selection(
    plan_with: Any, flux: Any, transmission: Any, expected: bool
) -> None:
    config = plan_with({"selection.dereddened": True})
    changes = {"flux_z": flux, "mw_transmission_z": transmission}
    assert is_wrong(row_checks.selection_rule, config, **changes) == expected


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("flux_g", NAN, False),
        ("flux_g", INF, True),
        ("flux_w1", -INF, True),
        ("shape_r", NAN, True),
        ("shape_e1", INF, True),
        ("sersic", NAN, True),
        ("ebv", NAN, False),
        ("psfsize_z", INF, True),
    ],
)
def test_values_must_be_usable(plan: Config, column: str, value: float, expected: bool) -> None:
    assert is_wrong(row_checks.selection_rule, plan, **{column: value}) == expected


def test_the_magnitude_limit_is_the_configs(plan_with: Any) -> None:
    limits = {17.5: True, 17.6: False}
    for limit, expected in limits.items():
        config = plan_with({"selection.z_mag_limit": limit})
        assert (wrong(row_checks.selection_rule, config, row()) == 1) == expected


@pytest.mark.parametrize(
    ("kind", "in_plan", "in_parity"),
    [
        ("SER", False, False),
        ("DEV", False, False),
        ("REX", False, False),
        ("EXP", False, True),
        ("PSF", True, True),
        ("DUP", True, True),
        ("", True, True),
    ],
)
def test_the_types_are_the_configs(
    plan: Config, parity: Config, kind: str, in_plan: bool, in_parity: bool
) -> None:
    assert is_wrong(row_checks.selection_rule, plan, type=kind) == in_plan
    assert is_wrong(row_checks.selection_rule, parity, type=kind) == in_parity


@pytest.mark.parametrize(
    ("nobs", "in_plan", "in_parity"),
    [
        (-1, True, True),
        (0, True, True),
        (1, False, True),
        (2, False, True),
        (3, False, False),
        (300, False, False),
    ],
)
def test_the_exposures_in_z_are_the_configs(
    plan: Config, parity: Config, nobs: int, in_plan: bool, in_parity: bool
) -> None:
    assert is_wrong(row_checks.selection_rule, plan, nobs_z=nobs) == in_plan
    assert is_wrong(row_checks.selection_rule, parity, nobs_z=nobs) == in_parity


@pytest.mark.parametrize("bit", range(31))
def test_each_mask_bit_alone_and_among_others(plan: Config, bit: int) -> None:
    excluded = {0, 1, 5, 6, 7, 11, 12, 13}  # with NPRIMARY, which every config excludes
    assert is_wrong(row_checks.selection_rule, plan, maskbits=1 << bit) == (bit in excluded)
    others = sum(1 << b for b in range(17) if b not in excluded)
    assert is_wrong(row_checks.selection_rule, plan, maskbits=others | 1 << bit) == (bit in excluded)


@pytest.mark.parametrize(
    ("dec", "in_parity"),
    [
        (-18.0, True),
        (np.nextafter(-18, 0), False),
        (0.0, False),
        (np.nextafter(32, 0), False),
        (32.0, True),
        (-80.0, True),
        (80.0, True),
        (NAN, True),
    ],
)
def test_the_range_of_declination_is_open_and_the_configs(
    plan: Config, parity: Config, dec: float, in_parity: bool
) -> None:
    assert not is_wrong(row_checks.selection_rule, plan, dec=dec)
    assert is_wrong(row_checks.selection_rule, parity, dec=dec) == in_parity


def test_two_cuts_failed_by_two_rows_make_two_wrong_rows(parity: Config) -> None:
    failing = [{"flux_z": 1.0}, {"type": "PSF"}, {"nobs_z": 2}, {"maskbits": 2}, {"dec": 40.0}]
    rows = [row(i, **changes) for i, changes in enumerate(failing)]
    assert wrong(row_checks.selection_rule, parity, row(9), *rows) == 5
    assert wrong(row_checks.selection_rule, parity, row(9), {**rows[0], **failing[1], **failing[4]}) == 1


def test_positives_need_not_pass_the_cuts(parity: Config) -> None:
    failing = positive(type="PSF", flux_z=1.0, nobs_z=1, dec=40.0, maskbits=2)
    assert wrong(row_checks.selection_rule, parity, row(), positives=(failing,)) == 0


# ---------------------------------------------------------------- the cuts of positives


def cut_is_wrong(config: Config, cut: str | None, passes: bool | None = None, **changes: Any) -> bool:
    """Whether a positive is wrong that says a cut and ``passes_cuts``: by default what the cut says."""
    table = part_table(
        "positives", [positive(**changes, cut=cut, passes_cuts=cut is None if passes is None else passes)]
    )
    written = [name for name in table.column_names if name in MANIFEST_SCHEMA.names]
    rule = row_checks.cut_rule(content(config, [], [positive()]))
    rule.add(Rows(table.select(written), "positives", table.drop_columns(written)))
    [found] = rule.checks()
    assert (found.name, found.critical) == ("cut_rule", True)
    return not found.passed


@pytest.mark.parametrize(
    ("changes", "cut"),
    [
        ({}, None),
        ({"flux_z": 10.0}, "faint"),
        ({"flux_z": None}, "faint"),
        ({"flux_z": 1.0, "type": "EXP", "maskbits": 2}, "faint"),
        ({"type": "EXP", "nobs_z": 2}, "type"),
        ({"nobs_z": 2, "dec": 40.0}, "nobs"),
        ({"dec": 32.0, "maskbits": 2}, "footprint"),
        ({"maskbits": 2}, "maskbits"),
        ({"maskbits": 4}, None),
    ],
)
def test_positives_say_the_first_cut_that_they_fail(parity: Config, changes: Row, cut: str | None) -> None:
    for written in (None, "faint", "type", "footprint", "maskbits", "spiral"):
        assert cut_is_wrong(parity, written, **changes) == (written != cut)
    assert cut_is_wrong(parity, cut, cut is not None, **changes)


def test_exposures_in_other_bands_are_not_written(plan: Config, parity: Config) -> None:
    assert not cut_is_wrong(parity, "nobs")
    assert not cut_is_wrong(parity, "nobs", maskbits=2)
    assert cut_is_wrong(parity, "nobs", flux_z=1.0)
    assert cut_is_wrong(plan, "nobs")


def test_with_cuts_applied_no_positive_fails_one(plan_with: Any) -> None:
    for apply_cuts in (True, False, "flag"):
        config = plan_with({"positives.apply_cuts": apply_cuts})
        assert cut_is_wrong(config, "maskbits", maskbits=2) == (apply_cuts is True)
        assert not cut_is_wrong(config, None)


# ---------------------------------------------------------------- bins

BINS = ("1-2", "3-5", "6-10", "11+")


@pytest.mark.parametrize(
    ("nobs", "bin_name"),
    [(-1, None), (0, None), (1, "1-2"), (2, "1-2"), (3, "3-5"), (5, "3-5"), (6, "6-10"), (10, "6-10"),
     (11, "11+"), (500, "11+")],
)  # fmt: skip
def test_bins_at_both_ends(plan: Config, nobs: int, bin_name: str | None) -> None:
    for written in (*BINS, "0", "12+"):
        expected = written != bin_name
        assert is_wrong(row_checks.stratum_rule, plan, nobs_z=nobs, nobs_z_bin=written) == expected
        assert is_wrong_positive(row_checks.stratum_rule, plan, nobs_z=nobs, nobs_z_bin=written) == expected


@pytest.mark.parametrize(
    ("kind", "type_bin", "expected"),
    [
        ("SER", "SER", False),
        ("DEV", "DEV", False),
        ("REX", "REX", False),
        ("SER", "DEV", True),
        ("DEV", "SER", True),
        ("EXP", "EXP", False),
        ("PSF", "PSF", True),  # of no stratum
        ("EXP", "SER", True),
        ("SER", "EXP", True),
    ],
)
def test_the_bin_of_type_is_the_type_and_of_the_strata(
    plan: Config, kind: str, type_bin: str, expected: bool
) -> None:
    assert is_wrong(row_checks.stratum_rule, plan, type=kind, type_bin=type_bin) == expected
    assert is_wrong_positive(row_checks.stratum_rule, plan, type=kind, type_bin=type_bin) == expected


# ---------------------------------------------------------------- pools

#: A source that meets no criterion, in the columns of :data:`sweepfile.GALAXY`.
PLAIN = {
    "TYPE": "SER", "SERSIC": 1.0, "FLUX_G": 20.0, "FLUX_R": 50.0, "SHAPE_R": 1.0, "SHAPE_E1": 0.1,
    "SHAPE_E2": 0.0,
}  # fmt: skip
POOLS = [(pool, category) for pool in ("N1", "N2") for category in (None, *CONFUSER_CATEGORIES)]


def of_sweep(changes: Row) -> Row:
    """The columns of a manifest that the pools look at."""
    return {name.lower(): value for name, value in {**PLAIN, **changes}.items()}


def of_category(category: str, *others: str, **changes: Any) -> Row:
    """A negative of N2 with a category, which also meets the criteria of others."""
    flags = sum(1 << CONFUSER_CATEGORIES.index(name) for name in (category, *others))
    return row(**{"pool": "N2", "confuser_category": category, "confuser_flags": flags} | changes)


@pytest.mark.parametrize(("category", "changes", "met"), CASES)
def test_each_criterion_at_and_around_its_limits(
    plan: Config, category: str, changes: Row, met: bool
) -> None:
    right = ("N2", category) if met else ("N1", None)
    for pool, name in POOLS:
        expected = (pool, name) != right
        columns = {**of_sweep(changes), "pool": pool, "confuser_category": name}
        columns["confuser_flags"] = 1 << CONFUSER_CATEGORIES.index(category) if met else 0
        assert is_wrong(row_checks.pool_rule, plan, **columns) == expected


SOURCES = st.fixed_dictionaries(
    {
        "TYPE": st.sampled_from(["REX", "EXP", "DEV", "SER"]),
        "SERSIC": st.sampled_from([0.5, below(4.0), 4.0, 6.0, NAN]),
        "FLUX_G": st.sampled_from([NAN, -1.0, 0.0, 2.0, up(G_0_4), below(G_0_4), 100.0]),
        "FLUX_R": st.sampled_from(
            [NAN, -1.0, 0.0, below(3.0), 3.0, 5.0, below(5.0), up(R_20_5), below(R_20_5), 100.0]
        ),
        "SHAPE_R": st.sampled_from([0.0, below(0.6), up(0.6), below(2.0), 2.0, 5.0]),
        "SHAPE_E1": st.sampled_from([0.0, 0.3125, 0.5, below(0.5), -0.7]),
        "SHAPE_E2": st.sampled_from([0.0, 0.390625, -0.5]),
    }
)


@given(st.lists(st.tuples(SOURCES, st.sampled_from(POOLS)), min_size=1, max_size=30))
def test_pools_are_those_of_the_reference(
    plan: Config, plan_dict: dict[str, Any], sources: list[tuple[Row, tuple[str, str | None]]]
) -> None:
    rows, unlike = [], 0
    for i, (changes, (pool, category)) in enumerate(sources):
        source = of_sweep(changes)
        plain = {name: float(v) if isinstance(v, np.floating) else v for name, v in source.items()}
        unlike += reference.pool_of(plain, plan_dict["negative_pools"]) != (pool, category)
        flags = reference.flags_of(plain, plan_dict["negative_pools"])
        rows.append(row(i, **source, pool=pool, confuser_category=category, confuser_flags=flags))
    assert wrong(row_checks.pool_rule, plan, *rows) == unlike


@pytest.mark.parametrize(
    ("pool", "category"),
    [("N2", None), ("N1", "spiral"), ("N1", ""), ("positive", None), ("N3", None), ("N1", "ring_proxy")],
)
def test_other_pools_and_categories_of_a_plain_source(plan: Config, pool: str, category: str | None) -> None:
    assert not is_wrong(row_checks.pool_rule, plan, pool="N1", confuser_category=None)
    assert is_wrong(row_checks.pool_rule, plan, pool=pool, confuser_category=category)


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ({"TYPE": "DEV", "FLUX_R": 2.5, "FLUX_G": 0.1, "MW_TRANSMISSION_R": 0.5}, "ring_proxy"),
        ({"FLUX_R": 4.0, "FLUX_G": 1.0, "MW_TRANSMISSION_G": 0.125, "MW_TRANSMISSION_R": 0.5}, "blue_clumpy"),
        ({"FLUX_R": 1.5, "FLUX_G": 0.1, "SHAPE_R": 2.0, "MW_TRANSMISSION_R": 0.5}, "large_galaxy"),
    ],
)
def test_pools_of_a_dereddened_selection(plan: Config, plan_with: Any, changes: Row, category: str) -> None:
    config, columns = plan_with({"selection.dereddened": True}), of_sweep(changes)
    assert wrong(row_checks.pool_rule, plan, row(**columns)) == 0
    assert wrong(row_checks.pool_rule, config, row(**columns)) == 1
    assert wrong(row_checks.pool_rule, config, of_category(category, **columns)) == 0


@pytest.mark.parametrize(("category", "changes", "met"), FURTHER_CASES)
def test_each_further_criterion_at_and_around_its_limits(
    v2: Config, v2_dict: dict[str, Any], category: str, changes: Row, met: bool
) -> None:
    config = Config.parse(edited(v2_dict, {"selection.dereddened": False}))
    columns = {"maskbits": 0, **of_sweep(changes)}
    bit = 1 << CONFUSER_CATEGORIES.index(category)
    columns["confuser_flags"] = reference_flags(columns, v2_dict)
    assert bool(columns["confuser_flags"] & bit) == met
    right = of_category(category, **columns) if met else row(**columns)
    assert wrong(row_checks.pool_rule, config, right) == 0
    assert (
        wrong(row_checks.pool_rule, config, {**right, "confuser_flags": right["confuser_flags"] ^ bit}) == 1
    )
    as_positive = positive(**columns)
    assert wrong(row_checks.pool_rule, config, positives=(as_positive,)) == 0
    spoiled = {**as_positive, "confuser_flags": columns["confuser_flags"] ^ bit}
    assert wrong(row_checks.pool_rule, config, positives=(spoiled,)) == 1


def reference_flags(columns: Row, config: dict[str, Any]) -> int:
    """The flags of a source by the reference, without dereddening."""
    floats = ("fracflux_r", "rchisq_r", "flux_ivar_r")
    plain = {name: float(v) if isinstance(v, np.floating) else v for name, v in row(**columns).items()}
    plain |= {name: math.nan if plain[name] is None else plain[name] for name in floats}
    return reference.flags_of(plain, config["negative_pools"])


@pytest.mark.parametrize(("changes", "bits"), SEVERAL)
def test_the_flags_say_all_criteria_that_are_met(
    v2_dict: dict[str, Any], changes: Row, bits: tuple[int, ...]
) -> None:
    config = Config.parse(edited(v2_dict, {"selection.dereddened": False}))
    names = [CONFUSER_CATEGORIES[bit] for bit in bits]
    assert wrong(row_checks.pool_rule, config, of_category(*names, **of_sweep(changes))) == 0
    for bit in range(31):
        flags = sum(1 << b for b in bits) ^ 1 << bit
        spoiled = of_category(*names, **of_sweep(changes), confuser_flags=flags)
        assert wrong(row_checks.pool_rule, config, spoiled) == 1


def test_n1_of_all_galaxies_holds_confusers_and_their_flags(v2_dict: dict[str, Any]) -> None:
    for population, expected in (("all", 0), ("not_n2", 1)):
        changes = {"negative_pools.pool_n1.population": population, "selection.dereddened": False}
        config = Config.parse(edited(v2_dict, changes))
        disk = of_category("disk_proxy", **of_sweep({"TYPE": "EXP", "SHAPE_R": 1.5}), pool="N1")
        assert wrong(row_checks.pool_rule, config, disk) == expected
        assert wrong(row_checks.pool_rule, config, {**disk, "pool": "N2"}) == 0
        assert wrong(row_checks.pool_rule, config, {**disk, "confuser_category": None}) == 1


@pytest.mark.parametrize("pool", ["N1", "N2", "N3"])
def test_a_source_of_no_pool_is_in_none(parity: Config, pool: str) -> None:
    assert is_wrong(row_checks.pool_rule, parity, type="EXP", pool=pool)


@pytest.mark.parametrize(
    ("key", "value", "changes"),
    [
        ("ring_proxy.types", [], {"TYPE": "DEV"}),
        ("ring_proxy.sersic_types", [], {"SERSIC": 5.0}),
        ("ring_proxy.sersic_min", 5.5, {"SERSIC": 5.0}),
        ("ring_proxy.flux_r_min", 60.0, {"TYPE": "DEV"}),
        ("edge_on_proxy.types", ["EXP"], {"SHAPE_E1": 0.6}),
        ("edge_on_proxy.ellipticity_min", 0.7, {"SHAPE_E1": 0.6}),
        ("edge_on_proxy.shape_r_min", 1.1, {"SHAPE_E1": 0.6}),
        ("blue_clumpy_proxy.g_minus_r_max", -0.1, {"FLUX_G": 50.0}),
        ("blue_clumpy_proxy.r_mag_max", 18.0, {"FLUX_G": 50.0}),
        ("large_galaxy_proxy.shape_r_min", 3.1, {"SHAPE_R": 3.0}),
        ("large_galaxy_proxy.flux_r_min", 51.0, {"SHAPE_R": 3.0}),
    ],
)
def test_every_limit_is_the_configs(plan: Config, plan_with: Any, key: str, value: Any, changes: Row) -> None:
    other = plan_with({f"negative_pools.pool_n2.tractor_criteria.{key}": value})
    confuser = of_category(reference.category_of(key.partition(".")[0]), **of_sweep(changes))
    plain = row(**of_sweep(changes))
    assert [wrong(row_checks.pool_rule, plan, r) for r in (confuser, plain)] == [0, 1]
    assert [wrong(row_checks.pool_rule, other, r) for r in (confuser, plain)] == [1, 0]


@pytest.mark.parametrize(
    ("limit", "changes", "beyond"),
    [
        (
            ("edge_on_proxy.shape_r_min", 0.625),
            {"SHAPE_E1": 0.6, "SHAPE_R": 0.625},
            {"SHAPE_R": below(0.625)},
        ),
        (("blue_clumpy_proxy.g_minus_r_max", 2.5), {"FLUX_G": 1.0, "FLUX_R": 10.0}, {"FLUX_G": below(1.0)}),
        (("blue_clumpy_proxy.r_mag_max", 20.0), {"FLUX_G": 10.0, "FLUX_R": 10.0}, {"FLUX_R": below(10.0)}),
    ],
)
def test_limits_are_inclusive_where_numbers_are_exact(
    plan_with: Any, limit: tuple[str, float], changes: Row, beyond: Row
) -> None:
    config = plan_with({f"negative_pools.pool_n2.tractor_criteria.{limit[0]}": limit[1]})
    for columns, confuser in ((changes, True), (changes | beyond, False)):
        category = reference.category_of(limit[0].partition(".")[0])
        right = of_category(category, **of_sweep(columns)) if confuser else row(**of_sweep(columns))
        assert wrong(row_checks.pool_rule, config, right) == 0


def test_the_types_of_n1_are_the_configs(plan_with: Any) -> None:
    config = plan_with({"negative_pools.pool_n1.galaxy_types": ["EXP"]})
    assert wrong(row_checks.pool_rule, config, row(type="EXP")) == 0
    assert wrong(row_checks.pool_rule, config, row(type="REX")) == 1


@pytest.mark.parametrize(("pool", "expected"), [("positive", False), ("N1", True), ("N2", True), ("", True)])
def test_positives_say_that_they_are(plan: Config, pool: str, expected: bool) -> None:
    assert is_wrong_positive(row_checks.pool_rule, plan, pool=pool) == expected


# ---------------------------------------------------------------- priorities


@given(st.lists(st.integers(0, 2**58 - 1), min_size=1, max_size=20), st.sampled_from([0, 42, 2**63 - 1]))
def test_priorities_are_those_of_unbounded_integers(plan_with: Any, ids: list[int], seed: int) -> None:
    config = plan_with({"negative_pools.seed": seed})
    rows = [row(targetid=i, sampling_priority=reference.sampling_priority(i, seed)) for i in ids]
    assert wrong(row_checks.priority_rule, config, *rows) == 0
    spoiled = [{**r, "sampling_priority": r["sampling_priority"] ^ 1 << i % 63} for i, r in enumerate(rows)]
    assert wrong(row_checks.priority_rule, config, *rows, positives=tuple(spoiled)) == len(spoiled)


def test_another_seed_makes_other_priorities(plan_with: Any) -> None:
    assert wrong(row_checks.priority_rule, plan_with({"negative_pools.seed": 43}), row(), row(2)) == 2
