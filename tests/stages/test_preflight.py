"""Gate 1: each check fails by itself when, and only when, what it guards is spoiled."""

import csv
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.table import Table
from conftest import CONFIGS, edited
from pipeline import as_input, files_of, make_request
from plainrun import edit_json, failing
from rich.console import Console
from sweepfile import probe

from lensneg.commands.run_screen import show_outcome
from lensneg.local.watcher import Outcome
from lensneg.schema.check import Check
from lensneg.schema.code_version import CodeVersion
from lensneg.schema.columns import PARTS
from lensneg.schema.config import config_sha256
from lensneg.schema.gate import Gate, Verdict
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import ManifestPart, ManifestRecord, Parts
from lensneg.schema.publication import ConfigVersion
from lensneg.schema.request import RunRequest
from lensneg.schema.run import RunRecord
from lensneg.stages.plan_fan_out import plan_fan_out
from lensneg.stages.preflight import code_checks, run_checks
from lensneg.stages.preflight import gate1 as preflight
from lensneg.survey.names import cell_of, sweep_name

CLEAN = CodeVersion("0.1.0", "a" * 64, "b" * 40)


class Desk:
    """A request over a copy of the sky (of links), which a test spoils before gate 1 looks at it."""

    def __init__(self, sky: Path, folder: Path) -> None:
        self.folder = folder
        (folder / "sweeps").mkdir()
        for sweep in (sky / "sweeps").iterdir():
            (folder / "sweeps" / sweep.name).symlink_to(sweep)
        for name in ("positives.csv", "others.csv", "config.yaml"):
            shutil.copy(sky / name, folder)
        self.mode = "test"
        self.environment: dict[str, str] = {}

    @property
    def sweeps(self) -> list[Path]:
        return sorted((self.folder / "sweeps").iterdir())

    def copy_of_a_sweep(self) -> Path:
        """The first sweep file as a file of its own, to be changed."""
        path = self.sweeps[0]
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        return path

    @property
    def request(self) -> RunRequest:
        folder = self.folder
        return make_request(
            folder, folder / "config.yaml", folder / "out", "one", self.mode, (folder / "others.csv",)
        )

    @property
    def files(self) -> RunFiles:
        return files_of(self.request)

    def look(self) -> tuple[set[str], Verdict]:
        """The checks that fail, and the verdict."""
        result = preflight.preflight(as_input(self.request))
        if Path(self.files.manifest).exists():  # of a published run gate 1 is not written again
            assert not Path(self.files.gate(1)).exists()
            return {check.split(":")[0] for check in result.gate.cause.split("; ")[:1]}, result.gate
        return failing(self.files.gate(1)), result.gate


@pytest.fixture
def desk(gate_sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for module in (code_checks, run_checks):
        monkeypatch.setattr(module, "code_version", lambda: CLEAN)
    return Desk(gate_sky, tmp_path)


def rewrite_positions(path: Path, change: Callable[[float, float], tuple[float, float]]) -> None:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = ("ra", "dec") if "ra" in rows[0] else ("RA [deg]", "DEC [deg]")
    for row in rows:
        if row[names[0]] != "-":
            row[names[0]], row[names[1]] = map(str, change(float(row[names[0]]), float(row[names[1]])))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def break_config(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(path.read_text().replace("z_mag_limit", "mag_z_limit"))


def no_sweeps(desk: Desk) -> None:
    for path in desk.sweeps:
        path.unlink()


def a_typo_in_a_name(desk: Desk) -> None:
    (desk.folder / "sweeps" / "sweep-010m005-15p000.fits").write_text("")


def a_copy_of_a_wider_cell(desk: Desk) -> None:
    cell = cell_of(desk.sweeps[0].name)
    shutil.copy(desk.sweeps[0], desk.sweeps[0].with_name(sweep_name(cell._replace(ra_max=cell.ra_max + 5))))


def a_gzipped_copy(desk: Desk) -> None:
    import gzip

    path = desk.sweeps[0]
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))


def a_truncated_sweep(desk: Desk) -> None:
    path = desk.copy_of_a_sweep()
    path.write_bytes(path.read_bytes()[:-100_000])


def padding_lost(desk: Desk) -> None:
    path = desk.copy_of_a_sweep()
    file = probe(str(path))
    assert file.padding
    path.write_bytes(path.read_bytes()[: file.data_stop])


def bytes_behind_the_end(desk: Desk) -> None:
    with desk.copy_of_a_sweep().open("ab") as file:
        file.write(b"\1" * 17)


