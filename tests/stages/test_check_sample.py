"""Gate 3: each check fails by itself when, and only when, what it guards is spoiled."""

import glob
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline import rewrite, set_column
from plainrun import draw_plainly, edit_json, failing

from lensneg.errors import RunStateError
from lensneg.schema.columns import POOL_SCHEMA
from lensneg.schema.layout import RunFiles
from lensneg.schema.pool import Footer
from lensneg.schema.run import _load_run
from lensneg.schema.sample_summary import JobRun
from lensneg.schema.states import StateError
from lensneg.schema.tables import read_table, write_table
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.quarantine import quarantine
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out


@pytest.fixture(scope="module")
def sampled(mapped: RunFiles, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run whose sample is drawn."""
    out = tmp_path_factory.mktemp("sampled") / "out"
    shutil.copytree(mapped.out, out)
    files = RunFiles(str(out), "one")
    edit_json(files.run, lambda record: record.update(out=files.out))
    assert summarize_fan_out(files.root).gate.passed
    draw_plainly(Path(files.root))
    return files


@pytest.fixture
def draw(sampled: RunFiles, tmp_path: Path) -> RunFiles:
    """A copy of it, to be spoiled."""
    shutil.copytree(sampled.out, tmp_path / "out")
    files = RunFiles(str(tmp_path / "out"), "one")
    edit_json(files.run, lambda record: record.update(out=files.out))
    return files


def quota_of_one_more(files: RunFiles) -> None:
    def change(quotas: dict[str, Any]) -> None:
        quotas["strata"][0]["pools"][0]["quota"] += 1

    edit_json(files.quotas, change)


def one_positive_more(files: RunFiles) -> None:
    def change(quotas: dict[str, Any]) -> None:
        quotas["strata"][0]["positives"] += 1

    edit_json(files.quotas, change)


def one_fewer_drawn(files: RunFiles) -> None:
    edit_json(files.sample_summary, lambda summary: summary["rows"][0].update(rows=0))


def empty_pool_file(files: RunFiles) -> None:
    """To Spark an empty file is one without rows, so that the draw comes out short."""
    one_fewer_drawn(files)
    os.truncate(pool_files(files)[0], 0)


def pool_files(files: RunFiles) -> list[str]:
    return sorted(glob.glob(f"{files.pool_folder}/*.parquet"))


def change_pool(files: RunFiles, column: str, change: Callable[[list[int]], list[int]]) -> None:
    """Change a column in the first two drawn rows of a pool file, and leave its row groups as they are."""
    path = pool_files(files)[0]
    last = {
        (r["nobs_z_bin"], r["type_bin"], r["pool"]): r["last_priority"]
        for r in json.loads(Path(files.sample_summary).read_text())["rows"]
    }
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(i).to_pylist() for i in range(file.num_row_groups)]
    drawn = [
        row
        for rows in groups
        for row in rows
        if row["sampling_priority"]
        <= last.get((row["nobs_z_bin"], row["type_bin"], row["pool"]), -(2**63) - 1)
    ][:2]
    assert len(drawn) == 2
    for row, value in zip(drawn, change([row[column] for row in drawn]), strict=True):
        row[column] = value
    with pq.ParquetWriter(path, POOL_SCHEMA) as writer:
        for rows in groups:
            writer.write_table(pa.Table.from_pylist(rows, POOL_SCHEMA))
    footer = Footer.of(Path(path).read_bytes()).as_json()
    edit_json(files.quotas, lambda quotas: quotas["footers"].update({Path(path).name: footer}))


GATE_3: dict[str, tuple[Callable[[RunFiles], None], set[str]]] = {
    "code that was deployed since": (
        lambda f: edit_json(f.run, lambda run: run["code"].update(code_version="0.0.9-abc")),
        {"one_code"},
    ),
    "no summary": (lambda f: os.unlink(f.sample_summary), {"summary_written"}),
    "half a summary": (lambda f: os.truncate(f.sample_summary, 40), {"summary_written"}),
    "another run's summary": (
        lambda f: edit_json(f.sample_summary, lambda s: s.update(run_id="two")),
        {"summary_of_this_run"},
    ),
    "a quota that is not met": (quota_of_one_more, {"drawn_equals_quota"}),
    "a draw that came out short": (one_fewer_drawn, {"drawn_equals_quota"}),
    "a draw short by an empty pool file": (
        empty_pool_file,
        {"drawn_equals_quota", "files_as_summarized"},
    ),
    "a positive that is not written": (one_positive_more, {"positives_written"}),
    "a drawn row that the pool lacks": (
        lambda f: change_pool(f, "sampling_priority", lambda drawn: [2**63 - 1] * len(drawn)),
        {"files_as_summarized"},
    ),
    "a pool file that is gone": (
        lambda f: os.unlink(pool_files(f)[0]),
        {"files_as_summarized"},
    ),
    "a positive that its file lacks": (
        lambda f: write_table(f.matched_positives, read_table(f.matched_positives).slice(1)),
        {"positives_written"},
    ),
    "a source drawn twice": (
        lambda f: change_pool(f, "targetid", lambda drawn: [drawn[0]] * len(drawn)),
        {"no_duplicates"},
    ),
}


def test_gate_3_names_an_empty_pool_file_and_what_to_do(draw: RunFiles) -> None:
    empty_pool_file(draw)
    cause = check_sample(draw.root).gate.cause
    name = Path(pool_files(draw)[0]).name
    assert f"{name}: not the pool file that was counted" in cause
    assert "start again with the same run id: that item is then done again" in cause


def test_gate_3_passes(draw: RunFiles) -> None:
    assert check_sample(draw.root).gate.passed
    assert failing(draw.gate(3)) == set()


@pytest.mark.parametrize("how", GATE_3)
def test_what_gate_3_refuses_fails_its_check(draw: RunFiles, how: str) -> None:
    spoil, expected = GATE_3[how]
    spoil(draw)
    verdict = check_sample(draw.root).gate
    assert failing(draw.gate(3)) == expected
    assert not verdict.passed
    assert not draw.sample_parts("negatives")


@pytest.mark.parametrize(
    "ended",
    [
        {"job_error": StateError(Error="States.TaskFailed", Cause="out of memory")},
        {"job": JobRun.of_emr({"State": "CANCELLED"})},
    ],
)
def test_a_job_that_did_not_succeed(draw: RunFiles, ended: dict[str, Any]) -> None:
    assert not check_sample(draw.root, **ended).gate.passed
    assert failing(draw.gate(3)) == {"job_succeeded"}


def test_a_sample_that_is_not_the_one_that_was_written_fails_gate_4(draw: RunFiles) -> None:
    """Also where its rows obey every rule: a depth is compared with nothing else."""
    from lensneg.stages.validate_manifest import validate_manifest

    _load_run.cache_clear()
    assert check_sample(draw.root).gate.passed
    folder = Path(draw.sample_folder) / "negatives"
    [path] = folder.iterdir()
    data = path.read_bytes()
    rewrite(folder, lambda t: set_column(t, "galdepth_r", [1.0, *t["galdepth_r"].to_pylist()[1:]]))
    assert "files_intact" in validate_manifest(draw.root).gate.cause
    path.write_bytes(data)
    shutil.copy(path, folder / "part-00001.parquet")
    assert "files_listed" in validate_manifest(draw.root).gate.cause
    (folder / "part-00001.parquet").unlink()
    assert "files_" not in validate_manifest(draw.root).gate.cause
    Path(draw.sample_written).unlink()
    with pytest.raises(RunStateError, match=r"written\.json: missing"):
        validate_manifest(draw.root)


def test_a_quarantined_run_names_what_failed_and_keeps_its_files(draw: RunFiles) -> None:
    from lensneg.stages.validate_manifest import validate_manifest

    _load_run.cache_clear()
    assert check_sample(draw.root).gate.passed
    rewrite(Path(draw.sample_folder) / "negatives", lambda t: t.slice(1))
    assert not validate_manifest(draw.root).gate.passed
    quarantine(draw.root)
    mark = json.loads(Path(draw.quarantine).read_text())
    assert [check["name"] for check in mark["failed"]] == ["files_intact"]
    assert Path(draw.root, mark["sample"], "negatives").is_dir()
