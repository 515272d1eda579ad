"""Runs over a HATS catalogue: the content of the sample is that of the sweep files that it was made of."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import edited
from hatscase import as_arrow, write_hats
from pipeline import OPEN_GATES, as_input, files_of, make_request
from plainrun import failing, run_map, run_to_sample
from sweepfile import probe

from lensneg.audit.reproduction import look_at_inputs, request_again
from lensneg.audit.source_rows import unlike_sweep
from lensneg.errors import SweepError
from lensneg.mocksky import write_mock_sky
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import RunRecord
from lensneg.stages.preflight.gate1 import preflight
from lensneg.stages.report import write_report
from lensneg.survey.fits_rows import iter_rows
from lensneg.survey.inputs import probe_input
from lensneg.survey.listing import look_into
from lensneg.survey.table_rows import table_row_groups

ROOT = Path(__file__).parents[2]

#: The columns that name the input and the time, and so differ.
OURS = ["sweep_file", "row_index", "extraction_timestamp"]


#: Every partition, and gates that a small sky passes.
CHANGES = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 3, "execution.mini_test_files": 10_000}


@pytest.fixture(scope="module")
def sky(gate_sky: Path, plan_dict: dict[str, Any]) -> Path:
    (gate_sky / "hats.yaml").write_text(edited(plan_dict, CHANGES))
    return gate_sky


@pytest.fixture(scope="module")
def rows(sky: Path) -> np.ndarray:
    files = sorted((sky / "sweeps").iterdir())
    return np.concatenate([chunk.copy() for file in files for _, chunk in iter_rows(probe(str(file)))])


@pytest.fixture(scope="module", params=["as hats-import", "hats-import"])
def catalogue(
    request: pytest.FixtureRequest, sky: Path, rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("catalogue") / "sky"
    if request.param == "as hats-import":
        return write_hats(root, rows, order=4, row_group_size=500)
    python = ROOT / ".venv-hats" / "bin" / "python"
    if not python.exists():
        pytest.skip("no hats-import: make .venv-hats")
    script = [str(python), str(ROOT / "tests" / "make_hats.py"), str(sky / "sweeps"), str(root), "2000"]
    subprocess.run(script, check=True, env={**os.environ, "PYTHONPATH": ""}, capture_output=True)
    return root


def request_over(sky: Path, sweeps: str | Path, out: Path, config: str = "hats.yaml") -> RunRequest:
    request = make_request(sky, sky / config, out, "one", "test", (sky / "others.csv",))
    return request.model_copy(update={"sweeps": str(sweeps)})


def sample_of(files: RunFiles) -> dict[str, pa.Table]:
    return {part: ds.dataset(f"{files.root}/sample/{part}").to_table() for part in ("negatives", "positives")}


def same_content(one: dict[str, pa.Table], other: dict[str, pa.Table]) -> bool:
    """Whether two samples have the same rows in the same order, by the hash of all but the places."""

    def hashes(parts: dict[str, pa.Table]) -> list[str]:
        found = []
        for part in parts.values():
            for name, values in (("sweep_file", [""] * len(part)), ("row_index", [0] * len(part))):
                field = part.schema.field(name)
                place = part.schema.get_field_index(name)
                part = part.set_column(place, field, pa.array(values, field.type))
            found.append(content_sha256(part))
        return found

    return hashes(one) == hashes(other) and all(
        part.drop_columns(OURS).equals(other[name].drop_columns(OURS)) for name, part in one.items()
    )


@pytest.fixture(scope="module")
def of_sweep_files(sky: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    sample = sample_of(run_to_sample(request_over(sky, sky / "sweeps", tmp_path_factory.mktemp("fits"))))
    assert all(len(part) > 10 for part in sample.values())
    return sample


def test_the_sample_is_that_of_the_sweep_files(
    sky: Path, catalogue: Path, of_sweep_files: dict[str, pa.Table], tmp_path: Path
) -> None:
    request = request_over(sky, catalogue, tmp_path / "out")
    files = run_to_sample(request)
    sample = sample_of(files)
    assert same_content(sample, of_sweep_files)
    sweeps = look_into(str(catalogue)).sweeps
    partitions = {info.uri.removeprefix(f"{catalogue}/dataset/"): info for info in sweeps}
    for part in sample.values():
        assert set(part["sweep_file"].to_pylist()) <= partitions.keys()
        for name, info in partitions.items():
            mine = part.filter(pa.compute.field("sweep_file") == name)
            assert unlike_sweep(info, mine) == [] if len(mine) else True
    assert len(json.loads(Path(files.items).read_text())) == len(partitions) > 3
    write_report(files.root)

    record = RunRecord.read(files.run)
    again = request_again(record, look_at_inputs(record, None, ()), str(tmp_path / "again"))
    assert same_content(sample_of(run_to_sample(again.model_copy(update={"mode": "test"}))), of_sweep_files)


def test_a_row_is_found_again_only_at_its_place(catalogue: Path, sky: Path, tmp_path: Path) -> None:
    files = run_to_sample(request_over(sky, catalogue, tmp_path / "out"))
    part = sample_of(files)["positives"]
    moved = part.set_column(
        part.schema.get_field_index("row_index"), "row_index", pa.array([0] * len(part), pa.int64())
    )
    for info in look_into(str(catalogue)).sweeps:
        mine = moved.filter(pa.compute.field("sweep_file") == info.uri.removeprefix(f"{catalogue}/dataset/"))
        if len(mine):
            assert unlike_sweep(info, mine)


@pytest.fixture(scope="module")
def wide_sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sky of 10 degrees in Dec, and a config for a part of it."""
    folder = tmp_path_factory.mktemp("wide")
    write_mock_sky(folder, files=2, rows=6_000, seed=7)
    (folder / "others.csv").write_text("name,ra,dec\nL,0.5,1.5\n")
    return folder