def zeros_behind_the_end(desk: Desk) -> None:
    with desk.copy_of_a_sweep().open("ab") as file:
        file.write(bytes(2880))


def a_foreign_letter_in_a_comment(desk: Desk) -> None:
    path = desk.copy_of_a_sweep()
    data = path.read_bytes()
    at = data.index(b"END" + b" " * 77, 2880)
    path.write_bytes(data[:at] + b"COMMENT r\xe9gion".ljust(80) + b"END".ljust(80) + data[at + 160 :])


def no_column_that_the_config_asks_for(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(edited(yaml.safe_load(path.read_text()), {"selection.nobs_min": {"z": 1, "i": 1}}))
    assert desk.look()[0] == set()
    shutil.rmtree(desk.files.root)
    sweep = desk.copy_of_a_sweep()
    sweep.write_bytes(sweep.read_bytes().replace(b"'NOBS_I", b"'NOBS_X"))


def another_release(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(edited(yaml.safe_load(path.read_text()), {"sweeps.releases": [10000]}))


def an_unreadable_catalogue(desk: Desk) -> None:
    (desk.folder / "others.csv").write_text("name,alpha,delta\na,1,2\n")


def lenses_elsewhere(desk: Desk) -> None:
    rewrite_positions(desk.folder / "others.csv", lambda ra, dec: ((ra + 180) % 360, dec))


def positives_elsewhere(desk: Desk) -> None:
    rewrite_positions(desk.folder / "positives.csv", lambda ra, dec: (ra, 89.0 if dec < 60 else -dec))


def published_before(desk: Desk) -> None:
    path = Path(desk.files.manifest)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"run": published_record(desk, "one", "")}))


def published_record(desk: Desk, run_id: str, more: str) -> dict[str, Any]:
    text = (desk.folder / "config.yaml").read_text() + more
    return {
        "run_id": run_id,
        "mode": "full",
        "started_at": "2026-01-01T00:00:00Z",
        "out": str(desk.folder / "out"),
        "config": {"uri": "c.yaml", "sha256": config_sha256(text), "text": text},
        "code": {"pipeline_version": "0", "git_commit": "x", "code_version": "0-x"},
        "sweeps": [],
        "ignored_files": 0,
        "catalogs": [],
    }


def take_a_shipped_name(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(path.read_text().replace("name: edited_", "name: "))


def version_used_otherwise(desk: Desk) -> None:
    uri = desk.files.config_version("edited_negative_sampling_v1", "1.0.0")
    ConfigVersion(config_sha256="0" * 64, run_id="older").write(uri)


def inputs_changed_since(desk: Desk) -> None:
    assert desk.look()[1].passed
    rewrite_positions(desk.folder / "others.csv", lambda ra, dec: (ra, dec + 1e-5))


def take_fewer_files_in_a_mini_test(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(edited(yaml.safe_load(path.read_text()), {"execution.mini_test_files": 1}))


def no_mini_test(desk: Desk) -> None:
    take_fewer_files_in_a_mini_test(desk)
    desk.mode = "full"


def mini_test_of_another_code(desk: Desk) -> None:
    no_mini_test(desk)
    sha256 = config_sha256((desk.folder / "config.yaml").read_text())
    path = Path(desk.files.mini_test(sha256, CLEAN.code_version))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"config_sha256": sha256, "code_version": "0.0.1-other"}))


def note_a_mini_test(desk: Desk) -> None:
    """The record of a mini-test that passed with what the desk holds."""
    from lensneg.schema.publication import MiniTestRecord
    from lensneg.schema.run import RunRecord

    take_fewer_files_in_a_mini_test(desk)
    assert desk.look()[1].passed
    record = RunRecord.read(desk.files.inventory)
    shutil.rmtree(desk.files.root)
    sha256, code = record.config.sha256, CLEAN.code_version
    MiniTestRecord(
        run_id="older",
        config_sha256=sha256,
        code_version=code,
        inputs_sha256=record.inputs_sha256,
        passed_at="2025-01-01T00:00:00Z",
    ).write(desk.files.mini_test(sha256, code))
    desk.mode = "full"


def mini_test_of_other_inputs(desk: Desk) -> None:
    note_a_mini_test(desk)
    rewrite_positions(desk.folder / "others.csv", lambda ra, dec: (ra, dec + 1e-5))


