"""A run made stage by stage in this process, without state machine or Spark: quick, and open to tampering."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pipeline import as_input, files_of

from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import load_run
from lensneg.stages.check_sample.gate3 import check_sample
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.stages.plan_fan_out import plan_fan_out
from lensneg.stages.preflight.gate1 import preflight
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out


def run_map(request: RunRequest) -> RunFiles:
    """Gate 1, the plan and the map of a run."""
    files = files_of(request)
    verdict = preflight(as_input(request)).gate
    assert verdict.passed, verdict.cause
    plan_fan_out(files.root)
    run = load_run(files.root)
    for item in json.loads(Path(files.items).read_text()):
        filter_item(run, Item.model_validate(item))
    return files


def run_to_sample(request: RunRequest) -> RunFiles:
    """A run up to its sample."""
    files = run_map(request)
    verdict = summarize_fan_out(files.root).gate
    assert verdict.passed, verdict.cause
    draw_plainly(Path(files.root))
    verdict = check_sample(files.root).gate
    assert verdict.passed, verdict.cause
    return files


def edit_json(path: str | Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place; ``change`` may alter its argument, or return another value."""
    value = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps(change(value) or value))


def failing(record: dict[str, Any] | str | Path) -> set[str]:
    """The names of a gate's failed checks, warnings included."""
    if not isinstance(record, dict):
        record = json.loads(Path(record).read_text())
    return {check["name"] for check in record["checks"] if not check["passed"]}


def draw_plainly(root: Path) -> None:
    """The job's work by sorting, from its input files: enough for a run of a few hundred rows."""
    quotas = json.loads((root / "quotas.json").read_text())
    names = ["nobs_z_bin", "type_bin", "pool", "sampling_priority"]
    priorities = defaultdict(list)
    for name in quotas["pool_files"]:
        for row in pq.read_table(root / "pool" / name, columns=names).to_pylist():
            priorities[row["nobs_z_bin"], row["type_bin"], row["pool"]].append(row["sampling_priority"])
    rows = []
    for stratum in quotas["strata"]:
        for entry in stratum["pools"]:
            key = (stratum["nobs_z_bin"], stratum["type_bin"], entry["pool"])
            drawn = sorted(set(priorities[key]))[: entry["quota"]]
            if drawn:
                rows.append(
                    {**dict(zip(names, key, strict=False)), "rows": len(drawn), "last_priority": drawn[-1]}
                )
    summary = {
        "run_id": quotas["run_id"],
        "rows": rows,
        "negatives": sum(row["rows"] for row in rows),
        "candidates": sum(map(len, priorities.values())),
        "duplicate_targetids": 0,
        "seconds": {},
    }
    (root / "draw").mkdir(exist_ok=True)
    (root / "draw" / "summary.json").write_text(json.dumps(summary))
