"""The config: what the two published files say, and how each fault is told."""

import hashlib
from typing import Any

import pytest
from conftest import CONFIGS, edited
from pydantic import ValidationError

from lensneg.errors import ConfigError
from lensneg.schema.config import CONFUSER_CATEGORIES, SPLIT_ORDER, Config, config_sha256

# ---------------------------------------------------------------- the published files


def test_both_published_configs_load(plan: Config, parity: Config) -> None:
    assert (plan.name, plan.version) == ("negative_sampling_v1", "1.0.0")
    assert (parity.name, parity.version) == ("paper_iv_parity", "1.0.0")


def test_the_plan_has_the_numbers_of_the_plan(plan: Config) -> None:
    selection = plan.selection
    assert selection.mag_z_max == 20.0
    assert selection.nobs_min == {"z": 1}
    assert selection.dec_range is None
    assert set(selection.types) == {"SER", "DEV", "REX", "EXP"}
    assert plan.pools.n1.types == ("SER", "DEV", "REX")
    assert plan.strata.types == ("SER", "DEV", "REX")
    assert plan.strata.bin_limits == ((1, 2), (3, 5), (6, 10), (11, None))
    assert plan.sampling.neg_pos_ratio == 100
    assert plan.sampling.n1_n2_ratio == (85, 15)
    assert plan.sampling.seed == 42
    assert plan.lenses.exclusion_radius_arcsec == 11.0
    assert plan.positives.match_radius_arcsec == 1.5
    assert plan.positives.apply_cuts is False
    assert plan.split.nside == 128
    assert plan.split.seed == 42
    assert plan.split.fractions.model_dump() == {"train": 0.70, "val": 0.15, "test": 0.15}


def test_the_plan_excludes_seven_mask_bits(plan: Config) -> None:
    bits = [1, 5, 6, 7, 11, 12, 13]
    assert plan.selection.maskbits_value == sum(2**bit for bit in bits) == 14562


def test_a_mask_bit_named_twice_counts_once(plan_with: Any) -> None:
    config = plan_with({"selection.maskbits_excluded": ["BRIGHT", "BRIGHT"]})
    assert config.selection.maskbits_value == 2


def test_the_plan_has_the_n2_limits_of_the_plan(plan: Config) -> None:
    assert CONFUSER_CATEGORIES == ("ring_proxy", "edge_on_proxy", "blue_clumpy", "large_galaxy")
    n2 = plan.pools.n2
    assert (n2.ring_proxy.types, n2.ring_proxy.sersic_types) == (("DEV",), ("SER",))
    assert (n2.ring_proxy.sersic_min, n2.ring_proxy.flux_r_min) == (4.0, 5.0)
    assert set(n2.edge_on_proxy.types) == {"EXP", "SER", "DEV"}
    assert (n2.edge_on_proxy.ellipticity_min, n2.edge_on_proxy.shape_r_min) == (0.50, 0.6)
    assert (n2.blue_clumpy.g_minus_r_max, n2.blue_clumpy.mag_r_max) == (0.4, 20.5)
    assert (n2.large_galaxy.shape_r_min, n2.large_galaxy.flux_r_min) == (2.0, 3.0)


def test_parity_differs_from_the_plan_only_in_footprint_exposures_and_types(
    plan_dict: dict[str, Any], parity_dict: dict[str, Any]
) -> None:
    changed = {
        "dec_range": [-18.0, 32.0],
        "nobs_min": {"g": 3, "r": 3, "z": 3},
        "types": ["SER", "DEV", "REX"],
    }
    assert parity_dict["selection"] == plan_dict["selection"] | changed
    rest = set(plan_dict) - {"name", "version", "selection"}
    assert {key: parity_dict[key] for key in rest} == {key: plan_dict[key] for key in rest}


def test_splits_are_cumulated_as_train_val_test_and_not_by_alphabet() -> None:
    assert SPLIT_ORDER == ("train", "val", "test")