GATE_1: dict[str, tuple[Callable[[Desk], None], set[str]]] = {
    "a key is misspelt": (break_config, {"config_valid"}),
    "a changed config under a shipped name": (take_a_shipped_name, {"config_valid"}),
    "no sweep files": (no_sweeps, {"sweeps_listed"}),
    "a column that this config needs": (no_column_that_the_config_asks_for, {"sweeps_readable"}),
    "a sweep's name has a typo": (a_typo_in_a_name, {"sweep_names"}),
    "a file and its gzipped copy": (a_gzipped_copy, {"sweeps_disjoint"}),
    "files of cells that overlap": (a_copy_of_a_wider_cell, {"sweeps_disjoint"}),
    "a truncated file": (a_truncated_sweep, {"sweeps_readable"}),
    "bytes behind the end of a file": (bytes_behind_the_end, {"sweeps_readable"}),
    "a file without its padding": (padding_lost, {"sweep_sizes"}),
    "zeros behind the end of a file": (zeros_behind_the_end, {"sweeps_standard"}),
    "a foreign letter in a comment": (a_foreign_letter_in_a_comment, {"sweeps_standard"}),
    "a release that the config does not take": (another_release, {"one_release"}),
    "a catalogue without positions": (an_unreadable_catalogue, {"catalog_readable:others.csv"}),
    "lenses in another part of the sky": (lenses_elsewhere, {"catalog_in_footprint:others.csv"}),
    "positives in another part of the sky": (positives_elsewhere, {"positives_in_sweeps"}),
    "a run id that is published": (published_before, {"run_not_published"}),
    "a version that stands for other content": (version_used_otherwise, {"config_version_immutable"}),
    "inputs changed since the run began": (inputs_changed_since, {"run_inputs_unchanged"}),
    "no mini-test": (no_mini_test, {"mini_test_passed"}),
    "a mini-test of other inputs": (mini_test_of_other_inputs, {"mini_test_passed"}),
    "a mini-test of another code": (mini_test_of_another_code, {"mini_test_passed"}),
}
WARNINGS = {"sweep_sizes", "sweeps_standard", "catalog_in_footprint:others.csv", "code_version_known"}


def test_gate_1_passes(desk: Desk) -> None:
    assert desk.look() == (set(), Verdict(gate="Gate1PreSubmission", passed=True, cause=""))


@pytest.mark.parametrize("how", GATE_1)
def test_what_gate_1_refuses_fails_one_check(desk: Desk, how: str) -> None:
    spoil, expected = GATE_1[how]
    spoil(desk)
    failed, verdict = desk.look()
    assert failed == expected
    assert verdict.passed == (expected <= WARNINGS)
    if not verdict.passed:
        assert next(iter(expected)) in verdict.cause


@pytest.mark.parametrize("entry", ["config_sha256", "code_version", "inputs_sha256"])
def test_a_record_that_says_something_else_does_not_count(desk: Desk, entry: str) -> None:
    """Whatever its name says."""
    note_a_mini_test(desk)
    [record] = Path(desk.files.out, "minitests").iterdir()
    edit_json(record, lambda found: found.update({entry: "0" * 64}))
    failed, _ = desk.look()
    assert failed == {"mini_test_passed"}


def test_a_mini_test_of_these_inputs_counts(desk: Desk) -> None:
    note_a_mini_test(desk)
    assert desk.look()[1].passed


def test_a_full_run_of_no_more_files_than_a_mini_test_takes_is_its_own_test(desk: Desk) -> None:
    desk.mode = "full"
    assert desk.look()[0] == set()
    checks = json.loads(Path(desk.files.gate(1)).read_text())["checks"]
    assert checks[-1]["name"] == "mini_test_passed"
    assert checks[-1]["actual"] == "none is needed: it would read every file (2), so this run is its own test"
    event = {**as_input(desk.request), "mini_test": {"Error": "States.TaskFailed", "Cause": "gate 3"}}
    assert not preflight.preflight(event).gate.passed


def test_an_earlier_mini_test_does_not_stand_in_for_one_that_failed(desk: Desk) -> None:
    note_a_mini_test(desk)
    event = {**as_input(desk.request), "mini_test": {"Error": "States.TaskFailed", "Cause": "gate 3"}}
    verdict = preflight.preflight(event).gate
    assert not verdict.passed
    assert "is of an earlier one" in verdict.cause
    assert "gate 3" in verdict.cause


def test_what_the_user_leaves_out_fails_nothing(desk: Desk) -> None:
    a_typo_in_a_name(desk)
    leave_out = ["sweep-010m005-15p000.fits"]
    assert preflight.preflight(as_input(desk.request) | {"leave_out": leave_out}).gate.passed
    assert failing(desk.files.gate(1)) == set()
    assert "1 left out as asked" in Path(desk.files.gate(1)).read_text()


