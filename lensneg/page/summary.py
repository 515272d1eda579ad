"""A run's verdicts and numbers, as they stand in validation.json."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.page import comparison
from lensneg.schema.config import CONFUSER_CATEGORIES, SPLIT_ORDER
from lensneg.schema.gate import GATE_NAMES
from lensneg.schema.layout import RunFiles
from lensneg.schema.rerun_command import run_command
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import read_sample_summary
from lensneg.schema.validation import SCHEMA_VERSION, ValidationRecord

#: The columns that the figures are drawn from: a tenth of a manifest's bytes.
_COLUMNS: Final = (
    "ra",
    "dec",
    "pool",
    "confuser_category",
    "split",
    "healpix_64",
    "healpix_128",
    *comparison.NEEDED,
)


def read_rows(files: RunFiles) -> pa.Table | None:
    """Read the columns that the figures need, of the published manifest, or of what the draw wrote.

    Returns
    -------
    pyarrow.Table or None
        Negatives, then positives; None where there are none, or none that can be read.
    """
    parts = []
    for part in ("negatives", "positives"):
        published = storage.join(files.manifest_folder, part)
        folder = published if storage.exists(files.manifest) else storage.join(files.sample_folder, part)
        try:
            uris = [info.uri for info in storage.list_files(folder) if info.uri.endswith(".parquet")]
            parts += [
                pq.ParquetFile(pa.BufferReader(storage.read_bytes(uri))).read(columns=list(_COLUMNS))
                for uri in uris
            ]
        except (OSError, pa.ArrowException):
            return None
    try:
        table = pa.concat_tables(parts).combine_chunks()
    except pa.ArrowException:
        return None
    return table if len(table) and set(_COLUMNS) <= set(table.column_names) else None


def summarize(run: Run, rows: pa.Table | None, samples: comparison.Samples) -> dict[str, Any]:
    """Return a run's verdicts and numbers, as they stand in validation.json."""
    gates = read_gates(run.files)
    record = run.record
    fan_out = _read_if_there(run.files.summary)
    sweeps = [f"{storage.basename(s.uri)} {s.size} {s.etag}\n" for s in record.sweeps]
    positives = int(pc.sum(pc.equal(rows["pool"], "positive")).as_py()) if rows is not None else 0
    validation = {
        "schema_version": SCHEMA_VERSION,
        "run_id": record.run_id,
        "mode": record.mode,
        "started_at": record.started_at,
        "passed": len(gates) == len(GATE_NAMES) and all(gate["passed"] for gate in gates),
        "gates": gates,
        "rows": {"negatives": len(rows) - positives, "positives": positives} if rows is not None else None,
        "splits": _splits(run, rows) if rows is not None else [],
        "strata": strata_table(run.files) if storage.exists(run.files.quotas) else [],
        "confusers": _confusers(fan_out, rows) if fan_out else [],
        "quantities": comparison.compare(samples) if rows is not None else [],
        "fan_out": fan_out,
        "config": {
            "name": run.config.name,
            "version": run.config.version,
            "sha256": record.config.sha256,
        },
        "code": record.code.model_dump(),
        "inputs": {
            "sweeps": len(record.sweeps),
            "sweep_rows": sum(sweep.rows for sweep in record.sweeps),
            "sweep_bytes": sum(sweep.size for sweep in record.sweeps),
            "sweeps_sha256": hashlib.sha256("".join(sweeps).encode()).hexdigest(),
            "catalogs": [
                {"uri": c.spec.uri, "role": c.role, "sha256": c.sha256, "positions": c.positions}
                for c in record.catalogs
            ],
        },
        "reproduce": reproduce(run),
    }
    # What is published keeps to its schema, or is not written.
    return ValidationRecord.model_validate(validation).model_dump(mode="json")


def _read_if_there(uri: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = storage.read_json(uri)
    except FileNotFoundError:
        return None
    return found


def read_gates(files: RunFiles) -> list[dict[str, Any]]:
    """Return the gates that a run has reached, in order."""
    gates = []
    for number in GATE_NAMES:
        try:
            gates.append(storage.read_json(files.gate(number)))
        except FileNotFoundError:
            break
    return gates


def strata_table(files: RunFiles) -> list[dict[str, Any]]:
    """Return, for each stratum, its positives, target, rows drawn from each pool, and shortfall."""
    quotas = storage.read_json(files.quotas)
    summary = read_sample_summary(files) or {"rows": []}
    drawn = {(r["nobs_z_bin"], r["type_bin"], r["pool"]): r["rows"] for r in summary["rows"]}
    return [
        {
            "nobs_z_bin": stratum["nobs_z_bin"],
            "type_bin": stratum["type_bin"],
            "positives": stratum["positives"],
            "target": stratum["target"],
            "drawn": sum(
                drawn.get((stratum["nobs_z_bin"], stratum["type_bin"], pool["pool"]), 0)
                for pool in stratum["pools"]
            ),
            "shortfall": stratum["shortfall"],
            "pools": [
                {
                    "pool": pool["pool"],
                    "available": pool["available"],
                    "backfill": pool["backfill"],
                    "drawn": drawn.get((stratum["nobs_z_bin"], stratum["type_bin"], pool["pool"]), 0),
                }
                for pool in stratum["pools"]
            ],
        }
        for stratum in quotas["strata"]
    ]


def _splits(run: Run, rows: pa.Table) -> list[dict[str, Any]]:
    split = rows["split"].to_numpy(zero_copy_only=False)
    positive = rows["pool"].to_numpy(zero_copy_only=False) == "positive"
    pixels = rows["healpix_128"].to_numpy()
    found = []
    for name in SPLIT_ORDER:
        here = split == name
        found.append(
            {
                "split": name,
                "expected": getattr(run.config.split.fractions, name),
                "fraction": round(float(here.mean()), 6),
                "negatives": int((here & ~positive).sum()),
                "positives": int((here & positive).sum()),
                "pixels": len(np.unique(pixels[here])),
            }
        )
    return found


def _confusers(fan_out: dict[str, Any], rows: pa.Table | None) -> list[dict[str, Any]]:
    drawn: Counter[str] = Counter()
    if rows is not None:
        counts = rows["confuser_category"].value_counts().to_pylist()
        drawn.update({entry["values"]: entry["counts"] for entry in counts if entry["values"]})
    return [
        {"category": name, "pool": fan_out["confusers"].get(name, 0), "drawn": drawn[name]}
        for name in CONFUSER_CATEGORIES
    ]


def reproduce(run: Run) -> list[str]:
    """Return the commands that make a run again: the same rows, under another run id."""
    record = run.record
    commit = record.code.git_commit
    given = record.catalogs
    command = run_command(
        config=record.config.uri,
        sweeps=storage.common_folder([sweep.uri for sweep in record.sweeps]),
        positives=[c.spec for c in given if c.role == "positives"],
        exclude=[c.spec for c in given if c.role == "exclude"],
        out=record.out,
        mode="test" if record.mode == "test" else "test-then-full",
    )
    known = commit != "unknown" and not commit.endswith("-dirty")
    return [f"git checkout {commit}", command] if known else [command]
