"""cost.json: what was measured, and the estimate for the same files."""

from dataclasses import replace
from pathlib import Path

import pytest
from costcase import whole_files
from published import publish

from lensneg.cost import run_cost as module
from lensneg.cost.listing import Listing
from lensneg.cost.model import estimate
from lensneg.cost.run_cost import run_cost
from lensneg.errors import InputError
from lensneg.schema.fan_out import FanOutSummary, PositiveCounts
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run
from lensneg.schema.sample_summary import JobRun, SampleSummary


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """A run whose map is done: one file of 1,234 rows."""
    files = publish(tmp_path)
    counts = dict.fromkeys(PositiveCounts.model_fields, 0) | {"sources": 3}
    FanOutSummary(
        items=1, items_done=1, missing={}, rows_in=1234, rows_kept=5, cut={}, n2_fraction=0.2, confusers={},
        positives=PositiveCounts(**counts), bytes_read=600_000, bytes_written=70, task_seconds=4.0,
    ).write(files.summary)  # fmt: skip
    return files


def test_what_was_measured_by_hand(files: RunFiles) -> None:
    found = run_cost(load_run(files.root)).as_json()
    assert found["map"] == {
        "items": 1, "task_seconds": 4.0, "rows": 1234, "bytes_read": 600_000, "bytes_written": 70,
        "megabytes_per_task_second": 0.1, "rows_per_task_second": 308.5,
    }  # fmt: skip
    # 4 s of 1,024 MB.
    assert found["map_usd"] == pytest.approx(4 * 0.0000166667 * 1.01, abs=1e-6)
    assert (found["billed"], found["estimate_missing"]) == (None, None)


def test_the_draw_and_what_emr_billed(files: RunFiles) -> None:
    SampleSummary(
        run_id="tiny", rows=(), negatives=0, candidates=9, duplicate_targetids=0, row_groups_read=2,
        row_groups_total=5, seconds={"read": 1.5, "draw": 2.25},
    ).write(files.sample_summary)  # fmt: skip
    # Step Functions' integration names it so; another API begins with a small letter.
    used = {"VCPUHour": 0.5, "memoryGBHour": 2, "StorageGBHour": 0}
    JobRun.of_emr({"BilledResourceUtilization": used}).write(files.job)
    found = run_cost(load_run(files.root)).as_json()
    assert found["draw"] == {
        "seconds": 3.75, "steps": {"read": 1.5, "draw": 2.25}, "candidates": 9, "row_groups_read": 2,
        "row_groups_total": 5,
    }  # fmt: skip
    assert found["billed"] == {"vcpu_hours": 0.5, "memory_gb_hours": 2.0, "storage_gb_hours": 0.0}
    JobRun.of_emr({"Name": "draw"}).write(files.job)
    assert run_cost(load_run(files.root)).billed is None


def test_the_estimate_is_the_models_for_the_same_files(files: RunFiles) -> None:
    run = load_run(files.root)
    found = run_cost(run).as_json()["estimate"]
    planned = whole_files((), listing=Listing("", run.record.sweeps), config=run.config, positives=3)
    planned = replace(planned, memory=1024)
    result = estimate(planned)
    assert (found["concurrency"], found["memory_mb"]) == (1000, 1024)
    assert found["prices"] == planned.prices.date.isoformat()
    assert found["usd"] == pytest.approx(result.usd, abs=1e-4)
    assert found["seconds"] == pytest.approx(result.seconds, abs=0.1)
    assert found["map_usd"] == pytest.approx(result.part("Map: Lambda").usd, abs=1e-6)
    assert found["map_task_seconds"] == pytest.approx(result.map_billed_seconds, abs=0.1)
    assert [part["name"] for part in found["parts"]] == [part.name for part in result.parts]
    assert sum(part["usd"] for part in found["parts"]) == pytest.approx(result.usd, abs=2e-5)
    assert result.usd != estimate(replace(planned, positives=30_000)).usd


def test_without_rates_there_is_a_reason_in_place_of_an_estimate(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise InputError("1 fault", where="rates.yaml")

    monkeypatch.setattr(module, "load_rates", fail)
    found = run_cost(load_run(files.root)).as_json()
    assert (found["estimate"], found["map_usd"]) == (None, None)
    assert found["estimate_missing"] == "rates.yaml: 1 fault"
    assert found["map"]["rows"] == 1234
