"""A run again from its record: every input that changed is named, and a manifest that differs is not called
identical."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from published import publish, row

from lensneg import storage
from lensneg.audit.reproduction import compare_manifests, look_at_inputs, request_again
from lensneg.cli import main
from lensneg.errors import InputError
from lensneg.local import run as local_run
from lensneg.local.watcher import Outcome
from lensneg.schema.config import config_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest
from lensneg.schema.request import RunRequest

Rows = dict[str, list[dict[str, Any]]]
SWEEP = "sweep-000p005-005p010.fits"


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    return publish(tmp_path)


def inputs_of(files: RunFiles) -> Path:
    return Path(files.out).parent / "inputs"


# Inputs.


def test_unchanged_inputs_differ_in_nothing(files: RunFiles) -> None:
    original = Manifest.open(files.run)
    assert Manifest.open(files.manifest).record == original.record
    assert look_at_inputs(original.record.run, None, ()).differences == ()


def test_each_changed_input_is_named(files: RunFiles) -> None:
    inputs = inputs_of(files)
    with open(inputs / "lenses.csv", "a") as catalog:
        catalog.write("b,2,7\n")
    (inputs / "sweeps" / SWEEP).write_bytes(b"more rows")
    record = Manifest.open(files.run).record.run
    older = record.model_copy(
        update={"code": record.code.model_copy(update={"code_version": "0.0.9-abc", "git_commit": "f00"})}
    )
    found = look_at_inputs(older, None, ()).differences
    assert [(d.kind, d.name, d.missing) for d in found] == [
        ("catalogue", "lenses.csv", False),
        ("sweep", SWEEP, False),
        ("code", "lensneg", False),
    ]
    assert "9 bytes, the run's had 4" in found[1].text
    assert "made with 0.0.9-abc: check out commit f00" in found[2].text


def test_a_touched_sweep_file_may_have_the_same_bytes(files: RunFiles) -> None:
    os.utime(inputs_of(files) / "sweeps" / SWEEP, (1, 1))
    (difference,) = look_at_inputs(Manifest.open(files.run).record.run, None, ()).differences
    assert "its bytes may be the same" in difference.text


def test_moved_inputs_are_found_where_they_are_said_to_be(files: RunFiles, tmp_path: Path) -> None:
    record = Manifest.open(files.run).record.run
    moved = tmp_path / "moved"
    shutil.move(inputs_of(files), moved)
    gone = look_at_inputs(record, None, ())
    assert [d.kind for d in gone.missing] == ["catalogue", "sweep"]
    assert "--catalog PATH/lenses.csv" in gone.missing[0].text
    assert "--sweeps URI" in gone.missing[1].text
    found = look_at_inputs(record, str(moved / "sweeps"), [str(moved / "lenses.csv")])
    assert found.differences == ()
    with pytest.raises(InputError, match=r"no catalogue of this name; it had lenses\.csv"):
        look_at_inputs(record, None, [str(moved / "other.csv")])


def test_the_second_request_repeats_the_first(files: RunFiles, tmp_path: Path) -> None:
    record = Manifest.open(files.run).record.run
    stranger = inputs_of(files) / "sweeps" / "sweep-005p005-010p010.fits"
    stranger.write_bytes(b"a file that came later")
    out = tmp_path / "again"
    request = request_again(record, look_at_inputs(record, None, ()), str(out))
    assert (request.run_id, request.started_at, request.mode) == (
        "tiny",
        "2026-01-02T03:04:05Z",
        "test-then-full",
    )
    # The config comes from the record, as its file is gone; the stranger does not come along.
    assert config_sha256(storage.read_bytes(request.config).decode()) == record.config.sha256
    assert [(Path(f.uri).name, f.size, f.etag) for f in storage.list_files(request.sweeps)] == [
        (SWEEP, record.sweeps[0].size, record.sweeps[0].etag)
    ]
    publish(tmp_path / "x")
    with pytest.raises(InputError, match="there is one already"):
        request_again(record, look_at_inputs(record, None, ()), str(tmp_path / "x" / "out"))


# Manifests.


def drop_row(rows: Rows) -> Rows:
    return {**rows, "negatives": rows["negatives"][:-1]}


def swap_row(rows: Rows) -> Rows:
    return {**rows, "negatives": [*rows["negatives"][:-1], row(50, "N2")]}


def other_value(rows: Rows) -> Rows:
    first = {**rows["negatives"][0], "flux_r": 7.0, "split": "test"}
    return {**rows, "negatives": [first, *rows["negatives"][1:]]}


def other_code(rows: Rows) -> Rows:
    return {part: [{**r, "git_commit": "f00"} for r in some] for part, some in rows.items()}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda rows: rows, (True, True, 0, 0, ())),
        (other_code, (True, False, 0, 0, ())),
        (drop_row, (False, False, 1, 0, ())),
        (swap_row, (False, False, 1, 1, ())),
        (other_value, (False, False, 0, 0, ("flux_r", "split"))),
    ],
)
def test_what_differs_is_counted_and_named(
    files: RunFiles, tmp_path: Path, change: Callable[[Rows], Rows], verdict: tuple[Any, ...]
) -> None:
    again = publish(tmp_path / "again", change=change)
    found = compare_manifests(Manifest.open(files.manifest), Manifest.open(again.manifest))
    assert found[0] == ("negatives", *verdict)
    assert found[1].same_content


# The command.


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
    code, out, _ = command(files.manifest, "--out", tmp_path / "a" / "again")
    assert code == 1
    assert "differs: catalogue lenses.csv" in out
    assert "negatives: content DIFFERS, bytes differ; 1 rows are gone and 1 are new" in out
    assert "NOT reproduced" in out
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


@pytest.mark.parametrize(("error", "code"), [("Gate2FanOutComplete", 1), ("States.TaskFailed", 3)])
def test_a_run_that_fails_ends_as_a_run_does(
    command: Command, files: RunFiles, tmp_path: Path, error: str, code: int
) -> None:
    command.outcome = ("FAILED", error)
    found, out, _ = command(files.run, "--out", tmp_path / "again")
    assert found == code
    assert "its cause" in out
