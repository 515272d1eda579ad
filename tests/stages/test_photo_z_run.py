"""Photometric redshifts from -pz files, written here by astropy, from the input to the verdict."""

import json
import shutil
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.table import Table
from conftest import edited
from pipeline import as_input, make_request, read_parts
from plainrun import failing, run_map, run_to_sample

from lensneg.audit.reproduction import look_at_inputs
from lensneg.errors import SweepError
from lensneg.schema.item import Item, read_items
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import RunRecord, load_run
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.stages.plan_fan_out import plan_fan_out
from lensneg.stages.preflight.gate1 import preflight
from lensneg.stages.validate_manifest import validate_manifest

NAMES = ("median", "std", "l68", "u68")


def expected(row: dict[str, Any]) -> list[float | None]:
    """What the file holds of a row: -99 in every seventh."""
    i = row["row_index"]
    return [None] * 4 if i % 7 == 0 else [float(np.float32((i % 1000 + k) / 1000)) for k in range(4)]


def write_pz(folder: Path, sweeps: Path) -> Path:
    """The -pz files of a folder of sweep files, with columns of the survey that are not read."""
    folder.mkdir()
    for sweep in sweeps.iterdir():
        rows = fitsio.read(str(sweep), columns=["RELEASE", "BRICKID", "OBJID"])
        i = np.arange(len(rows))
        table = Table({name: rows[name] for name in ("RELEASE", "BRICKID", "OBJID")})
        table["Z_PHOT_MEAN"] = np.float32(0.5)
        for k, name in enumerate(NAMES):
            table[f"Z_PHOT_{name.upper()}"] = np.where(i % 7 == 0, -99, (i % 1000 + k) / 1000).astype(
                np.float32
            )
        table["SURVEY"], table["TRAINING"] = "NIR", i % 2 == 0
        table.write(folder / sweep.name.replace(".fits", "-pz.fits"))
    return folder


@pytest.fixture(scope="module")
def pz(gate_sky: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pz(tmp_path_factory.mktemp("pz") / "pz", gate_sky / "sweeps")


def request_of(gate_sky: Path, pz: Path, out: Path, changes: dict[str, Any] | None = None) -> RunRequest:
    """A mini-test whose files are cut into slices."""
    config = edited(
        yaml.safe_load((gate_sky / "config.yaml").read_text()),
        {"execution.target_item_bytes": 1 << 20, **(changes or {})},
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(config)
    request = make_request(gate_sky, out / "config.yaml", out / "out", "one", "test")
    return RunRequest.of_input(request.as_input() | {"pz": str(pz)})


@pytest.fixture(scope="module")
def made(gate_sky: Path, pz: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    files = run_to_sample(request_of(gate_sky, pz, tmp_path_factory.mktemp("photo_z")))
    verdict = validate_manifest(files.root).gate
    assert verdict.passed, verdict.cause
    return files


def test_every_row_has_the_values_of_its_row_in_the_file(made: RunFiles) -> None:
    assert len(read_items(made.items)) > 2
    pool = read_parts(made.pool_folder)
    positives = pq.read_table(made.matched_positives).to_pylist()
    negatives = read_parts(Path(made.sample_folder) / "negatives")
    for rows in (pool, positives, negatives):
        found = [[row[f"z_phot_{name}"] for name in NAMES] for row in rows]
        assert found == [expected(row) for row in rows]
    assert 0 < sum(row["z_phot_median"] is None for row in pool) < len(pool) / 4


def test_without_pz_files_the_columns_are_null(mapped: RunFiles) -> None:
    pool = pq.read_table(mapped.pool_folder, columns=[f"z_phot_{name}" for name in NAMES])
    assert {column.null_count for column in pool.columns} == {len(pool)}


def gate1_of(request: RunRequest) -> str:
    """What gate 1 says against the -pz files."""
    preflight(as_input(request))
    checks = json.loads(Path(RunFiles(request.out, "one").gate(1)).read_text())["checks"]
    return next(check["actual"] for check in checks if check["name"] == "pz_files" and not check["passed"])


def test_a_missing_file_is_named(gate_sky: Path, pz: Path, tmp_path: Path) -> None:
    shutil.copytree(pz, tmp_path / "pz")
    gone = min((tmp_path / "pz").iterdir())
    gone.unlink()
    assert f"{gone.name}: missing" in gate1_of(request_of(gate_sky, tmp_path / "pz", tmp_path / "run"))


def test_a_foreign_file_is_refused(gate_sky: Path, pz: Path, tmp_path: Path) -> None:
    shutil.copytree(pz, tmp_path / "pz")
    one, other = sorted((tmp_path / "pz").iterdir())
    shutil.copy(other, one)
    said = gate1_of(request_of(gate_sky, tmp_path / "pz", tmp_path / "run"))
    assert f"{one.name}: row 0 is RELEASE 10002" in said
    assert "in the sweep file RELEASE 10002" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table[:-1], "it has 5,999 rows, and the sweep file has 6,000"),
        (lambda table: table[[*range(5_999), 0]], "row 5,999 is"),
        (lambda table: table[[n for n in table.colnames if n != "Z_PHOT_L68"]], "it has no Z_PHOT_L68"),
    ],
)  # fmt: skip
def test_a_file_of_other_rows_or_columns_is_refused(
    change: Any, message: str, gate_sky: Path, pz: Path, tmp_path: Path
) -> None:
    shutil.copytree(pz, tmp_path / "pz")
    path = min((tmp_path / "pz").iterdir())
    change(Table.read(path)).write(path, overwrite=True)
    assert message in gate1_of(request_of(gate_sky, tmp_path / "pz", tmp_path / "run"))


