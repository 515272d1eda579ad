"""The criteria of confusers that a config may leave out, and the flags of all that a source meets."""

from typing import Any

import numpy as np
import pytest
import reference
from conftest import edited
from poolcases import CASES, FURTHER_CASES, SEVERAL
from sweepfile import GALAXY, Row, table

from lensneg.errors import ConfigError
from lensneg.rules.pools import classify
from lensneg.rules.rows import Rows
from lensneg.rules.selection import needed_columns
from lensneg.rules.usable import count_unusable
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES

CRITERIA = "negative_pools.pool_n2.tractor_criteria"

FIRST_FOUR = ["ring_proxy", "edge_on_proxy", "blue_clumpy_proxy", "large_galaxy_proxy"]


@pytest.fixture(scope="module")
def observed(v2_dict: dict[str, Any]) -> Config:
    """negative_sampling_v2 without dereddening: limits of flux are then those of the cases."""
    return Config.parse(edited(v2_dict, {"selection.dereddened": False}))


def for_reference(changes: Row) -> Row:
    """A source as the reference reads it."""
    return {
        name.lower(): float(np.float32(value)) if isinstance(value, float | np.floating) else value
        for name, value in (
            {"MASKBITS": 0, "FITBITS": 0, **dict.fromkeys(FLOATS, 0.0)} | GALAXY | changes
        ).items()
    }


FLOATS = ("FRACFLUX_R", "RCHISQ_R", "FLUX_IVAR_R")


@pytest.mark.parametrize(("category", "changes", "met"), FURTHER_CASES)
def test_each_further_criterion_at_and_around_its_limits(
    observed: Config, v2_dict: dict[str, Any], category: str, changes: Row, met: bool
) -> None:
    found = classify(Rows(table([changes])), observed)
    first = CONFUSER_CATEGORIES.index(category) if met else -1
    assert (found.pool.tolist(), found.category.tolist()) == ([int(met)], [first])
    expected = ("N2", category) if met else ("N1", None)
    assert reference.pool_of(for_reference(changes), v2_dict["negative_pools"]) == expected


@pytest.mark.parametrize(("changes", "bits"), SEVERAL)
def test_the_flags_say_all_criteria_that_are_met_and_the_category_the_first(
    observed: Config, v2_dict: dict[str, Any], changes: Row, bits: tuple[int, ...]
) -> None:
    found = classify(Rows(table([{}, changes])), observed)
    flags = sum(1 << bit for bit in bits)
    assert found.flags.dtype == np.int32
    assert found.flags.tolist() == [0, flags]
    assert found.category.tolist() == [-1, bits[0]]
    assert reference.flags_of(for_reference(changes), v2_dict["negative_pools"]) == flags


@pytest.mark.parametrize(("category", "changes", "met"), [*CASES, *FURTHER_CASES])
def test_without_further_criteria_the_first_four_alone_are_met(
    plan: Config, category: str, changes: Row, met: bool
) -> None:
    found = classify(Rows(table([changes])), plan)
    first_four = met and f"{category.removesuffix('_proxy')}_proxy" in FIRST_FOUR
    assert bool(found.flags[0]) == first_four
    assert found.flags[0] < 16


def test_the_columns_of_further_criteria_are_needed_where_these_are(plan: Config, v2: Config) -> None:
    assert set(needed_columns(v2)) - set(needed_columns(plan)) == {"FRACFLUX_R", "RCHISQ_R", "FLUX_IVAR_R"}
    assert not {"FRACFLUX_R", "RCHISQ_R", "FLUX_IVAR_R"} & set(needed_columns(plan))


@pytest.mark.parametrize(
    ("left", "columns"),
    [
        ([], set()),
        (["disk_proxy", "artefact_proxy"], set()),
        (["merger_proxy"], {"FRACFLUX_R"}),
        (["blend_proxy"], {"FRACFLUX_R"}),
        (["residual_proxy"], {"RCHISQ_R", "FLUX_IVAR_R"}),
    ],
)
def test_each_criterion_needs_its_columns(
    plan: Config, v2_dict: dict[str, Any], left: list[str], columns: set[str]
) -> None:
    criteria = v2_dict["negative_pools"]["pool_n2"]["tractor_criteria"]
    some = {key: criteria[key] for key in [*FIRST_FOUR, *left]}
    config = Config.parse(edited(v2_dict, {CRITERIA: some}))
    assert set(needed_columns(config)) - set(needed_columns(plan)) == columns
    assert config.negative_pools.pool_n2.tractor_criteria.categories == (*CONFUSER_CATEGORIES[:4], *left)


def test_an_infinite_value_is_unusable_where_the_column_is_needed(plan: Config, v2: Config) -> None:
    rows = Rows(table([{"FRACFLUX_R": np.inf}, {"RCHISQ_R": np.nan}, {}]))
    assert count_unusable(rows, plan) == {}
    assert count_unusable(rows, v2) == {"FRACFLUX_R": 1}


def test_further_criteria_in_another_order_are_refused(v2_dict: dict[str, Any]) -> None:
    criteria = dict(v2_dict["negative_pools"]["pool_n2"]["tractor_criteria"])
    criteria["disk_proxy"] = criteria.pop("disk_proxy")  # now the last one
    with pytest.raises(ConfigError, match="blend_proxy, residual_proxy, artefact_proxy: write them so"):
        Config.parse(edited(v2_dict, {CRITERIA: criteria}))
    del criteria["disk_proxy"]
    assert Config.parse(edited(v2_dict, {CRITERIA: criteria}))


@pytest.mark.parametrize("key", ["artefact_proxy.maskbits", "blend_proxy.fitbits"])
def test_an_unknown_bit_is_refused(v2_dict: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match="expected one of"):
        Config.parse(edited(v2_dict, {f"{CRITERIA}.{key}": ["SATURN"]}))
