"""Inputs of a wrong kind are named before anything starts."""

from pathlib import Path

import pytest
from pipeline import make_request
from sweepfile import NAME, write_sweep

from lensneg.errors import CatalogError, InputError, SweepError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.config import Config
from lensneg.schema.request import RunRequest
from lensneg.stages.preflight.kinds import recognise_inputs

CONFIG = Config.load("negative_sampling_v1")


@pytest.fixture
def request_of(gate_sky: Path, tmp_path: Path) -> RunRequest:
    return make_request(gate_sky, gate_sky / "config.yaml", tmp_path / "out", "one", "test")


def lenses(path: Path, *positions: tuple[float, float]) -> tuple[CatalogSpec, ...]:
    path.write_text("name,ra,dec\n" + "".join(f"L{i},{a},{d}\n" for i, (a, d) in enumerate(positions)))
    return (CatalogSpec.parse(str(path)),)


def test_each_catalogue_has_a_line(request_of: RunRequest, tmp_path: Path) -> None:
    others = lenses(tmp_path / "others.csv", (1, 1))
    lines = recognise_inputs(request_of.model_copy(update={"exclude": others}), CONFIG)
    assert [line.split(":")[0].split(" ")[0] for line in lines] == ["--positives", "--exclude"]
    read = "CSV; RA 'ra', Dec 'dec', in degrees as no unit is stated, name 'name'; 1 positions in 1 rows"
    assert lines[1].endswith(f"others.csv: {read}")


@pytest.mark.parametrize("role", ["positives", "exclude", "spectroscopic"])
def test_a_sweep_file_as_a_catalogue(request_of: RunRequest, tmp_path: Path, role: str) -> None:
    path = tmp_path / NAME
    write_sweep(path, [{}])
    wrong = request_of.model_copy(update={role: (CatalogSpec.parse(str(path)),)})
    with pytest.raises(
        CatalogError, match=rf"^--{role} .*{NAME}: this is a sweep file, not a lens catalogue"
    ):
        recognise_inputs(wrong, CONFIG)


def test_a_catalogue_as_sweep_files(request_of: RunRequest, tmp_path: Path) -> None:
    lenses(tmp_path / "lenses.csv", (1, 1))
    lenses(tmp_path / "lenses.txt", (1, 1))
    lenses(tmp_path / "lenses.dat", (1, 1))
    for name, told in {
        "lenses.csv": "lenses.csv is no table of sweep sources: it has none of RELEASE",
        "lenses.txt": "lenses.txt, line 1: got 'name,ra,dec'; expected the name or the address",
        "lenses.dat": "this is a file, and neither a folder of sweep files nor a table",
        ".": "lenses.csv is no table of sweep sources",
    }.items():
        wrong = request_of.model_copy(update={"sweeps": str(tmp_path / name)})
        with pytest.raises(SweepError, match=rf"^--sweeps .*{told}.*is it a catalogue"):
            recognise_inputs(wrong, CONFIG)
    write_sweep(tmp_path / NAME, [{}])
    with pytest.raises(SweepError, match="this is one sweep file; name the folder that holds it"):
        recognise_inputs(request_of.model_copy(update={"sweeps": str(tmp_path / NAME)}), CONFIG)


def test_no_position_inside_the_sweeps(request_of: RunRequest, tmp_path: Path) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    write_sweep(folder / "sweep-175m005-180p000.fits", [{}])
    far = lenses(tmp_path / "far.csv", (190.0, -2.0), (182.5, 1.0))
    wrong = request_of.model_copy(update={"sweeps": str(folder), "positives": far})
    with pytest.raises(InputError) as caught:
        recognise_inputs(wrong, CONFIG)
    message = str(caught.value)
    # From (182.5, 1) to the corner (180, 0): 2.6925 degrees in the plane, 2.6922 on the sphere.
    assert "the nearest sweep file, sweep-175m005-180p000.fits, is 2.69 degrees away" in message
    assert "2 files of DR10.1: sweep-180p000-185p005.fits, sweep-190m005-195p000.fits" in message
    assert "lensneg sweeps fetch --near" in message
    near = lenses(tmp_path / "near.csv", (190.0, -2.0), (177.5, -1.0))
    assert recognise_inputs(wrong.model_copy(update={"positives": near}), CONFIG)


def test_hours_are_suggested_where_no_position_is_inside(request_of: RunRequest, tmp_path: Path) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    write_sweep(folder / "sweep-175m005-180p000.fits", [{}])
    hours = lenses(tmp_path / "hours.csv", *((i * 1.96, -2.0) for i in range(1, 13)))
    wrong = request_of.model_copy(update={"sweeps": str(folder), "positives": hours})
    with pytest.raises(InputError, match=r"they look like hours of RA: say so, .*\?unit=hour"):
        recognise_inputs(wrong, CONFIG)
