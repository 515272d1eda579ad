"""The argument MANIFEST: every command that has it takes the same things, also of a moved folder."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from published import publish
from usage import told

from lensneg.cli import cli, main
from lensneg.schema.layout import RunFiles

#: Each command that takes a manifest, with what else it needs to end soon, and the code that it ends with.
#: The stand-in of a run does not pass an audit, and has no pool.
COMMANDS: dict[str, tuple[list[str], int]] = {
    "validate": ([], 1),
    "export": (["--to", "csv", "--out", "tables"], 0),
    "report": ([], 0),
    "calibrate": ([], 2),
    "reproduce": (["--inputs-only"], 0),
}

NAMED: dict[str, Callable[[RunFiles], str]] = {
    "the output folder": lambda files: files.out,
    "the run's folder": lambda files: files.root,
    "the manifest's folder": lambda files: files.manifest_folder,
    "manifest.json": lambda files: files.manifest,
}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A published run in an output folder that was moved since."""
    folder = tmp_path_factory.mktemp("moved")
    shutil.move(publish(folder / "before").out, folder / "after")
    return RunFiles(str(folder / "after"), "tiny")


def prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["lensneg", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_every_command_that_takes_a_manifest_is_here() -> None:
    arguments = {name: [p for p in c.params if p.name == "manifest"] for name, c in cli.commands.items()}
    assert {name for name, found in arguments.items() if found} == set(COMMANDS)
    assert len({type(found[0].type) for found in arguments.values() if found}) == 1
    texts = [" ".join((cli.commands[name].help or "").split()) for name in COMMANDS]
    assert len({text.partition("MANIFEST is ")[2].partition(" Example")[0] for text in texts}) == 1


@pytest.mark.parametrize("what", NAMED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_moved_folder_is_found_by_each_name(
    moved: RunFiles, command: str, what: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    options, expected = COMMANDS[command]
    code, out, err = prints(monkeypatch, capsys, command, NAMED[what](moved), *options, "--json")
    assert code == expected, err
    assert json.loads(out).get("run_id", "tiny") == "tiny"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_manifest_is_refused_by_all_in_the_same_words(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = prints(monkeypatch, capsys, command, str(tmp_path), *COMMANDS[command][0])
    assert code == 2
    remedy = "give an output folder, a run, a manifest's folder or its manifest.json"
    assert told(err) == f"{tmp_path}: no published manifest there; {remedy}"


def test_a_manifest_without_its_run_has_no_report(
    moved: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(moved.manifest_folder, tmp_path / "copy")
    code, _, err = prints(monkeypatch, capsys, "report", str(tmp_path / "copy"))
    assert code == 2
    assert "copy/manifest.json: the run that made this manifest is not there; give the output" in told(err)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("validate {out}", 1),
        ("report {out}", 0),
        ("rollback {out} tiny", 0),
        ("export {out} --to csv", 0),
        ("mock-sky sky --files 1 --rows 1000", 0),
        ("sweeps list --dec 0 1", 0),
        ("self-test", 0),
        ("completion bash", 0),
    ],
)
def test_json_has_the_keys_that_the_page_names(
    moved: RunFiles, words: str, code: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    name = words.split(" {")[0].split(" --")[0].removesuffix(" bash").removesuffix(" sky")
    [named] = re.findall(rf"^\| `{name}` \| (.*) \|$", page, re.MULTILINE)
    found, out, err = prints(monkeypatch, capsys, *words.format(out=moved.out).split(), "--json")
    assert found == code, err
    assert set(json.loads(out)) == {*re.findall("`(.*?)`", named), "failure"}
