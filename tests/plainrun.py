"""A run made stage by stage in this process, without state machine or Spark: quick, and open to tampering."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pipeline import as_input, files_of

from lensneg.fanin import summarize_fan_out
from lensneg.fanout import filter_item
from lensneg.manifest import WRITTEN_SCHEMA
from lensneg.plan import plan_fan_out
from lensneg.preflight import preflight
from lensneg.run import Item, RunFiles, RunRequest, load_run
from lensneg.sky import split_of_pixel


def run_map(request: RunRequest) -> RunFiles:
    """Gate 1, the plan and the map of a run."""
    files = files_of(request)
    verdict = preflight(as_input(request))["gate"]
    assert verdict["passed"], verdict["cause"]
    plan_fan_out(files.root)
    run = load_run(files.root)
    for item in json.loads(Path(files.items).read_text()):
        filter_item(run, Item.model_validate(item))
    return files


def run_to_sample(request: RunRequest) -> RunFiles:
    """A run up to its sample."""
    files = run_map(request)
    verdict = summarize_fan_out(files.root)["gate"]
    assert verdict["passed"], verdict["cause"]
    draw_plainly(Path(files.root))
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
    """The job's work by pyarrow, from its input files: enough for a run of a few hundred rows."""
    run = load_run(str(root))
    quotas = json.loads((root / "quotas.json").read_text())
    pool = pa.concat_tables([pq.read_table(root / "pool" / name) for name in quotas["pool_files"]])
    parts, rows = [], []
    for stratum in quotas["strata"]:
        for entry in stratum["pools"]:
            key = (stratum["nobs_z_bin"], stratum["type_bin"], entry["pool"])
            member = pc.and_(
                pc.and_(pc.equal(pool["nobs_z_bin"], key[0]), pc.equal(pool["type_bin"], key[1])),
                pc.equal(pool["pool"], key[2]),
            )
            drawn = pool.filter(member).sort_by("sampling_priority").slice(0, entry["quota"])
            if len(drawn):
                weight = pa.array([entry["available"] / entry["quota"]] * len(drawn))
                parts.append(drawn.append_column("sampling_weight", weight))
                names = ("nobs_z_bin", "type_bin", "pool")
                rows.append({**dict(zip(names, key, strict=True)), "rows": len(drawn)})
    positives = pq.read_table(root / "matched_positives.parquet")
    positives = positives.append_column("sampling_weight", pa.array([1.0] * len(positives)))
    for name, table in (("negatives", pa.concat_tables(parts)), ("positives", positives)):
        columns = {column: table[column] for column in table.column_names}
        ids = zip(table["brickname"].to_pylist(), table["objid"].to_pylist(), strict=True)
        columns["galaxy_id"] = pa.array([f"{brick}_{objid}" for brick, objid in ids])
        columns["split"] = pa.array(split_of_pixel(table["healpix_128"].to_numpy(), run.config.split))
        for column, value in quotas["run_columns"].items():
            columns[column] = pa.array([value] * len(table)).cast(WRITTEN_SCHEMA.field(column).type)
        folder = root / "sample" / name
        folder.mkdir(parents=True, exist_ok=True)
        out = pa.table({column: columns[column] for column in quotas["columns"]})
        pq.write_table(out.cast(WRITTEN_SCHEMA), folder / "part-0.parquet")
    summary = {
        "run_id": quotas["run_id"],
        "rows": rows,
        "negatives": sum(map(len, parts)),
        "positives": len(positives),
        "candidates": sum(map(len, parts)),
        "duplicate_targetids": 0,
        "seconds": {},
    }
    (root / "sample" / "summary.json").write_text(json.dumps(summary))