def releases(desk: Desk, *allowed: int) -> Check:
    """The check of releases, where the first file is of RELEASE 9010 and the others of 10002."""
    path = desk.sweeps[0]
    file, data = probe(str(path)), bytearray(path.read_bytes())
    offset = (file.dtype.fields or {})["RELEASE"][1]
    for row in range(file.n_rows):
        at = file.data_start + row * file.row_bytes + offset
        data[at : at + 2] = (9010).to_bytes(2, "big")
    path.unlink()
    path.write_bytes(data)
    config = desk.folder / "config.yaml"
    config.write_text(edited(yaml.safe_load(config.read_text()), {"sweeps.releases": list(allowed)}))
    desk.look()
    [check] = [c for c in Gate.read(desk.files.gate(1)).checks if c.name == "one_release"]
    assert check.actual == "9010 (DR9 south), 10002 (DR10.1)"
    return check


def test_releases_may_be_mixed_if_the_config_lists_them(desk: Desk) -> None:
    assert releases(desk, 9010, 10002).passed


def test_a_release_that_the_config_does_not_list_is_refused(desk: Desk) -> None:
    check = releases(desk, 10002)
    assert not check.passed
    assert check.expected == "RELEASE 10002 (DR10.1) (sweeps.releases of the config)"
    assert "negative_sampling_dr9_south" in check.remedy


def test_two_files_of_the_same_sky_are_named_with_their_releases(desk: Desk) -> None:
    """As where DR9 north and DR10.1 meet. A pair of one release is named without it."""
    first = desk.sweeps[0]
    cell = cell_of(first.name)
    a_copy_of_a_wider_cell(desk)
    wide = first.with_name(sweep_name(cell._replace(ra_max=cell.ra_max + 5)))
    releases(desk, 9010, 10002)
    [check] = [c for c in Gate.read(desk.files.gate(1)).checks if c.name == "sweeps_disjoint"]
    assert not check.passed
    assert f"{first.name} of 9010 (DR9 south) and {wide.name} of 10002 (DR10.1)" in check.actual
    assert "--leave-out NAME" in check.remedy


def test_code_that_is_not_committed_is_a_warning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_checks, "code_version", lambda: CLEAN.__class__("0.1.0", "a" * 64, "b-dirty"))
    failed, verdict = desk.look()
    assert failed == {"code_version_known"}
    assert verdict.passed


def test_code_that_was_changed_after_the_build_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = CodeVersion("0.1.0", "a" * 64, "c" * 40, built_sha256="a" * 64)
    monkeypatch.setattr(code_checks, "code_version", lambda: built)
    assert desk.look() == (set(), Verdict(gate="Gate1PreSubmission", passed=True, cause=""))
    changed = CodeVersion("0.1.0", "b" * 64, "unknown", built_sha256="a" * 64)
    monkeypatch.setattr(code_checks, "code_version", lambda: changed)
    failed, verdict = desk.look()
    assert failed == {"code_as_built"}
    assert not verdict.passed
    for part in ("a" * 64, "b" * 64, "make deploy"):
        assert part in verdict.cause


