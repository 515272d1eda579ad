"""The config: what the two published files say, and how each fault is told."""

import copy
import hashlib
import json
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import CONFIGS, config_text, edited
from pydantic import ValidationError

from lensneg.errors import ConfigError
from lensneg.schema.config import SPLIT_ORDER, Config, config_sha256
from lensneg.schema.config_json_schema import json_schema
from lensneg.schema.pools_config import CONFUSER_CATEGORIES
from lensneg.schema.renamed_keys import RENAMED
from lensneg.schema.strict_yaml import load_yaml

# ---------------------------------------------------------------- the published files


def test_both_published_configs_load(plan: Config, parity: Config) -> None:
    assert (plan.name, plan.version) == ("negative_sampling_v1", "1.0.0")
    assert (parity.name, parity.version) == ("paper_iv_parity", "1.0.0")


def test_the_plan_has_the_numbers_of_the_plan(plan: Config) -> None:
    selection = plan.selection
    assert selection.z_mag_limit == 20.0
    assert selection.nobs_min == {"z": 1}
    assert selection.dec_range is None
    assert set(selection.types) == {"SER", "DEV", "REX", "EXP"}
    assert plan.negative_pools.pool_n1.galaxy_types == ("SER", "DEV", "REX", "EXP")
    assert plan.strata.types == ("SER", "DEV", "REX", "EXP")
    assert plan.strata.bin_limits == ((1, 2), (3, 5), (6, 10), (11, None))
    assert plan.negative_pools.neg_pos_ratio == 100
    assert plan.negative_pools.n1_n2_ratio == (85, 15)
    assert plan.negative_pools.seed == 42
    assert plan.exclusion.known_lens_radius_arcsec == 11.0
    assert plan.positives.match_radius_arcsec == 1.5
    assert plan.positives.apply_cuts is False
    assert plan.spatial_splits.nside == 128
    assert plan.spatial_splits.hash_seed == 42
    assert plan.spatial_splits.allocations.model_dump() == {"train": 0.70, "val": 0.15, "test": 0.15}


def test_the_plan_excludes_seven_mask_bits(plan: Config) -> None:
    bits = [1, 5, 6, 7, 11, 12, 13]
    assert plan.exclusion.maskbits_value == sum(2**bit for bit in bits) == 14562


def test_a_mask_bit_named_twice_counts_once(plan_with: Any) -> None:
    config = plan_with({"exclusion.exclude_maskbits": ["BRIGHT", "BRIGHT", "MCLOUDS"]})
    assert config.exclusion.maskbits_value == 2 + 2**18, "a bit of DR11"


def test_the_plan_has_the_n2_limits_of_the_plan(plan: Config) -> None:
    n2 = plan.negative_pools.pool_n2.tractor_criteria
    assert n2.categories == ("ring_proxy", "edge_on_proxy", "blue_clumpy", "large_galaxy")
    assert n2.categories == CONFUSER_CATEGORIES[:4]
    assert (n2.ring_proxy.types, n2.ring_proxy.sersic_types) == (("DEV",), ("SER",))
    assert (n2.ring_proxy.sersic_min, n2.ring_proxy.flux_r_min) == (4.0, 5.0)
    assert set(n2.edge_on_proxy.types) == {"EXP", "SER", "DEV"}
    assert (n2.edge_on_proxy.ellipticity_min, n2.edge_on_proxy.shape_r_min) == (0.50, 0.6)
    assert (n2.blue_clumpy_proxy.g_minus_r_max, n2.blue_clumpy_proxy.r_mag_max) == (0.4, 20.5)
    assert (n2.large_galaxy_proxy.shape_r_min, n2.large_galaxy_proxy.flux_r_min) == (2.0, 3.0)


