"""Configs that extend others: what is merged, what the record keeps, and what is refused."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import config_text

from lensneg import storage
from lensneg.errors import ConfigError
from lensneg.schema.config import Config, config_sha256
from lensneg.schema.resources import CONFIGS, config_path, shipped_names
from lensneg.schema.shipped_configs import SHIPPED, content_hash

MINE = """
name: mine
extends: negative_sampling_v1
negative_pools:
  neg_pos_ratio: 50
selection:
  nobs_min: {g: 2}
  types: [DEV, SER]
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


Write = Callable[[str, str], str]


def test_mappings_are_merged_and_lists_replaced(write: Write, plan_dict: dict[str, Any]) -> None:
    _, text = Config.load_with_text(write("mine.yaml", MINE))
    expected = json.loads(json.dumps(plan_dict))
    expected["name"] = "mine"
    expected["negative_pools"]["neg_pos_ratio"] = 50
    expected["selection"]["nobs_min"] = {"z": 1, "g": 2}
    expected["selection"]["types"] = ["DEV", "SER"]
    assert yaml.safe_load(text) == expected


def test_what_a_run_keeps_is_the_merged_text_and_reads_as_the_config(write: Write) -> None:
    config, text = Config.load_with_text(write("mine.yaml", MINE))
    assert Config.parse(text) == config
    assert text.startswith("name: mine\nversion: 1.0.0\nsweeps:\n  releases:\n  - 10002\n")
    assert "extends" not in text
    assert config_sha256(text) == hashlib.sha256(text.encode()).hexdigest()


def test_the_config_that_the_page_shows_extends_the_plan(write: Write) -> None:
    page = (CONFIGS.parent / "docs" / "cli.md").read_text()
    [shown] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = Config.load(write("mine.yaml", shown))
    assert (config.name, config.negative_pools.neg_pos_ratio) == ("twice_as_many", 200)


def test_the_order_of_the_keys_that_change_is_without_effect(write: Write) -> None:
    lines = yaml.safe_load(MINE)
    turned = {key: lines[key] for key in reversed(list(lines))}
    one = Config.load_with_text(write("mine.yaml", MINE))[1]
    assert Config.load_with_text(write("turned.yaml", yaml.safe_dump(turned, sort_keys=False)))[1] == one


def test_the_text_of_a_config_that_extends_none_is_that_of_the_file() -> None:
    assert Config.load_with_text(config_path("v1"))[1] == config_text("negative_sampling_v1")


def test_a_base_beside_the_file_may_extend_another(write: Write) -> None:
    write("base.yaml", MINE)
    config = Config.load(
        write("further.yaml", "extends: base.yaml\nname: further\nspatial_splits: {hash_seed: 7}")
    )
    assert (config.name, config.negative_pools.neg_pos_ratio, config.spatial_splits.hash_seed) == (
        "further",
        50,
        7,
    )
    assert config.exclusion.known_lens_radius_arcsec == 11.0


def test_a_file_in_s3_extends_one_beside_it_one_elsewhere_and_a_shipped_one(s3: str) -> None:
    storage.write_bytes(f"{s3}/configs/base.yaml", MINE.encode())
    for name, base in (("a", "base.yaml"), ("b", f"{s3}/configs/base.yaml"), ("c", "v1")):
        uri = f"{s3}/other/{name}.yaml" if name == "b" else f"{s3}/configs/{name}.yaml"
        storage.write_bytes(uri, f"extends: {base}\nname: {name}\n".encode())
        assert Config.load(uri).negative_pools.neg_pos_ratio == (100 if name == "c" else 50)


def test_a_function_on_aws_reads_a_shipped_base_and_no_other_file(
    s3: str, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "Preflight")
    storage.write_bytes(f"{s3}/mine.yaml", MINE.encode())
    assert Config.load(f"{s3}/mine.yaml").negative_pools.neg_pos_ratio == 50
    with pytest.raises(Exception, match="every file is in S3"):
        Config.load(write("mine.yaml", MINE))


