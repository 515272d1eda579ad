"""The sample's files: their bytes follow from the rows and their order, and memory holds one file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import edited

from lensneg.schema.columns import ANNOTATED_SCHEMA, POOL_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.lens_facts import lens_schema
from lensneg.schema.run import Run
from lensneg.schema.tables import read_table, write_table
from lensneg.stages.check_sample import sample_files

RUN_COLUMNS = {
    "pipeline_version": "1.2.3",
    "git_commit": "abc",
    "extraction_timestamp": "2026-01-02T03:04:05Z",
}


def run_in(root: str, plan_dict: dict[str, Any]) -> Run:
    config = Config.parse(edited(plan_dict, {"execution.rows_per_manifest_file": 1000}))
    record: Any = SimpleNamespace(columns=RUN_COLUMNS)
    lenses: Any = None
    return Run(record, config, RunFiles(root, "one"), lenses)


def positives(count: int) -> pa.Table:
    rows = [
        {f.name: "xyz"[i % 3] if f.type == pa.string() else i % 1000 for f in POOL_SCHEMA}
        | {"targetid": i, "confuser_category": None if i % 4 else "é", "mag_g": None if i % 5 else 20.0}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, pa.schema([*POOL_SCHEMA, *lens_schema()]))


def rows_of(run: Run, count: int) -> pa.Table:
    write_table(run.files.matched_positives, positives(count))
    return sample_files.read_positives(run).select(ANNOTATED_SCHEMA.names)


@pytest.mark.parametrize("batch", [1, 7, 999, 1000, 1001, 5000])
def test_bytes_do_not_depend_on_how_the_rows_come(
    tmp_path: Path, plan_dict: dict[str, Any], batch: int
) -> None:
    run = run_in(str(tmp_path), plan_dict)
    rows = rows_of(run, 2300)
    batches = [rows.slice(start, batch) for start in range(0, len(rows), batch)]
    part = sample_files.write_part(run, "negatives", batches)
    uris = run.files.sample_parts("negatives")
    assert [file.name for file in part.files] == [f"negatives/part-0000{i}.parquet" for i in range(3)]
    assert [file.rows for file in part.files] == [1000, 1000, 300]
    assert pa.concat_tables([read_table(uri) for uri in uris]).equals(rows)
    assert read_table(uris[0]).schema.field("flux_z").metadata[b"unit"] == b"nanomaggy"
    for uri, file, start in zip(uris, part.files, (0, 1000, 2000), strict=True):
        whole = write_table(str(tmp_path / "x"), rows.slice(start, 1000), dictionary=sample_files.REPETITIVE)
        assert (whole.bytes, whole.sha256) == (file.bytes, file.sha256)
        assert pq.ParquetFile(uri).num_row_groups == 1
    assert part.content_sha256 == content_sha256(rows)


def test_no_older_file_is_left(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    rows = rows_of(run, 2300)
    sample_files.write_part(run, "negatives", [rows])
    first = Path(run.files.sample_part("negatives", 0)).read_bytes()
    sample_files.write_part(run, "negatives", [rows.slice(0, 1500)])
    assert run.files.sample_parts("negatives") == [run.files.sample_part("negatives", i) for i in (0, 1)]
    assert Path(run.files.sample_part("negatives", 0)).read_bytes() == first


def test_no_rows_are_one_file(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    part = sample_files.write_part(run, "negatives", [])
    [uri] = run.files.sample_parts("negatives")
    assert read_table(uri).schema.names == ANNOTATED_SCHEMA.names
    assert part.rows == 0
    assert part.content_sha256 == content_sha256(ANNOTATED_SCHEMA.empty_table())


def test_no_more_rows_are_held_than_those_of_a_file(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    rows, asked = rows_of(run, 5000), list[tuple[int, int]]()

    def batches() -> Any:
        for start in range(0, len(rows), 400):
            asked.append((start, sum(len(read_table(uri)) for uri in run.files.sample_parts("negatives"))))
            yield rows.slice(start, 400)

    sample_files.write_part(run, "negatives", batches())
    assert max(start - written for start, written in asked) < 1400


def test_positives_keep_their_order_and_weigh_one(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    write_table(run.files.matched_positives, positives(30).take(pa.array([5, 3, 20])))
    found = sample_files.read_positives(run)
    assert found["targetid"].to_pylist() == [5, 3, 20]
    assert found["sampling_weight"].to_pylist() == [1.0, 1.0, 1.0]
    assert found["galaxy_id"].to_pylist() == ["z_5", "x_3", "z_20"]
    assert found["object_id"].to_pylist() == ["z-5", "x-3", "z-20"]


def test_in_s3_the_same_files_are_written_as_on_a_disk(
    s3: str, tmp_path: Path, plan_dict: dict[str, Any]
) -> None:
    written = []
    for root in (str(tmp_path), s3):
        run = run_in(root, plan_dict)
        written.append(sample_files.write_part(run, "negatives", [rows_of(run, 1500)]))
    assert written[0] == written[1]
    assert [file.rows for file in written[1].files] == [1000, 500]