def test_config_sha256_is_that_of_the_file() -> None:
    path = CONFIGS / "negative_sampling_v1.yaml"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert config_sha256(path.read_text(encoding="utf-8")) == expected


def test_a_config_cannot_be_changed(plan: Config) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        plan.sampling.seed = 1  # type: ignore[misc]
    assert isinstance(plan.selection.types, tuple)


# ---------------------------------------------------------------- faults of one value

# key that is changed, its new value, what the message must say: key, value as Python writes it, and
# what was expected.
FAULTS = [
    # kinds of value
    ("sampling.seed", True, "sampling.seed", "True", "valid integer"),
    ("sampling.seed", "42", "sampling.seed", "'42'", "valid integer"),
    ("sampling.seed", 42.0, "sampling.seed", "42.0", "valid integer"),
    ("sampling.seed", -1, "sampling.seed", "-1", "greater than or equal to 0"),
    ("sampling.seed", 2**63, "sampling.seed", str(2**63), f"less than {2**63}"),
    ("sampling.neg_pos_ratio", 0, "sampling.neg_pos_ratio", "0", "greater than or equal to 1"),
    ("sampling.neg_pos_ratio", 99.5, "sampling.neg_pos_ratio", "99.5", "valid integer"),
    ("sampling.backfill", 1, "sampling.backfill", "1", "valid boolean"),
    ("sampling.backfill", "yes", "sampling.backfill", "'yes'", "valid boolean"),
    ("selection.mag_z_max", True, "selection.mag_z_max", "True", "valid number"),
    ("selection.mag_z_max", "20.0", "selection.mag_z_max", "'20.0'", "valid number"),
    ("selection.mag_z_max", float("nan"), "selection.mag_z_max", "nan", "finite number"),
    ("selection.mag_z_max", float("inf"), "selection.mag_z_max", "inf", "finite number"),
    ("sweeps.releases", [True], "sweeps.releases.0", "True", "valid integer"),
    ("sweeps.releases", [], "sweeps.releases", "()", "at least 1 item"),
    ("version", 1.0, "version", "1.0", "valid string"),
    ("version", "1.0", "version", "'1.0'", "match pattern"),
    ("name", "The Plan", "name", "'The Plan'", "match pattern"),
    ("execution", [], "execution", "()", "valid dictionary"),
    # selection
    ("selection.types", ["ser"], "selection.types.0", "'ser'", "'SER'"),
    ("selection.types", ["PSF"], "selection.types.0", "'PSF'", "'SER'"),
    ("selection.types", ["DUP"], "selection.types.0", "'DUP'", "'SER'"),
    ("selection.nobs_min", {"y": 1}, "selection.nobs_min.y", "'y'", "'g', 'r', 'i' or 'z'"),
    ("selection.nobs_min", {"z": 0}, "selection.nobs_min", "{'z': 0}", "at least 1"),
    ("selection.nobs_min", {"g": 3}, "selection.nobs_min", "{'g': 3}", "at least 1"),
    ("selection.dec_range", [32, -18], "selection.dec_range", "(32, -18)", "must be below"),
    ("selection.dec_range", [5, 5], "selection.dec_range", "(5, 5)", "must be below"),
    ("selection.maskbits_excluded", ["BRIGTH"], "selection.maskbits_excluded", "'BRIGTH'", "BAILOUT"),
    ("selection.maskbits_excluded", [1], "selection.maskbits_excluded.0", "1", "valid string"),
    # lenses, positives, gates
    ("lenses.exclusion_radius_arcsec", 0, "lenses.exclusion_radius_arcsec", "0", "greater than 0"),
    ("positives.match_radius_arcsec", 61, "positives.match_radius_arcsec", "61", "equal to 60"),
    ("gates.matched_fraction_min", 1.5, "gates.matched_fraction_min", "1.5", "equal to 1"),
    # strata
    ("strata.nobs_z_bins", ["1-2", "4+"], "strata.nobs_z_bins", "4+", "without a gap"),
    ("strata.nobs_z_bins", ["1-3", "3+"], "strata.nobs_z_bins", "3+", "without a gap"),
    ("strata.nobs_z_bins", ["3+", "1-2"], "strata.nobs_z_bins", "3+", "without a gap"),
    ("strata.nobs_z_bins", ["0-2", "3+"], "strata.nobs_z_bins", "0-2", "cover 1 and above"),
    ("strata.nobs_z_bins", ["1-0", "1+"], "strata.nobs_z_bins", "1-0", "without a gap"),
    ("strata.nobs_z_bins", ["1+", "3+"], "strata.nobs_z_bins", "3+", "without a gap"),
    ("strata.nobs_z_bins", ["1-2", "3-5"], "strata.nobs_z_bins", "3-5", "must be open, e.g. '6+'"),
    ("strata.nobs_z_bins", ["few"], "strata.nobs_z_bins", "few", "'low-high' or 'low+'"),
    ("strata.nobs_z_bins", ["1–2", "3+"], "strata.nobs_z_bins", "1–2", "'low-high' or 'low+'"),
    ("strata.nobs_z_bins", [], "strata.nobs_z_bins", "()", "at least 1 item"),
    ("strata.types", ["SER", "SER"], "strata.types", "('SER', 'SER')", "named twice"),
    # sampling and split
    ("sampling.n1_n2_ratio", [0, 0], "sampling.n1_n2_ratio", "(0, 0)", "both parts are 0"),
    ("sampling.n1_n2_ratio", [101, -1], "sampling.n1_n2_ratio.1", "-1", "equal to 0"),
    ("split.nside", 64, "split.nside", "64", "128"),
    ("split.nside", 100, "split.nside", "100", "128"),
    ("split.fractions.test", 0.25, "split.fractions", "0.25", "not 1"),
    ("split.fractions.train", 1.7, "split.fractions.train", "1.7", "less than or equal to 1"),
    # pools
    ("pools.n2.edge_on_proxy.ellipticity_min", 1.1, "ellipticity_min", "1.1", "equal to 1"),
    ("pools.n2.ring_proxy.sersic_min", -1, "ring_proxy.sersic_min", "-1", "equal to 0"),
]