def test_parity_differs_from_the_plan_only_in_footprint_exposures_and_types(
    plan_dict: dict[str, Any], parity_dict: dict[str, Any]
) -> None:
    changed = {
        "dec_range": [-18.0, 32.0],
        "nobs_min": {"g": 3, "r": 3, "z": 3},
        "types": ["SER", "DEV", "REX"],
    }
    assert parity_dict["selection"] == plan_dict["selection"] | changed
    four, three = ["SER", "DEV", "REX", "EXP"], ["SER", "DEV", "REX"]
    changed = {"negative_pools.pool_n1.galaxy_types": three, "strata.types": three}
    same = {"name": parity_dict["name"], "selection": parity_dict["selection"]}
    assert plan_dict["strata"]["types"] == plan_dict["negative_pools"]["pool_n1"]["galaxy_types"] == four
    assert yaml.safe_load(edited(plan_dict, changed)) | same == parity_dict


def test_splits_are_cumulated_as_train_val_test_and_not_by_alphabet() -> None:
    assert SPLIT_ORDER == ("train", "val", "test")


def test_config_sha256_is_that_of_the_file() -> None:
    path = CONFIGS / "negative_sampling_v1.yaml"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert config_sha256(path.read_text(encoding="utf-8")) == expected


def test_a_config_cannot_be_changed(plan: Config) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        plan.negative_pools.seed = 1  # type: ignore[misc]
    assert isinstance(plan.selection.types, tuple)


# ---------------------------------------------------------------- faults of one value

# key that is changed, its new value, what the message must say: key, value as Python writes it, and
# what was expected.
FAULTS = [
    # kinds of value
    ("negative_pools.seed", True, "negative_pools.seed", "True", "valid integer"),
    ("negative_pools.seed", "42", "negative_pools.seed", "'42'", "valid integer"),
    ("negative_pools.seed", 42.0, "negative_pools.seed", "42.0", "valid integer"),
    ("negative_pools.seed", -1, "negative_pools.seed", "-1", "greater than or equal to 0"),
    ("negative_pools.seed", 2**63, "negative_pools.seed", str(2**63), f"less than {2**63}"),
    ("negative_pools.neg_pos_ratio", 0, "negative_pools.neg_pos_ratio", "0", "greater than or equal to 1"),
    ("negative_pools.neg_pos_ratio", 99.5, "negative_pools.neg_pos_ratio", "99.5", "valid integer"),
    ("negative_pools.backfill", 1, "negative_pools.backfill", "1", "valid boolean"),
    ("negative_pools.backfill", "yes", "negative_pools.backfill", "'yes'", "valid boolean"),
    ("selection.z_mag_limit", True, "selection.z_mag_limit", "True", "valid number"),
    ("selection.z_mag_limit", "20.0", "selection.z_mag_limit", "'20.0'", "valid number"),
    ("selection.z_mag_limit", float("nan"), "selection.z_mag_limit", "nan", "finite number"),
    ("selection.z_mag_limit", float("inf"), "selection.z_mag_limit", "inf", "finite number"),
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
    ("exclusion.exclude_maskbits", ["BRIGTH"], "exclusion.exclude_maskbits", "'BRIGTH'", "BAILOUT"),
    ("exclusion.exclude_maskbits", [1], "exclusion.exclude_maskbits.0", "1", "valid string"),
    # lenses, positives, gates
    ("exclusion.known_lens_radius_arcsec", 0, "exclusion.known_lens_radius_arcsec", "0", "greater than 0"),
    ("positives.match_radius_arcsec", 61, "positives.match_radius_arcsec", "61", "equal to 60"),
    ("spectroscopic.radius_arcsec", 0, "spectroscopic.radius_arcsec", "0", "greater than 0"),
    ("spectroscopic.radius_arcsec", 61, "spectroscopic.radius_arcsec", "61", "equal to 60"),
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
    ("negative_pools.n1_n2_ratio", [0, 0], "negative_pools.n1_n2_ratio", "(0, 0)", "both parts are 0"),
    ("negative_pools.n1_n2_ratio", [101, -1], "negative_pools.n1_n2_ratio.1", "-1", "equal to 0"),
    ("spatial_splits.nside", 64, "spatial_splits.nside", "64", "128"),
    ("spatial_splits.nside", 100, "spatial_splits.nside", "100", "128"),
    ("spatial_splits.allocations.test", 0.25, "spatial_splits.allocations", "0.25", "not 1"),
    (
        "spatial_splits.allocations.train",
        1.7,
        "spatial_splits.allocations.train",
        "1.7",
        "less than or equal to 1",
    ),
    # pools
    (
        "negative_pools.pool_n2.tractor_criteria.edge_on_proxy.ellipticity_min",
        1.1,
        "ellipticity_min",
        "1.1",
        "equal to 1",
    ),
    (
        "negative_pools.pool_n2.tractor_criteria.ring_proxy.sersic_min",
        -1,
        "ring_proxy.sersic_min",
        "-1",
        "equal to 0",
    ),
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
    text = edited(plan_dict, {"negative_pools.seed": -1, "spatial_splits.hash_seed": "42", "nonsense": 1})
    with pytest.raises(ConfigError, match="3 faults") as caught:
        Config.parse(text)
    for key in ("negative_pools.seed", "spatial_splits.hash_seed", "nonsense"):
        assert f"\n  {key}: " in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "nonsense",
        "negative_pools.sed",
        "negative_pools.pool_n2.tractor_criteria.wiggly",
        "negative_pools.pool_n1.limit",
    ],
)
def test_an_unknown_key_is_refused(plan_dict: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?m)^  {key}: unknown key; .*spelling"):
        Config.parse(edited(plan_dict, {key: 1}))


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "negative_pools",
        "negative_pools.seed",
        "negative_pools.pool_n2.tractor_criteria.ring_proxy",
        "spatial_splits.allocations.val",
    ],
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
    text = edited(plan_dict, {"spatial_splits.allocations": values})
    if accepted:
        assert Config.parse(text).spatial_splits.allocations.model_dump() == values
    else:
        with pytest.raises(ConfigError, match=r"spatial_splits\.allocations: got .*0\.1499.* not 1"):
            Config.parse(text)