def test_a_table_has_no_pz_file(gate_sky: Path, pz: Path, tmp_path: Path) -> None:
    request = request_of(gate_sky, pz, tmp_path / "run")
    rows = fitsio.read(str(min((gate_sky / "sweeps").iterdir())))[:5]
    names = [name for name in rows.dtype.names if rows.dtype[name].shape == ()]
    Table(rows[names]).to_pandas().to_csv(tmp_path / "field.csv", index=False)
    request = RunRequest.of_input(request.as_input() | {"sweeps": str(tmp_path / "field.csv")})
    assert "a table has no -pz file" in gate1_of(request)


def test_two_rows_that_changed_places_fail_their_item_alone(gate_sky: Path, pz: Path, tmp_path: Path) -> None:
    """Gate 1 looks at the ends of a file, and the map at every row."""
    shutil.copytree(pz, tmp_path / "pz")
    for path in (tmp_path / "pz").iterdir():
        table = Table.read(path)
        order = [*range(2_999), 3_000, 2_999, *range(3_001, len(table))]
        table[order].write(path, overwrite=True)
    request = request_of(gate_sky, tmp_path / "pz", tmp_path / "run")
    files = RunFiles(request.out, "one")
    assert preflight(as_input(request)).gate.passed
    plan_fan_out(files.root)
    run = load_run(files.root)
    for item in read_items(files.items):
        if item.first_row <= 2_999 < item.first_row + item.n_rows:
            with pytest.raises(SweepError, match=r"row 2,999 has (BRICKID|OBJID)") as error:
                filter_item(run, item)
            assert item.pz is not None
            assert error.value.where == item.pz.uri
        else:
            filter_item(run, item)


def test_a_file_that_changed_after_the_plan_is_refused(gate_sky: Path, pz: Path, tmp_path: Path) -> None:
    shutil.copytree(pz, tmp_path / "pz")
    files = run_map(request_of(gate_sky, tmp_path / "pz", tmp_path / "run"))
    item = read_items(files.items)[0]
    assert item.pz is not None
    Path(files.stats(item.id)).unlink()
    with open(item.pz.uri, "ab") as file:
        file.write(bytes(2880))
    with pytest.raises(SweepError, match="changed after the run was planned"):
        filter_item(load_run(files.root), Item.model_validate(item.as_json()))


def test_other_values_in_the_file_fail_gate_4(made: RunFiles, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    shutil.copytree(Path(RunRecord.read(files.run).pz_folder or ""), tmp_path / "pz")
    for path in (tmp_path / "pz").iterdir():
        table = Table.read(path)
        table["Z_PHOT_U68"] += np.float32(0.5)
        table.write(path, overwrite=True)
    record = json.loads(Path(files.run).read_text())
    for sweep in record["sweeps"]:
        sweep["pz"]["uri"] = str(tmp_path / "pz" / Path(sweep["pz"]["uri"]).name)
    Path(files.run).write_text(json.dumps(record))
    assert not validate_manifest(files.root).gate.passed
    assert failing(files.gate(4)) - failing(made.gate(4)) == {"rows_found_again"}


def test_redshifts_of_a_run_without_pz_files_fail_gate_4(made: RunFiles, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    record = json.loads(Path(files.run).read_text())
    for sweep in record["sweeps"]:
        sweep["pz"] = None
    Path(files.run).write_text(json.dumps(record))
    assert not validate_manifest(files.root).gate.passed
    assert failing(files.gate(4)) - failing(made.gate(4)) == {"rows_found_again"}


def test_a_file_that_is_gone_is_a_missing_input_of_the_run(made: RunFiles, tmp_path: Path) -> None:
    record = RunRecord.read(made.run)
    assert [d.text for d in look_at_inputs(record, None, ()).differences if "-pz" in d.text] == []
    [*others, sweep] = record.sweeps
    assert sweep.pz is not None
    moved = sweep.model_copy(update={"pz": sweep.pz.model_copy(update={"uri": str(tmp_path / "a-pz.fits")})})
    missing = look_at_inputs(record.model_copy(update={"sweeps": (*others, moved)}), None, ()).missing
    assert [difference.name for difference in missing] == ["a-pz.fits"]
    assert record.request(made.out).pz == str(Path(sweep.pz.uri).parent)