def test_a_deployed_job_of_other_code_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state machine starts the job of another deployment than that of the functions."""
    sha256 = hashlib.sha256((CONFIGS.parent / "spark" / "sample_negatives.py").read_bytes()).hexdigest()
    monkeypatch.setenv("LENSNEG_SPARK_JOB", f"s3://bucket/code/{sha256}/sample_negatives.py")
    assert desk.look()[0] == set()
    monkeypatch.setenv("LENSNEG_SPARK_JOB", f"s3://bucket/code/{'0' * 64}/sample_negatives.py")
    failed, verdict = desk.look()
    assert failed == {"job_as_built"}
    assert sha256 in verdict.cause


def test_a_start_withdraws_what_it_is_about_to_redo(desk: Desk) -> None:
    """And a start that is refused withdraws nothing."""
    assert desk.look()[1].passed
    files = desk.files
    stale = [files.gate(2), files.gate(3), files.gate(4), files.audited, files.quarantine, files.validation]
    stale += [files.cost, files.report, files.error("a"), files.quotas, files.sample_summary]
    kept = [files.stats("a"), files.pool("a"), files.inventory, files.gate(1)]
    for path in map(Path, stale + kept[:2]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stale")
    config = desk.folder / "config.yaml"
    text = config.read_text()
    config.write_text(text + "# another\n")
    assert not desk.look()[1].passed
    assert all(map(os.path.exists, stale + kept))
    config.write_text(text)
    assert desk.look()[1].passed
    assert not any(map(os.path.exists, stale))
    assert all(map(os.path.exists, kept))


@pytest.mark.parametrize("refused", [False, True])
def test_no_start_writes_into_the_folder_of_a_published_run(desk: Desk, refused: bool) -> None:
    files = desk.files
    assert desk.look()[1].passed
    record = RunRecord.read(files.inventory)
    parts = Parts(**{part: ManifestPart(files=(), content_sha256="") for part in PARTS})
    ManifestRecord.of(record, parts, ()).write(files.manifest)
    for path in map(Path, (files.gate(4), files.report, files.validation)):
        path.write_text("published")
    if refused:
        with (desk.folder / "config.yaml").open("a") as config:
            config.write("# another\n")
    before = {path: path.stat().st_mtime_ns for path in Path(files.out).rglob("*")}
    result = preflight.preflight(as_input(desk.request))
    assert (result.gate.passed, result.published) == (not refused, not refused)
    assert {path: path.stat().st_mtime_ns for path in Path(files.out).rglob("*")} == before


def test_sweep_files_that_were_moved_are_looked_for_where_they_are(desk: Desk) -> None:
    assert desk.look()[1].passed
    first = RunRecord.read(desk.files.inventory)
    moved = desk.folder / "moved"
    shutil.move(desk.folder / "sweeps", moved)
    data = {**as_input(desk.request), "sweeps": str(moved)}
    assert preflight.preflight(data).gate.passed
    plan_fan_out(desk.files.root)
    planned = RunRecord.read(desk.files.run)
    assert [Path(s.uri).parent for s in planned.sweeps] == [moved] * len(planned.sweeps)
    assert all(Path(item["sweep"]).exists() for item in json.loads(Path(desk.files.items).read_text()))
    assert planned.started_at == first.started_at


def test_an_output_that_cannot_be_written_to(desk: Desk) -> None:
    (desk.folder / "out").write_text("a file where the folder should be")
    verdict = preflight.preflight(as_input(desk.request)).gate
    assert not verdict.passed
    assert verdict.cause.startswith("output_writable: ")


def test_a_full_run_is_sent_to_its_mini_test_by_the_command_that_makes_it(desk: Desk) -> None:
    no_mini_test(desk)
    command = desk.request.command("test")
    folder = desk.folder
    assert command == (
        f"lensneg run --mode test --config {folder}/config.yaml --sweeps {folder}/sweeps "
        f"--positives {folder}/positives.csv --exclude {folder}/others.csv --out {folder}/out"
    )
    assert command in desk.look()[1].cause


def whole_sky_catalogue(
    path: Path, cells: list[tuple[float, float]], unit: Callable[[float, float], Any]
) -> None:
    """Positions all over the sky, and some in each of the cells, in another unit than degrees."""
    rng = np.random.default_rng(8)
    positions = [
        (float(r), float(d)) for r, d in zip(rng.uniform(0, 360, 60), rng.uniform(-80, 80, 60), strict=True)
    ]
    positions += [(ra + 1 + i / 10, dec + 1 + i / 10) for ra, dec in cells for i in range(5)]
    lines = ["name,ra,dec", *[f"L{i},{x},{y}" for i, (x, y) in enumerate(unit(*p) for p in positions)]]
    path.write_text("\n".join(lines) + "\n")


UNITS: dict[str, Callable[[float, float], Any]] = {
    "hours of RA": lambda ra, dec: (ra / 15, dec),
    "radians": lambda ra, dec: (math.radians(ra), math.radians(dec)),
    "degrees": lambda ra, dec: (ra, dec),
}


@pytest.mark.parametrize("unit", UNITS)
def test_a_catalogue_in_another_unit_than_degrees(desk: Desk, unit: str) -> None:
    from lensneg.survey.names import sweep_cell

    cells = [cell for path in desk.sweeps if (cell := sweep_cell(path.name))]
    whole_sky_catalogue(desk.folder / "others.csv", [(c.ra_min, c.dec_min) for c in cells], UNITS[unit])
    failed, verdict = desk.look()
    if unit == "degrees":
        assert failed == set()
        return
    assert "catalog_in_degrees:others.csv" in failed
    assert failed <= {"catalog_in_degrees:others.csv", "catalog_in_footprint:others.csv"}
    assert f"they look like {unit}" in verdict.cause
    assert "?unit=deg" in verdict.cause
    # What the user states is not doubted.
    for stated in ("hour" if unit == "hours of RA" else "rad", "deg"):
        spec = f"{desk.folder / 'others.csv'}?unit={stated}"
        data = desk.request.as_input() | {"exclude": [spec], "run_id": stated}
        preflight.preflight(data)
        failed = failing(RunFiles(str(desk.folder / "out"), stated).gate(1))
        assert failed <= ({"catalog_in_footprint:others.csv"} if stated == "deg" else set())


def spectroscopic(desk: Desk, table: dict[str, Any]) -> dict[str, Check]:
    """Gate 1's checks of a run with a spectroscopic catalogue."""
    Table(table).write(desk.folder / "desi.fits", overwrite=True)
    data = desk.request.as_input() | {"spectroscopic": [str(desk.folder / "desi.fits")]}
    preflight.preflight(data)
    found = Gate.read(files_of(desk.request).gate(1))
    return {check.name: check for check in found.checks}


