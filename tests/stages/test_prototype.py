"""A CSV or Parquet table in the place of sweep files: gate 1, the same sample, and the rows found again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pipeline import as_input, make_request
from plainrun import failing, run_to_sample
from prototype import write_table
from sweepfile import probe

from lensneg import storage
from lensneg.audit.source_rows import unlike_sweep
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import load_run
from lensneg.stages.preflight.gate1 import preflight
from lensneg.stages.report import write_report
from lensneg.survey.fits_rows import iter_rows

KINDS = ["field.csv", "field.parquet"]


@pytest.fixture(scope="module")
def request_for(gate_sky: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunRequest]:
    """A request for a run over one sweep file, or over a table of its rows."""

    def make(name: str = "") -> RunRequest:
        sweep = max((gate_sky / "sweeps").iterdir(), key=lambda path: path.stat().st_size)
        folder = tmp_path_factory.mktemp("prototype")
        (folder / "sweeps").mkdir()
        if name:
            rows = np.concatenate([chunk.copy() for _, chunk in iter_rows(probe(str(sweep)))])
            write_table(folder / "sweeps" / name, rows)
        else:
            (folder / "sweeps" / sweep.name).symlink_to(sweep)
        request = make_request(
            gate_sky, gate_sky / "config.yaml", folder / "out", "one", "test", (gate_sky / "others.csv",)
        )
        return request.model_copy(update={"sweeps": str(folder / "sweeps")})

    return make


def with_table(request: RunRequest, name: str) -> RunRequest:
    return request.model_copy(update={"sweeps": f"{request.sweeps}/{name}"})


def sample_of(files: RunFiles) -> dict[str, pa.Table]:
    parts = {
        part: ds.dataset(f"{files.root}/sample/{part}").to_table() for part in ("negatives", "positives")
    }
    assert all(len(table) for table in parts.values())
    return parts


@pytest.fixture(scope="module")
def of_sweep_file(request_for: Callable[..., RunRequest]) -> dict[str, pa.Table]:
    return sample_of(run_to_sample(request_for()))


@pytest.mark.parametrize("name", KINDS)
def test_the_sample_is_that_of_the_sweep_file(
    request_for: Callable[..., RunRequest], of_sweep_file: dict[str, pa.Table], name: str
) -> None:
    request = with_table(request_for(name), name)
    files = run_to_sample(request)
    for part, table in sample_of(files).items():
        ours = ["sweep_file", "extraction_timestamp"]
        assert table.drop_columns(ours).equals(of_sweep_file[part].drop_columns(ours))
        assert set(table["sweep_file"].to_pylist()) == {name}
        assert unlike_sweep(storage.stat(request.sweeps), table) == []
        moved = table.set_column(
            table.schema.get_field_index("row_index"),
            "row_index",
            pa.array([(i + 1) % 1000 for i in table["row_index"].to_pylist()]),
        )
        assert len(unlike_sweep(storage.stat(request.sweeps), moved)) == len(table)
    items = json.loads(Path(files.items).read_text())
    assert [item["sweep"] for item in items] == [request.sweeps]
    write_report(files.root)
    assert load_run(files.root).record.sweeps[0].box


def test_a_folder_of_tables(request_for: Callable[..., RunRequest]) -> None:
    request = request_for("field.csv")
    assert preflight(as_input(request)).gate.passed
    copy = Path(request.sweeps, "copy.csv")
    copy.write_bytes(Path(request.sweeps, "field.csv").read_bytes())
    assert not preflight(as_input(request)).gate.passed
    assert "sweeps_disjoint" in failing(RunFiles(request.out, "one").gate(1))


def test_gate_1_names_what_a_table_lacks(request_for: Callable[..., RunRequest]) -> None:
    request = request_for("field.csv")
    path = Path(request.sweeps, "field.csv")
    path.write_text(path.read_text().replace("maskbits", "mask", 1))
    verdict = preflight(as_input(request)).gate
    assert not verdict.passed
    assert "MASKBITS (masks)" in verdict.cause
    assert str(path) in verdict.cause