def test_n2_criteria_in_another_order_are_refused(plan_dict: dict[str, Any]) -> None:
    """The first that matches names the category, so a file must not promise another order."""
    criteria = dict(reversed(plan_dict["negative_pools"]["pool_n2"]["tractor_criteria"].items()))
    with pytest.raises(
        ConfigError, match=r"tractor_criteria: got .*order ring_proxy, edge_on_proxy, blue_clumpy_proxy"
    ):
        Config.parse(edited(plan_dict, {"negative_pools.pool_n2.tractor_criteria": criteria}))


def test_whole_numbers_are_taken_where_a_real_one_is_asked_for(plan_with: Any) -> None:
    assert plan_with({"selection.z_mag_limit": 20}).selection.z_mag_limit == 20.0


# ---------------------------------------------------------------- faults of the text


def test_a_key_given_twice_is_refused(plan_text: str) -> None:
    text = plan_text.replace("  neg_pos_ratio: 100\n", "  neg_pos_ratio: 100\n  neg_pos_ratio: 10\n")
    with pytest.raises(ConfigError, match="'neg_pos_ratio' is given twice"):
        Config.parse(text)


def test_a_section_given_twice_is_refused(plan_text: str) -> None:
    with pytest.raises(ConfigError, match="'spatial_splits' is given twice"):
        Config.parse(f"{plan_text}\nspatial_splits: {{nside: 128}}\n")