def test_a_spectroscopic_catalogue_is_checked_as_the_others_are(desk: Desk) -> None:
    with (desk.folder / "positives.csv").open() as file:
        lens = next(csv.DictReader(file))
    places = {"TARGET_RA": [float(lens["ra"])] * 2, "TARGET_DEC": [float(lens["dec"])] * 2}
    checks = spectroscopic(desk, places | {"TARGETID": [1, 2]})
    assert checks["catalog_readable:desi.fits"].actual.endswith("; 2 positions in 2 rows")
    assert checks["catalog_in_footprint:desi.fits"].passed
    assert checks["spectroscopic_in_config"].passed
    record = RunRecord.read(files_of(desk.request).inventory)
    assert [catalog.role for catalog in record.catalogs] == ["positives", "exclude", "spectroscopic"]


def test_a_spectroscopic_catalogue_without_positions_names_the_columns_it_has(desk: Desk) -> None:
    check = spectroscopic(desk, {"TARGETID": [1], "Z_LENS": [0.5], "MEAN_X": [1.0]})[
        "catalog_readable:desi.fits"
    ]
    assert not check.passed
    assert "no column 'ra' or 'target_ra'" in check.actual
    assert all(name in check.actual for name in ("TARGETID", "Z_LENS", "MEAN_X"))


def test_a_config_without_the_section_takes_no_spectroscopic_catalogue(desk: Desk) -> None:
    path = desk.folder / "config.yaml"
    path.write_text(edited(yaml.safe_load(path.read_text()), {"spectroscopic": ...}))
    assert desk.look()[1].passed
    checks = spectroscopic(desk, {"TARGET_RA": [1.0], "TARGET_DEC": [1.0]})
    check = checks["spectroscopic_in_config"]
    assert (check.passed, check.critical, check.where) == (False, True, str(path))
    assert "copy the section" in check.remedy


def test_how_a_catalogue_was_read_is_said(desk: Desk) -> None:
    assert desk.look()[0] == set()
    screen = Console(record=True, width=200, file=io.StringIO())
    show_outcome(screen, desk.request, Outcome("SUCCEEDED", "", "", desk.files))
    assert "others.csv: " in screen.export_text(clear=False)
    assert "rows without a position: 1" in screen.export_text()


@pytest.mark.parametrize(("column", "fails"), [("NAME", False), ("nowhere", True)])
def test_a_further_column_must_be_in_a_catalogue_of_positives(desk: Desk, column: str, fails: bool) -> None:
    if not fails:
        column = (desk.folder / "positives.csv").read_text().splitlines()[0].split(",")[-1].upper()
    path = desk.folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["positives"]["columns"] = [column]
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert desk.look()[0] == ({"columns_in_catalogs"} if fails else set())


def test_the_record_of_a_config_that_extends_another_keeps_the_merged_text(desk: Desk) -> None:
    (desk.folder / "config.yaml").rename(desk.folder / "base.yaml")
    (desk.folder / "config.yaml").write_text("name: mine\nextends: base.yaml\nnegative_pools: {seed: 7}\n")
    assert desk.look() == (set(), Verdict(gate="Gate1PreSubmission", passed=True, cause=""))
    kept = RunRecord.read(desk.files.inventory).config
    expected = yaml.safe_load((desk.folder / "base.yaml").read_text()) | {"name": "mine"}
    expected["negative_pools"]["seed"] = 7
    assert yaml.safe_load(kept.text) == expected
    assert kept.sha256 == config_sha256(kept.text)
