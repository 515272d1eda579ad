"""The pools: each N2 criterion at and around its limits, their order, and what is in no pool."""

from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from poolcases import CASES, G_0_4, NAN, R_20_5, below, red, up
from sweepfile import GALAXY, Row, table

from lensneg.rules.pools import POOLS, classify
from lensneg.rules.rows import Rows
from lensneg.rules.selection import select
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES


def pool_of(config: Config, **changes: Any) -> tuple[str | None, str | None]:
    """Pool and confuser category of GALAXY with some columns changed."""
    pools, categories, _ = classify(Rows(table([changes])), config)
    assert pools.dtype == categories.dtype == np.int8
    assert len(pools) == len(categories) == 1
    return (
        POOLS[pools[0]] if pools[0] >= 0 else None,
        CONFUSER_CATEGORIES[categories[0]] if categories[0] >= 0 else None,
    )


def test_pools_are_n1_then_n2() -> None:
    assert POOLS == ("N1", "N2")


@pytest.mark.parametrize("kind", ["SER", "REX", "EXP"])
def test_a_galaxy_like_no_confuser_is_n1(plan: Config, kind: str) -> None:
    assert pool_of(plan, TYPE=kind) == ("N1", None)


def test_a_faint_dev_is_n1(plan: Config) -> None:
    assert pool_of(plan, TYPE="DEV", SERSIC=4.0, FLUX_R=4.0, FLUX_G=1.0) == ("N1", None)


@pytest.mark.parametrize(("category", "changes", "met"), CASES)
def test_each_criterion_at_and_around_its_limits(
    plan: Config, category: str, changes: Row, met: bool
) -> None:
    if met:
        assert pool_of(plan, **changes) == ("N2", category)
    else:
        assert pool_of(plan, **changes) == ("N1", None)


@pytest.mark.parametrize(("category", "changes", "met"), CASES)
def test_the_reference_agrees_with_the_same_limits(
    plan_dict: dict[str, Any], category: str, changes: Row, met: bool
) -> None:
    expected = ("N2", category) if met else ("N1", None)
    assert reference.pool_of(_for_reference(changes), plan_dict["negative_pools"]) == expected


def test_limits_are_inclusive_where_magnitudes_are_exact(plan_with: Any) -> None:
    colour = plan_with({"negative_pools.pool_n2.tractor_criteria.blue_clumpy_proxy.g_minus_r_max": 2.5})
    assert pool_of(colour, FLUX_G=1.0, FLUX_R=10.0) == ("N2", "blue_clumpy")
    assert pool_of(colour, FLUX_G=below(1.0), FLUX_R=10.0) == ("N1", None)
    bright = plan_with({"negative_pools.pool_n2.tractor_criteria.blue_clumpy_proxy.r_mag_max": 20.0})
    assert pool_of(bright, FLUX_G=10.0, FLUX_R=10.0) == ("N2", "blue_clumpy")
    assert pool_of(bright, FLUX_G=10.0, FLUX_R=below(10.0)) == ("N1", None)


def test_limits_are_inclusive_where_float32_holds_them(plan_with: Any) -> None:
    """As 0.625 and 2.5 are, and 0.6 is not."""
    size = plan_with({"negative_pools.pool_n2.tractor_criteria.edge_on_proxy.shape_r_min": 0.625})
    for radius, expected in ((0.625, ("N2", "edge_on_proxy")), (below(0.625), ("N1", None))):
        assert pool_of(size, SHAPE_E1=0.6, SHAPE_R=radius) == expected
    index = plan_with({"negative_pools.pool_n2.tractor_criteria.ring_proxy.sersic_min": 2.5})
    for sersic, expected in ((2.5, ("N2", "ring_proxy")), (below(2.5), ("N1", None))):
        assert pool_of(index, SERSIC=sersic) == expected


