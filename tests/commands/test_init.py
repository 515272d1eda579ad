"""lensneg init: the config is valid and says what it extends, and the next commands run."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from conftest import config_text
from usage import parses

from lensneg.cli import cli
from lensneg.errors import InputError
from lensneg.schema.config import Config
from lensneg.schema.resources import shipped_names


def init(*arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(cli, ["init", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.parametrize("name", shipped_names())
def test_the_config_is_the_shipped_one_under_another_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "My Lenses!"
    made = init(str(folder), "--from", name.removeprefix("negative_sampling_"))
    assert made["extends"] == name
    config = Config.load(str(folder / "config.yaml"))
    assert config == Config.load(name).model_copy(update={"name": "my_lenses", "version": "1.0.0"})


def test_the_comments_are_all_keys_of_the_shipped_one(tmp_path: Path) -> None:
    init(str(tmp_path / "new"))
    text = (tmp_path / "new" / "config.yaml").read_text()
    _, _, keys = text.partition("\n#\n")
    uncommented = "\n".join(line.removeprefix("#").removeprefix(" ") for line in keys.splitlines())
    shipped = yaml.safe_load(config_text("negative_sampling_v1"))
    assert yaml.safe_load(uncommented) == {k: v for k, v in shipped.items() if k not in ("name", "version")}
    assert "# strict: z < 20.0" in keys


def test_a_key_that_is_copied_from_the_comments_counts(tmp_path: Path) -> None:
    init(str(tmp_path / "new"))
    path = tmp_path / "new" / "config.yaml"
    text = path.read_text()
    for line in ("negative_pools:", "  neg_pos_ratio: 100"):
        assert text.count(f"# {line}\n") == 1
        text = text.replace(f"# {line}\n", f"{line.replace('100', '40')}\n")
    path.write_text(text)
    assert Config.load(str(path)).negative_pools.neg_pos_ratio == 40


def test_the_layout_and_the_next_commands(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    enter, *commands = init(str(folder))["next"]
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "README.md", "sweeps", "out"}
    assert shlex.split(enter) == ["cd", str(folder)]
    assert len(commands) == 3
    [shown] = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert shown.splitlines() == commands
    for command in commands:
        parses(shlex.split(command)[1:])
    named = {word for word in shlex.split(" ".join(commands)) if (folder / word).exists()}
    assert named >= {".", "config.yaml", "sweeps", "out"}


def test_what_is_printed_names_the_next_commands(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "new")])
    assert [line.strip().split()[0] for line in done.output.splitlines()[1:]] == ["cd", *["lensneg"] * 3]


@pytest.mark.parametrize("name", ["negative_sampling_v1", "ÄÖ", "-"])
def test_a_folder_whose_name_is_no_name_for_a_config(tmp_path: Path, name: str) -> None:
    init(str(tmp_path / name))
    config = Config.load(str(tmp_path / name / "config.yaml"))
    assert config.name == {"negative_sampling_v1": "my_negative_sampling_v1"}.get(name, "mine")


def test_a_folder_that_holds_something_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    new = str(tmp_path / "new")
    for arguments, message in (
        ([str(tmp_path)], "not empty; name a new folder"),
        ([new, "--from", "v0"], "--from v0: no shipped config; name one of"),
        ([new, "--from", "prices"], "no shipped config"),
    ):
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(cli, ["init", *arguments], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    init(str(tmp_path / "empty"))
