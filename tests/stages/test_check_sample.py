"""Gate 3: each check fails by itself when, and only when, what it guards is spoiled."""

import glob
import itertools
import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline import rewrite, set_column
from plainrun import draw_plainly, edit_json, failing

from lensneg.errors import RunStateError
from lensneg.schema.columns import WRITTEN_SCHEMA
from lensneg.schema.layout import RunFiles
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
        next(s for s in quotas["strata"] if s["draws"])["draws"][0]["quota"] += 1

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


def change_part(files: RunFiles, change: Callable[[list[dict[str, Any]]], Any], **options: Any) -> None:
    """Change the rows of the first part that the job wrote."""
    path = parts(files)[0]
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, WRITTEN_SCHEMA), path, **options)


def parts(files: RunFiles) -> list[str]:
    return sorted(glob.glob(f"{files.draw_folder}/negatives/*.parquet"))


def set_in_row(column: str, change: Callable[[Any], Any]) -> Callable[[RunFiles], None]:
    """Change a value in the fourth row."""
    return lambda files: change_part(files, lambda rows: rows[3].update({column: change(rows[3][column])}))


def pair(rows: list[dict[str, Any]], is_same: Callable[[dict[str, Any], dict[str, Any]], bool]) -> list[int]:
    """The first two neighbouring rows of one stratum and pool of which something holds."""
    keys = ("nobs_z_bin", "type_bin", "pool")
    [first, *_] = [
        i
        for i, (a, b) in enumerate(itertools.pairwise(rows))
        if [a[k] for k in keys] == [b[k] for k in keys] and is_same(a, b)
    ]
    return [first, first + 1]


def swap_splits(rows: list[dict[str, Any]]) -> None:
    """Swap the splits of two rows of a stratum and pool, so that no count changes."""
    a, b = pair(rows, lambda a, b: a["split"] != b["split"])
    rows[a]["split"], rows[b]["split"] = rows[b]["split"], rows[a]["split"]


def swap_rows(rows: list[dict[str, Any]]) -> None:
    a, b = pair(rows, lambda a, b: True)
    rows[a], rows[b] = rows[b], rows[a]


def repeat_row(rows: list[dict[str, Any]]) -> None:
    """Put a row in the place of the next one, which is of the same stratum, pool and split."""
    a, b = pair(rows, lambda a, b: a["split"] == b["split"])
    rows[b] = rows[a]


def spoil_page(files: RunFiles) -> None:
    """Change a byte in the middle of a page: the footer is whole."""
    change_part(files, lambda rows: None, write_page_checksum=True, compression="none", use_dictionary=False)
    path = Path(parts(files)[0])
    targetid = pq.read_table(path)["targetid"][5].as_py().to_bytes(8, "little")
    data = path.read_bytes()
    path.write_bytes(data.replace(targetid, bytes([targetid[0] ^ 1]) + targetid[1:]))


def other_splits(summary: dict[str, Any]) -> None:
    splits = summary["rows"][0]["splits"]
    splits["train"], splits["val"] = splits["train"] - 1, splits.get("val", 0) + 1


def without_a_column(files: RunFiles) -> None:
    path = parts(files)[0]
    pq.write_table(pq.read_table(path).drop_columns(["ebv"]), path)