def test_row_groups_outside_the_region_are_skipped(
    wide_sky: Path, plan_dict: dict[str, Any], tmp_path: Path
) -> None:
    files = sorted((wide_sky / "sweeps").iterdir())
    rows = np.concatenate([chunk.copy() for file in files for _, chunk in iter_rows(probe(str(file)))])
    catalogue = write_hats(tmp_path / "sky", rows, order=3, row_group_size=100)
    middle = float(np.median(rows["DEC"]))
    part = {**CHANGES, "selection.dec_range": [middle - 1, middle]}
    (wide_sky / "part.yaml").write_text(edited(plan_dict, part))
    found, read = [], []
    for sweeps in (wide_sky / "sweeps", catalogue):
        run = run_to_sample(request_over(wide_sky, sweeps, tmp_path / f"out{len(found)}", "part.yaml"))
        found.append(sample_of(run))
        stats = [json.loads(path.read_text()) for path in Path(run.stats_folder).iterdir()]
        read.append(sum(s["bytes_read"] for s in stats) / sum(s["item"]["n_bytes"] for s in stats))
        assert sum(s["rows_in"] for s in stats) == len(rows)
        assert all(s["rows_in"] == s["rows_kept"] + sum(s["cut"].values()) for s in stats)
    assert len(found[0]["negatives"]) > 10
    assert same_content(*found)
    assert read[0] == 1.0
    assert read[1] < 0.8
    for info in look_into(str(catalogue)).sweeps:  # as if the row groups above the range began higher up
        content, bounds = Path(info.uri).read_bytes(), [g.dec for g in table_row_groups(probe_input(info))]
        for low in (dec.low for dec in bounds if dec and dec.low > middle):
            content = content.replace(np.float64(low).tobytes(), np.float64(low + 2**-10).tobytes())
        Path(info.uri).write_bytes(content)
    with pytest.raises(SweepError, match="and the footer says that row group"):
        run_map(request_over(wide_sky, catalogue, tmp_path / "out", "part.yaml"))


def test_a_source_far_outside_its_pixel_fails_its_item(sky: Path, rows: np.ndarray, tmp_path: Path) -> None:
    """It would be compared with the lenses of another part of the sky."""
    catalogue = write_hats(tmp_path / "sky", rows)
    path = max(catalogue.rglob("Npix*.parquet"), key=lambda path: path.stat().st_size)
    part = pq.ParquetFile(path).read()
    far = pa.array(np.asarray(part["DEC"]) - 10)
    pq.write_table(part.set_column(part.schema.get_field_index("DEC"), "DEC", far), path)
    with pytest.raises(SweepError, match=f"{path.name}: row .* outside the cell"):
        run_map(request_over(sky, catalogue, tmp_path / "out"))


@pytest.mark.parametrize("case", ["lost", "margin", "overlapping", "a column"])
def test_gate_1_names_what_is_wrong(sky: Path, rows: np.ndarray, tmp_path: Path, case: str) -> None:
    kind = "margin" if case == "margin" else "object"
    catalogue = write_hats(tmp_path / "sky", rows, kind=kind)
    path = sorted(catalogue.rglob("Npix*.parquet"))[0]
    named, check = path.name, "sweep_names"
    if case == "lost":
        path.unlink()
    elif case == "margin":
        named = "type margin"
    elif case == "overlapping":
        (catalogue / "partition_info.csv").unlink()
        order, number = int(path.parent.parent.name[7:]), int(path.stem[5:])
        inner = catalogue / "dataset" / f"Norder={order + 1}" / "Dir=0" / f"Npix={4 * number}.parquet"
        inner.write_bytes(path.read_bytes())
        check = "sweeps_disjoint"
    else:
        part = pq.ParquetFile(path).read()
        pq.write_table(part.drop_columns("MASKBITS"), path)
        named, check = "MASKBITS (masks)", "sweeps_readable"
    request = request_over(sky, catalogue, tmp_path / "out")
    verdict = preflight(as_input(request)).gate
    assert not verdict.passed
    assert check in failing(files_of(request).gate(1))
    assert named in verdict.cause


def test_tables_with_names_of_sweep_files_have_their_cells(
    sky: Path, of_sweep_files: dict[str, pa.Table], tmp_path: Path
) -> None:
    """The boxes of their positions overlap where a brick reaches into the next cell."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for file in sorted((sky / "sweeps").iterdir()):
        rows = np.concatenate([chunk.copy() for _, chunk in iter_rows(probe(str(file)))])
        pq.write_table(as_arrow(rows, lower=True), folder / f"{file.stem}.parquet")
    assert same_content(sample_of(run_to_sample(request_over(sky, folder, tmp_path / "out"))), of_sweep_files)
