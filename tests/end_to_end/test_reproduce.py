"""``lensneg reproduce``: what is identical, what differs and why, and how it ends."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plainrun import edit_json
from published import publish, row
from usage import told

from lensneg import storage
from lensneg.cli import main
from lensneg.local import run as local_run
from lensneg.local.watcher import Outcome
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest

Rows = dict[str, list[dict[str, Any]]]
SWEEP = "sweep-000p005-005p010.fits"


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return publish(tmp_path)


def inputs_of(files: RunFiles) -> Path:
    return Path(files.out).parent / "inputs"


def swap_row(rows: Rows) -> Rows:
    return {**rows, "negatives": [*rows["negatives"][:-1], row(50, "N2")]}


class Command:
    """``lensneg reproduce`` in this process, with a stand-in for the run: it publishes tiny rows."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capsys = patch, capsys
        self.change: Callable[[Rows], Rows] = lambda rows: rows
        self.outcome: tuple[str, str] = ("SUCCEEDED", "")
        self.requests: list[RunRequest] = []
        patch.setattr(local_run, "execute", self.run)

    def run(self, request: RunRequest, workers: int, watcher: object) -> Outcome:
        self.requests.append(request)
        files = RunFiles(request.out, request.run_id)
        if self.outcome[0] == "SUCCEEDED":
            source = publish(Path(request.out).parent / "stand-in", change=self.change)
            shutil.copytree(source.manifest_folder, files.manifest_folder)
        return Outcome(*self.outcome, "its cause", files)

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.patch.setattr(sys, "argv", ["lensneg", "reproduce", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return int(ended.value.code or 0), out, err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("COLUMNS", "200")
    return Command(monkeypatch, capsys)


def test_an_identical_manifest_ends_with_0(command: Command, files: RunFiles, tmp_path: Path) -> None:
    code, out, _ = command(files.run, "--out", tmp_path / "a" / "again")
    assert code == 0
    assert "reproduced: the manifest is identical" in out
    assert "differs" not in out.lower()
    assert len(command.requests) == 1


def test_another_manifest_ends_with_1_and_names_the_input(
    command: Command, files: RunFiles, tmp_path: Path
) -> None:
    with open(inputs_of(files) / "lenses.csv", "a") as catalog:
        catalog.write("b,2,7\n")
    command.change = swap_row
    code, out, err = command(files.manifest, "--out", tmp_path / "a" / "again")
    assert code == 1
    assert "differs: catalogue lenses.csv" in out
    assert "negatives: content DIFFERS, bytes differ; 1 rows are gone and 1 are new" in out
    assert "FAILED   NOT reproduced: the content differs\n" in err
    assert "catalogue lenses.csv: " in told(err)
    code, out, _ = command(files.manifest, "--out", tmp_path / "b" / "again", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["identical"] is False
    assert [d["kind"] for d in found["differences"]] == ["catalogue"]


def test_inputs_only_runs_nothing(command: Command, files: RunFiles) -> None:
    assert command(files.run, "--inputs-only")[0] == 0
    os.utime(inputs_of(files) / "sweeps" / SWEEP, (1, 1))
    assert command(files.run, "--inputs-only")[0] == 1
    assert command.requests == []


def test_sweep_files_beside_the_recorded_ones_are_left_out_and_named(
    command: Command, files: RunFiles, tmp_path: Path
) -> None:
    other = "sweep-005p005-010p010.fits"
    (inputs_of(files) / "sweeps" / other).write_bytes(b"a file that came later")
    code, _, err = command(files.run, "--out", tmp_path / "a" / "again")
    assert code == 0
    assert f"left out, as they are not of the run: {other}" in err
    assert [path.name for path in Path(command.requests[0].sweeps).iterdir()] == [SWEEP]


def test_what_the_run_did_not_read_is_named(command: Command, files: RunFiles) -> None:
    part = {"sweep": SWEEP, "first_row": 0, "rows": 1234, "reason": "the file is broken"}
    edit_json(files.manifest, lambda record: record.update(not_read=[part]))
    code, _, err = command(files.run, "--inputs-only")
    assert code == 0
    assert f"left out, as in the run: {SWEEP}, rows 0 to 1,233: the file is broken" in err.replace("\n", " ")


def test_missing_inputs_and_other_files_end_with_2(command: Command, files: RunFiles, tmp_path: Path) -> None:
    (inputs_of(files) / "lenses.csv").unlink()
    code, _, err = command(files.run, "--out", tmp_path / "again")
    assert code == 2
    assert "inputs are missing" in err
    assert command(tmp_path / "nowhere.json")[0] == 2
    (tmp_path / "list.json").write_text("[1]")
    assert "damaged, or of another version of lensneg" in command(tmp_path / "list.json")[2]
    record = storage.read_json(files.run)
    storage.write_json(files.run, {**record, "mode": "test"})
    Path(files.manifest).unlink()
    assert "mini-test" in command(files.run)[2]


def test_a_manifest_whose_files_are_damaged_is_compared_with_nothing(
    command: Command, files: RunFiles, tmp_path: Path
) -> None:
    path = Path(files.manifest_folder, "negatives", "part-00000.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"?")
    code, out, err = command(files.run, "--out", tmp_path / "again")
    assert (code, out) == (2, "")
    assert "part-00000.parquet: its SHA-256 is not the manifest's" in told(err)
    path.unlink()
    assert command(files.run, "--out", tmp_path / "again")[0] == 2
    assert command.requests == []
    # With its manifest.json alone, it is compared by that, and the command says so.
    alone = tmp_path / "manifest.json"
    shutil.copy(files.manifest, alone)
    code, _, err = command(alone, "--out", tmp_path / "a" / "again")
    assert code == 0
    assert "compared with its manifest.json alone" in err


@pytest.mark.parametrize(("error", "code"), [("Gate2FanOutComplete", 1), ("States.TaskFailed", 3)])
def test_a_run_that_fails_ends_as_a_run_does(
    command: Command, files: RunFiles, tmp_path: Path, error: str, code: int
) -> None:
    command.outcome = ("FAILED", error)
    found, _, err = command(files.run, "--out", tmp_path / "again")
    assert found == code
    assert "its cause" in told(err)