#: The float32 number next to 3.3, which is below it.
NEAR_3_3 = np.float32(3.3)


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ("ring_proxy.flux_r_min", red(NEAR_3_3, TYPE="DEV")),
        ("ring_proxy.sersic_min", {"SERSIC": NEAR_3_3}),
        ("edge_on_proxy.shape_r_min", red(2.0, SHAPE_E1=0.6, SHAPE_R=NEAR_3_3)),
        ("large_galaxy_proxy.flux_r_min", red(NEAR_3_3, SHAPE_R=5.0)),
        ("large_galaxy_proxy.shape_r_min", {"SHAPE_R": NEAR_3_3}),
    ],
)
def test_limits_are_applied_in_float64(plan_with: Any, limit: str, changes: Row) -> None:
    """NumPy by itself compares a float32 column with a number as float32."""
    met = {3.3: False, float(NEAR_3_3): True}
    for value, is_met in met.items():
        expected = ("N2", reference.category_of(limit.partition(".")[0])) if is_met else ("N1", None)
        assert (
            pool_of(plan_with({f"negative_pools.pool_n2.tractor_criteria.{limit}": value}), **changes)
            == expected
        )


def test_the_first_criterion_that_matches_names_the_category(plan: Config) -> None:
    source = {"FLUX_R": 50.0, "FLUX_G": 50.0, "SHAPE_R": 3.0, "SHAPE_E1": 0.6, "TYPE": "DEV"}
    assert pool_of(plan, **source) == ("N2", "ring_proxy")
    source["TYPE"] = "SER"
    assert pool_of(plan, **source) == ("N2", "edge_on_proxy")
    source["SHAPE_E1"] = 0.4
    assert pool_of(plan, **source) == ("N2", "blue_clumpy")
    source["FLUX_G"] = 10.0
    assert pool_of(plan, **source) == ("N2", "large_galaxy")
    source["SHAPE_R"] = 1.9
    assert pool_of(plan, **source) == ("N1", None)


# ---------------------------------------------------------------- what earlier code got wrong


def test_ellipticity_reaches_the_classifier(plan: Config) -> None:
    round_one = {"TYPE": "SER", "SHAPE_E1": 0.0, "SHAPE_E2": 0.0}
    assert pool_of(plan, **round_one) == ("N1", None)
    assert pool_of(plan, **round_one | {"SHAPE_E1": 0.8}) == ("N2", "edge_on_proxy")
    assert pool_of(plan, **round_one | {"SHAPE_E2": 0.8}) == ("N2", "edge_on_proxy")


def test_the_sersic_index_reaches_the_classifier(plan: Config) -> None:
    assert pool_of(plan, TYPE="SER", SERSIC=1.0) == ("N1", None)
    assert pool_of(plan, TYPE="SER", SERSIC=5.0) == ("N2", "ring_proxy")


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ({"SHAPE_E1": 0.7}, "edge_on_proxy"),
        ({"FLUX_G": 60.0}, "blue_clumpy"),
        ({"SHAPE_R": 2.5}, "large_galaxy"),
    ],
)
def test_exp_passes_the_cuts_and_is_n2(plan: Config, changes: Row, category: str) -> None:
    rows = Rows(table([{"TYPE": "EXP", **changes}]))
    kept, _ = select(rows, plan)
    assert kept.tolist() == [0]
    assert pool_of(plan, TYPE="EXP", **changes) == ("N2", category)


@pytest.mark.parametrize(("category", "changes", "met"), CASES)
def test_parity_has_no_exp_in_n1(parity: Config, category: str, changes: Row, met: bool) -> None:
    confuser = ("N2", category) if met else (None, None)
    assert pool_of(parity, TYPE="EXP") == (None, None)
    if changes["TYPE"] == "EXP":
        assert pool_of(parity, **changes) == confuser


# ---------------------------------------------------------------- the config decides


