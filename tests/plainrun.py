"""A run made stage by stage in this process, without state machine or Spark: quick, and open to tampering."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pipeline import as_input, files_of

from lensneg.schema.columns import WRITTEN_SCHEMA
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
    manifest, pool = quotas["manifest"], []
    for name in quotas["pool_files"]:
        pool += pq.read_table(root / "pool" / name).to_pylist()
    pool.sort(key=lambda row: [row[name] for name in ("sampling_priority", "sweep_file", "row_index")])
    first = {row["sampling_priority"]: row for row in reversed(pool)}
    drawn, rows = [], []
    for stratum in quotas["strata"]:
        of_stratum = [
            row
            for _, row in sorted(first.items())
            if (row["nobs_z_bin"], row["type_bin"]) == (stratum["nobs_z_bin"], stratum["type_bin"])
        ]
        found = []
        for draw in stratum["draws"]:
            taken = [
                row for row in of_stratum if is_in_ranges(row, draw, stratum["edges"], quotas["matched"])
            ]
            taken = [dict(row) for row in taken[: draw["quota"]]]
            for row in taken:
                row.update(
                    manifest["run"],
                    pool=draw["pool"],
                    draw=draw["draw"],
                    galaxy_id=f"{row['brickname']}_{row['objid']}",
                    object_id=f"{row['brickname']}-{row['objid']}",
                    split=split_plainly(row["healpix_128"], manifest),
                    fold=fold_plainly(row["healpix_128"], manifest),
                    sampling_weight=draw["available"] / draw["quota"],
                    extraction_timestamp=datetime.fromisoformat(manifest["run"]["extraction_timestamp"]),
                )
            drawn.append(
                {
                    "nobs_z_bin": stratum["nobs_z_bin"],
                    "type_bin": stratum["type_bin"],
                    "draw": draw["draw"],
                    "rows": len(taken),
                    "splits": Counter(row["split"] for row in taken),
                    "last_priority": taken[-1]["sampling_priority"],
                }
            )
            found += taken
        rows += sorted(found, key=lambda row: (row["pool"], row["sampling_priority"]))
    parts, half = [], max(1, -(-len(rows) // 2))
    (root / "draw" / "negatives").mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(rows), half)):
        some = rows[start : start + half]
        parts.append({"name": f"negatives/part-{number:05d}.parquet", "rows": len(some)})
        pq.write_table(pa.Table.from_pylist(some, WRITTEN_SCHEMA), root / "draw" / parts[-1]["name"])
    summary = {
        "run_id": quotas["run_id"],
        "rows": drawn,
        "negatives": len(rows),
        "candidates": len(pool),
        "duplicate_targetids": 0,
        "parts": parts,
        "seconds": {},
    }
    (root / "draw" / "summary.json").write_text(json.dumps(summary))


def is_in_ranges(row: dict[str, Any], draw: dict[str, Any], edges: list[Any], matched: list[str]) -> bool:
    """Whether a row is where a draw takes its rows. One that is not exact takes any priority."""
    cell = 0
    for name, ends in zip(matched, edges, strict=True):
        value = row[name]
        cell = cell * (len(ends) + 1) + (len(ends) if value is None else sum(value > end for end in ends))
    return any(
        row["pool"] in entry["classes"]
        and (not entry["categories"] or row["confuser_category"] in entry["categories"])
        and entry["cell"] in (None, cell)
        and (not draw["is_exact"] or entry["lowest"] <= row["sampling_priority"] <= entry["highest"])
        for entry in draw["ranges"]
    )


def fold_plainly(pixel: int, manifest: dict[str, Any]) -> int | None:
    """The fold of a pixel, by the rule in docs/science.md."""
    if manifest["folds"] is None or split_plainly(pixel, manifest) == "test":
        return None
    digest = hashlib.sha256(f"{pixel}_{manifest['split_seed']}_fold".encode()).digest()
    return int(int.from_bytes(digest[:4]) / 2**32 * manifest["folds"])


def split_plainly(pixel: int, manifest: dict[str, Any]) -> str:
    """The split of a pixel, by the rule in docs/science.md."""
    digest = hashlib.sha256(f"{pixel}_{manifest['split_seed']}".encode()).digest()
    u = int.from_bytes(digest[:4]) / 2**32
    return str(manifest["splits"][sum(u >= edge for edge in manifest["split_edges"])])