def of_another_type(files: RunFiles) -> None:
    path = parts(files)[0]
    table = pq.read_table(path)
    pq.write_table(table.set_column(6, "nobs_z", table["nobs_z"].cast(pa.int32())), path)


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
        {"drawn_equals_quota", "pool_files_counted"},
    ),
    "a pool file that is gone": (lambda f: os.unlink(pool_files(f)[0]), {"pool_files_counted"}),
    "a pool file that is cut short": (
        lambda f: os.truncate(pool_files(f)[0], os.path.getsize(pool_files(f)[0]) - 9),
        {"pool_files_counted"},
    ),
    "a pool file of another item": (
        lambda f: shutil.copy(pool_files(f)[1], pool_files(f)[0]),
        {"pool_files_counted"},
    ),
    "a positive that is not written": (one_positive_more, {"positives_written"}),
    "a positive that its file lacks": (
        lambda f: write_table(f.matched_positives, read_table(f.matched_positives).slice(1)),
        {"positives_written"},
    ),
    "a part that is gone": (lambda f: os.unlink(parts(f)[1]), {"files_as_summarized"}),
    "a part that is cut short": (lambda f: os.truncate(parts(f)[1], 999), {"files_as_summarized"}),
    "a part with another byte": (spoil_page, {"files_as_summarized"}),
    "a part with a row less": (lambda f: change_part(f, list.pop), {"files_as_summarized"}),
    "a part without a column": (without_a_column, {"files_as_summarized"}),
    "a part whose column is of another type": (of_another_type, {"files_as_summarized"}),
    "a row without a position": (set_in_row("ra", lambda ra: None), {"files_as_summarized"}),
    "other splits than the summary's": (
        lambda f: edit_json(f.sample_summary, other_splits),
        {"files_as_summarized"},
    ),
    "parts in another order": (
        lambda f: edit_json(f.sample_summary, lambda summary: summary["parts"].reverse()),
        {"in_order"},
    ),
    "two rows in another order": (lambda f: change_part(f, swap_rows), {"in_order"}),
    "a source that is written twice": (lambda f: change_part(f, repeat_row), {"in_order"}),
    "two rows of each other's split": (lambda f: change_part(f, swap_splits), {"rows_as_ruled"}),
    "a priority of another source": (
        set_in_row("targetid", lambda targetid: targetid + 1),
        {"rows_as_ruled"},
    ),
    "a priority that is another one": (
        set_in_row("sampling_priority", lambda priority: priority + 1),
        {"rows_as_ruled"},
    ),
    "a priority above the last one": (
        lambda f: edit_json(f.sample_summary, last_priority_below),
        {"rows_as_ruled"},
    ),
    "a weight": (set_in_row("sampling_weight", lambda weight: weight * (1 + 2**-50)), {"rows_as_ruled"}),
    "a name": (set_in_row("galaxy_id", lambda name: name + "0"), {"rows_as_ruled"}),
    "another name": (set_in_row("object_id", lambda name: name + "0"), {"rows_as_ruled"}),
    "another commit": (set_in_row("git_commit", lambda commit: commit + "0"), {"rows_as_ruled"}),
    "another start": (
        set_in_row("extraction_timestamp", lambda time: time + timedelta(microseconds=1)),
        {"rows_as_ruled"},
    ),
    "a row of a stratum from which nothing is drawn": (
        set_in_row("nobs_z_bin", lambda name: "100+"),
        {"files_as_summarized", "in_order", "rows_as_ruled"},
    ),
}


def last_priority_below(summary: dict[str, Any]) -> None:
    summary["rows"][0]["last_priority"] -= 1


def test_gate_3_names_an_empty_pool_file_and_what_to_do(draw: RunFiles) -> None:
    empty_pool_file(draw)
    cause = check_sample(draw.root).gate.cause
    name = Path(pool_files(draw)[0]).name
    assert f"{name} is another file" in cause
    assert "start again with the same run id: these items are then done again" in cause


def test_a_failed_job_names_the_pool_file_that_is_not_the_one_that_was_counted(draw: RunFiles) -> None:
    path = Path(pool_files(draw)[0])
    path.write_bytes(b"\1" * path.stat().st_size)
    cause = check_sample(draw.root, StateError(Error="States.TaskFailed", Cause="exit code 1")).gate.cause
    assert failing(draw.gate(3)) == {"job_succeeded", "pool_files_counted"}
    assert f"{path.name} is another file" in cause


def test_a_message_names_the_part_and_the_row(draw: RunFiles) -> None:
    change_part(draw, lambda rows: rows[3].update(git_commit="x"))
    targetid = pq.read_table(parts(draw)[0])["targetid"][3]
    cause = check_sample(draw.root).gate.cause
    assert f"{parts(draw)[0]}: git_commit, in 1 rows, first of TARGETID {targetid}" in cause


def test_a_message_names_the_part_that_has_other_rows_than_the_summary_says(draw: RunFiles) -> None:
    change_part(draw, list.pop)
    rows = pq.read_metadata(parts(draw)[0]).num_rows
    cause = check_sample(draw.root).gate.cause
    assert f"{parts(draw)[0]}: {rows:,} rows; the summary says {rows + 1:,}" in cause


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