#: A config as it was written before the keys were renamed.
EARLIER = """
name: mine
version: 1.0.0
selection: {types: [SER], mag_z_max: 20.0, nobs_min: {z: 1}, dec_range: null, maskbits_excluded: []}
lenses: {exclusion_radius_arcsec: 11.0}
pools:
  n1: {types: [SER]}
  n2:
    ring_proxy: {types: [DEV], sersic_types: [SER], sersic_min: 4.0, flux_r_min: 5.0}
    edge_on_proxy: {types: [EXP], ellipticity_min: 0.50, shape_r_min: 0.6}
    blue_clumpy: {g_minus_r_max: 0.4, mag_r_max: 20.5}
    large_galaxy: {shape_r_min: 2.0, flux_r_min: 3.0}
sampling: {seed: 42, neg_pos_ratio: 100, n1_n2_ratio: [85, 15], backfill: true}
split: {nside: 128, seed: 42, fractions: {train: 0.70, val: 0.15, test: 0.15}}
"""


def test_a_key_of_an_earlier_version_is_refused_with_its_new_name(plan_dict: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="earlier version") as caught:
        Config.parse(EARLIER, "mine.yaml")
    message = str(caught.value)
    told = dict(line.strip().split(" is now ") for line in message.partition(";")[0].splitlines()[1:])
    assert told == RENAMED
    assert message.startswith("mine.yaml: ")
    for new in told.values():
        value = plan_dict
        for key in new.split("."):
            value = value[key]  # KeyError if there is no such key in a shipped config


def test_the_json_schema_is_that_of_the_code_and_takes_both_configs(
    plan_dict: dict[str, Any], parity_dict: dict[str, Any]
) -> None:
    schema = json.loads((CONFIGS.parent / "schemas" / "config.schema.json").read_text())
    assert schema == json_schema(), "python -m lensneg.schema.config_json_schema > schemas/config.schema.json"
    validator = jsonschema.Draft202012Validator(schema)
    for config in (plan_dict, parity_dict):
        validator.validate(config)
    for path in (("negative_pools", "seed"), ("spatial_splits", "nside"), ("gates", "critical")):
        wrong = copy.deepcopy(plan_dict)
        wrong[path[0]][path[1]] = "wrong"
        assert not validator.is_valid(wrong)
        del wrong[path[0]][path[1]]
        assert not validator.is_valid(wrong)
    assert not validator.is_valid(plan_dict | {"sampling": {}})


DR9 = {"negative_sampling_dr9_south": [9010, 9012], "negative_sampling_dr9_north": [9011]}


@pytest.mark.parametrize("name", DR9)
def test_a_config_for_dr9_is_the_plan_with_other_releases(name: str, plan_dict: dict[str, Any]) -> None:
    sweeps = plan_dict["sweeps"] | {"releases": DR9[name]}
    assert yaml.safe_load(config_text(name)) == plan_dict | {"name": name, "sweeps": sweeps}
    assert Config.load(name).sweeps.releases == tuple(DR9[name])


@pytest.mark.parametrize("name", ["negative_sampling_v1", "paper_iv_parity", *DR9])
def test_an_editor_finds_the_schema_of_a_shipped_config(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    first = path.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (
        path.parent / first.partition("=")[2]
    ).resolve() == CONFIGS.parent / "schemas" / "config.schema.json"


def test_a_caller_that_changes_what_it_got_changes_it_for_no_other() -> None:
    """A text is parsed once in a process."""
    text = "a: {b: [1, 2], c: {d: 3}}"
    first = load_yaml(text, "one", "example")
    first["a"]["c"]["d"] = 4
    first["a"]["b"] = ()
    assert load_yaml(text, "two", "example") == {"a": {"b": (1, 2), "c": {"d": 3}}}


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


def test_the_section_of_spectroscopic_catalogues_is_the_same_in_all_and_may_be_missing(
    plan: Config, parity: Config, plan_with: Any
) -> None:
    assert plan.spectroscopic is not None
    assert plan.spectroscopic.radius_arcsec == 3.0
    assert parity.spectroscopic == plan.spectroscopic
    assert plan_with({"spectroscopic": ...}).spectroscopic is None