@pytest.mark.parametrize(("key", "value", "named", "shown", "expectation"), FAULTS)
def test_a_fault_names_key_value_and_expectation(
    plan_dict: dict[str, Any], key: str, value: Any, named: str, shown: str, expectation: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.parse(edited(plan_dict, {key: value}), "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ")
    faults = [line.partition(": got ") for line in message.splitlines()]
    assert any(named in key and shown in rest and expectation in rest for key, _, rest in faults), message


def test_all_faults_are_told_at_once(plan_dict: dict[str, Any]) -> None:
    text = edited(plan_dict, {"sampling.seed": -1, "split.seed": "42", "nonsense": 1})
    with pytest.raises(ConfigError, match="3 faults") as caught:
        Config.parse(text)
    for key in ("sampling.seed", "split.seed", "nonsense"):
        assert f"\n  {key}: " in str(caught.value)


@pytest.mark.parametrize("key", ["nonsense", "sampling.sed", "pools.n2.wiggly", "pools.n1.limit"])
def test_an_unknown_key_is_refused(plan_dict: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?m)^  {key}: unknown key; .*spelling"):
        Config.parse(edited(plan_dict, {key: 1}))


@pytest.mark.parametrize(
    "key", ["name", "sampling", "sampling.seed", "pools.n2.ring_proxy", "split.fractions.val"]
)
def test_a_missing_key_is_named(plan_dict: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?m)^  {key}: missing"):
        Config.parse(edited(plan_dict, {key: ...}))


@pytest.mark.parametrize(
    ("fractions", "accepted"),
    [((0.7, 0.15, 0.15), True), ((0.1, 0.2, 0.7), True), ((0.7, 0.15, 0.1499), False)],
)
def test_fractions_add_up_to_one(plan_dict: dict[str, Any], fractions: Any, accepted: bool) -> None:
    values = dict(zip(("train", "val", "test"), fractions, strict=True))
    text = edited(plan_dict, {"split.fractions": values})
    if accepted:
        assert Config.parse(text).split.fractions.model_dump() == values
    else:
        with pytest.raises(ConfigError, match=r"split\.fractions: got .*0\.1499.* not 1"):
            Config.parse(text)


def test_n2_criteria_in_another_order_are_refused(plan_dict: dict[str, Any]) -> None:
    """The first that matches names the category, so a file must not promise another order."""
    criteria = dict(reversed(plan_dict["pools"]["n2"].items()))
    with pytest.raises(ConfigError, match=r"pools\.n2: got .*order ring_proxy, edge_on_proxy, blue_clumpy"):
        Config.parse(edited(plan_dict, {"pools.n2": criteria}))


def test_whole_numbers_are_taken_where_a_real_one_is_asked_for(plan_with: Any) -> None:
    assert plan_with({"selection.mag_z_max": 20}).selection.mag_z_max == 20.0


# ---------------------------------------------------------------- faults of the text


def test_a_key_given_twice_is_refused(plan_text: str) -> None:
    text = plan_text.replace("  neg_pos_ratio: 100\n", "  neg_pos_ratio: 100\n  neg_pos_ratio: 10\n")
    with pytest.raises(ConfigError, match="'neg_pos_ratio' is given twice"):
        Config.parse(text)


def test_a_section_given_twice_is_refused(plan_text: str) -> None:
    with pytest.raises(ConfigError, match="'split' is given twice"):
        Config.parse(f"{plan_text}\nsplit: {{nside: 128}}\n")


def test_an_alias_is_refused(plan_text: str) -> None:
    text = plan_text.replace("{z: 1}", "&least {z: 1}").replace("dec_range: null", "dec_range: *least")
    with pytest.raises(ConfigError, match="aliases"):
        Config.parse(text)


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 40)]
    text = "\n".join(["l0: &l0 [bomb]", *levels])
    with pytest.raises(ConfigError, match="aliases"):
        Config.parse(text)