WRONG = {
    "an unknown name": ("extends: negative_sampling_v0", "no shipped config"),
    "a path": ("extends: ../base.yaml", r"no \.yaml file beside this one"),
    "a list": ("extends: [v1, base.yaml]", "no shipped config"),
    "nothing": ("extends:", "no shipped config"),
    "a table of costs": ("extends: prices", "no shipped config"),
    "a missing file": ("extends: gone.yaml", r"mine\.yaml: extends .*gone\.yaml: no such file"),
    "itself": ("extends: mine.yaml", r"a circle: mine\.yaml extends mine\.yaml;"),
    "a circle": ("extends: other.yaml", r"a circle: mine\.yaml extends other\.yaml extends mine\.yaml;"),
    "a base that is no mapping": ("extends: list.yaml", r"list\.yaml: expected a mapping"),
    "an unknown key": ("extends: v1\nnegative_pools: {ratio: 3}", r"negative_pools\.ratio"),
    "no mapping in the place of one": ("extends: v1\nselection: 3", "selection"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_refused(write: Write, what: str) -> None:
    text, message = WRONG[what]
    write("other.yaml", "extends: mine.yaml\nname: other")
    write("list.yaml", "- 1")
    path = write("mine.yaml", f"name: mine\n{text}\n")
    with pytest.raises(ConfigError, match=message) as raised:
        Config.load(path)
    assert "mine.yaml" in str(raised.value) or what.startswith("a base")
    assert raised.value.remedy or what in ("an unknown key", "no mapping in the place of one")


@pytest.mark.parametrize("version", ["", "version: 1.0.0"])
def test_a_config_that_changes_another_needs_a_name_of_its_own(write: Write, version: str) -> None:
    write("base.yaml", MINE)
    path = write("changed.yaml", f"extends: base.yaml\nnegative_pools: {{seed: 1}}\n{version}\n")
    with pytest.raises(
        ConfigError, match=r"mine 1\.0\.0 is the name and version of a config that it extends"
    ):
        Config.load(path)
    assert Config.load(write("changed.yaml", "extends: base.yaml\nversion: 1.1.0\n")).version == "1.1.0"


# ---------------------------------------------------------------- the names of shipped configs


@pytest.mark.parametrize("name", shipped_names())
def test_the_content_of_a_shipped_config_is_on_record(name: str) -> None:
    config = Config.parse((CONFIGS / f"{name}.yaml").read_text())
    line = f"{content_hash(config)} {config.name} {config.version}"
    known = SHIPPED.get(f"{config.name} {config.version}")
    assert known == content_hash(config), f"a new config: add to _LINES of shipped_configs.py: {line}"
    assert config.name == name


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_name_and_version_with_other_content_is_refused(write: Write, name: str) -> None:
    text = config_text(name)
    changed = re.sub("neg_pos_ratio: 100", "neg_pos_ratio: 99", text)
    assert changed != text
    with pytest.raises(
        ConfigError, match=rf"{name} 1\.0\.0 is a shipped config, with other content; rename it"
    ):
        Config.load(write("mine.yaml", changed))
    Config.load(write("mine.yaml", changed.replace(f"name: {name}", "name: mine")))
    Config.load(write("mine.yaml", changed.replace("version: 1.0.0", "version: 1.0.1")))


def test_a_shipped_config_without_its_comments_is_the_same(write: Write, plan_dict: dict[str, Any]) -> None:
    turned = {key: plan_dict[key] for key in reversed(list(plan_dict))}
    assert (
        Config.load(write("mine.yaml", yaml.safe_dump(turned, sort_keys=False))).name
        == "negative_sampling_v1"
    )


def test_a_record_of_an_earlier_run_is_read_whatever_its_name(plan_text: str) -> None:
    assert (
        Config.parse(plan_text.replace("neg_pos_ratio: 100", "neg_pos_ratio: 99")).name
        == "negative_sampling_v1"
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [("v1", "negative_sampling_v1"), ("dr9_north", "negative_sampling_dr9_north"),
     ("paper_iv_parity", "paper_iv_parity"), ("negative_sampling_v1", "negative_sampling_v1")],
)  # fmt: skip
def test_a_shipped_config_has_a_short_name(given: str, name: str) -> None:
    assert config_path(given) == str(CONFIGS / f"{name}.yaml")
    assert Config.load(given).name == name


def test_the_tables_of_costs_are_no_configs() -> None:
    assert not {"prices", "rates"} & set(shipped_names())
    assert config_path("prices") == "prices"


# ---------------------------------------------------------------- the JSON schema


def test_the_json_schema_takes_some_keys_with_extends_and_needs_all_without() -> None:
    schema = json.loads((CONFIGS.parent / "schemas" / "config.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    mine = yaml.safe_load(MINE)
    validator.validate(mine)
    assert not validator.is_valid({key: value for key, value in mine.items() if key != "extends"})
    for wrong in (
        {"extends": 3},
        {"negative_pools": {"seed": "x"}},
        {"negative_pools": {"sed": 1}},
        {"sampling": {}},
    ):
        assert not validator.is_valid(mine | wrong)