@pytest.mark.parametrize(
    ("key", "value", "changes"),
    [
        ("ring_proxy.types", [], red(50.0, TYPE="DEV")),
        ("ring_proxy.sersic_types", [], red(50.0, SERSIC=5.0)),
        ("ring_proxy.sersic_min", 5.5, red(50.0, SERSIC=5.0)),
        ("ring_proxy.flux_r_min", 60.0, red(50.0, TYPE="DEV")),
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
    assert pool_of(plan, **changes) == ("N2", reference.category_of(key.partition(".")[0]))
    assert pool_of(plan_with({f"negative_pools.pool_n2.tractor_criteria.{key}": value}), **changes) == (
        "N1",
        None,
    )


def test_the_types_of_n1_are_the_configs(plan_with: Any) -> None:
    config = plan_with({"negative_pools.pool_n1.galaxy_types": ["EXP"]})
    assert pool_of(config, TYPE="EXP") == ("N1", None)
    assert pool_of(config, TYPE="REX") == (None, None)


#: Dust that lets an eighth of g and half of r through.
DUST = {"MW_TRANSMISSION_G": 0.125, "MW_TRANSMISSION_R": 0.5}


@pytest.mark.parametrize(
    ("changes", "observed", "dereddened"),
    [
        # FLUX_R of 5 without dust
        (red(2.5, TYPE="DEV", **DUST), None, "ring_proxy"),
        (red(below(2.5), TYPE="DEV", **DUST), None, None),
        # g and r of 8 and 8 nanomaggies: as blue as can be
        ({"FLUX_G": 1.0, "FLUX_R": 4.0, **DUST}, None, "blue_clumpy"),
        ({"FLUX_G": 1.0, "FLUX_R": 4.0, **DUST, "MW_TRANSMISSION_G": 0.25}, None, None),
        # FLUX_R of 3
        (red(1.5, SHAPE_R=2.0, **DUST | {"MW_TRANSMISSION_G": 0.5}), None, "large_galaxy"),
        (red(50.0, TYPE="DEV", MW_TRANSMISSION_R=0.0), "ring_proxy", None),
    ],
)
def test_criteria_of_a_dereddened_selection(
    plan: Config, plan_with: Any, plan_dict: dict[str, Any], changes: Row, observed: Any, dereddened: Any
) -> None:
    config = plan_with({"selection.dereddened": True})
    assert pool_of(plan, **changes)[1] == observed
    assert pool_of(config, **changes)[1] == dereddened
    assert reference.pool_of(_for_reference(changes), plan_dict["negative_pools"], True)[1] == dereddened


# ---------------------------------------------------------------- the reference


def _for_reference(changes: Row) -> Row:
    return {
        name.lower(): float(np.float32(value)) if isinstance(value, float | np.floating) else value
        for name, value in (GALAXY | changes).items()
    }


SOURCES = st.fixed_dictionaries(
    {
        "TYPE": st.sampled_from(["REX", "EXP", "DEV", "SER"]),
        "SERSIC": st.sampled_from([0.5, 1.0, below(4.0), 4.0, 6.0, NAN]),
        "FLUX_G": st.sampled_from([NAN, -1.0, 0.0, 2.0, up(G_0_4), below(G_0_4), 100.0]),
        "FLUX_R": st.sampled_from(
            [NAN, -1.0, 0.0, below(3.0), 3.0, 5.0, below(5.0), up(R_20_5), below(R_20_5), 100.0]
        ),
        "SHAPE_R": st.sampled_from([0.0, below(0.6), up(0.6), below(2.0), 2.0, 5.0]),
        "SHAPE_E1": st.sampled_from([0.0, 0.3125, 0.5, below(0.5), -0.7]),
        "SHAPE_E2": st.sampled_from([0.0, 0.390625, -0.5]),
    }
)


@given(st.lists(SOURCES, min_size=1, max_size=30))
def test_pools_agree_with_the_reference(plan: Config, plan_dict: dict[str, Any], sources: list[Row]) -> None:
    pools, categories, _ = classify(Rows(table(sources)), plan)
    expected = [reference.pool_of(_for_reference(source), plan_dict["negative_pools"]) for source in sources]
    names = (*POOLS, None)  # index -1 is neither
    kinds = (*CONFUSER_CATEGORIES, None)
    found = [(names[p], kinds[c]) for p, c in zip(pools, categories, strict=True)]
    assert found == expected