def test_a_merge_key_is_refused(plan_text: str) -> None:
    with pytest.raises(ConfigError, match="merge"):
        Config.parse(f"<<: {{name: other}}\n{plan_text}")


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!mine 1"]
)
def test_a_yaml_tag_is_refused(plan_text: str, value: str) -> None:
    with pytest.raises(ConfigError, match="could not determine a constructor for the tag"):
        Config.parse(plan_text.replace("name: negative_sampling_v1", f"name: {value}"))


@pytest.mark.parametrize(
    "value",
    ["!!int x", "!!bool x", "!!timestamp x", "2025-99-99", "0x_", "9" * 5000],
    ids=["int", "bool", "timestamp", "impossible date", "no digits", "too many digits"],
)
def test_a_value_that_yaml_cannot_construct_is_refused(plan_text: str, value: str) -> None:
    with pytest.raises(ConfigError, match=r"my\.yaml: not a readable YAML file"):
        Config.parse(plan_text.replace("seed: 42", f"seed: {value}"), "my.yaml")


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: b: c", "\x01", "[" * 1200, "? [1]\n: 2", "? {a: 1}\n: 2"],
    ids=["unclosed", "nested", "control character", "deep", "list as key", "mapping as key"],
)
def test_text_that_is_not_yaml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"my\.yaml: not a readable YAML file"):
        Config.parse(text, "my.yaml")


@pytest.mark.parametrize(
    ("text", "kind"), [("", "NoneType"), ("- a", "tuple"), ("plan", "str"), ("4", "int")]
)
def test_a_file_that_is_no_mapping_is_refused(text: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"expected a mapping of sections .*got {kind}.*configs/"):
        Config.parse(text)
