"""A run again from its record: every input that changed is named, and every difference of the manifests."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from published import publish, row

from lensneg import storage
from lensneg.audit.reproduction import compare_manifests, look_at_inputs, request_again
from lensneg.errors import InputError
from lensneg.schema.config import config_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest

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
