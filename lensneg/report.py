"""The report of a run: validation.json and cost.json for machines, report.html for people.

Everything is drawn from the manifest's own columns and the run's small files, so that a report can be made
again at any time, and of a run that failed as well: what it has not reached is left out.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from functools import lru_cache
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import comparison, storage
from lensneg.commandline import run_command
from lensneg.config import CONFUSER_CATEGORIES, SPLIT_ORDER
from lensneg.datamodel import Cell, sweep_cell
from lensneg.gates import GATE_NAMES
from lensneg.results import SCHEMA_VERSION, ValidationRecord
from lensneg.run import Run, RunFiles, load_run, read_sample_summary

if TYPE_CHECKING:
    from jinja2 import Template

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


def write_report(root: str) -> dict[str, Any]:
    """Write a run's report.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Returns
    -------
    dict
        ``uri`` of report.html.

    Raises
    ------
    RunStateError
        If the run was never planned.
    """
    from lensneg.bill import make_bill

    run = load_run(root)
    rows = read_rows(run.files)
    samples = comparison.samples_of(rows) if rows is not None else {}
    validation = summarize(run, rows, samples)
    cost = make_bill(run) if validation["fan_out"] else None
    storage.write_json(run.files.validation, validation)
    if cost is not None:
        storage.write_json(run.files.cost, cost)
    page = _template().render(
        validation=validation,
        cost=cost,
        figures=_figures(run, rows, samples),
        config_text=run.record.config.text,
        sweeps=[
            {"name": storage.basename(s.uri), "size": s.size, "etag": s.etag, "rows": s.rows}
            for s in run.record.sweeps
        ],
        published=storage.exists(run.files.manifest) and run.files.manifest,
        quarantined=storage.exists(run.files.quarantine),
    )
    storage.write_bytes(run.files.report, page.encode())
    return {"uri": run.files.report}


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


def _figures(run: Run, rows: pa.Table | None, samples: comparison.Samples) -> dict[str, Any]:
    """Draw what there is to draw."""
    from lensneg import figures  # matplotlib takes a while, and no other task of a run needs it

    found: dict[str, Any] = {}
    pool = _pool_by_cell(run)
    if pool:
        found["pool"] = figures.density_map(
            "pool", figures.cells_image(pool), "pool: sources per square degree"
        )
    if rows is None:
        return found
    ra, dec = rows["ra"].to_numpy(), rows["dec"].to_numpy()
    positive = np.asarray(pc.equal(rows["pool"], "positive"))
    split = np.asarray(pc.fill_null(pc.index_in(rows["split"], pa.array(SPLIT_ORDER)), 0)).astype(np.int64)
    on_sky = np.flatnonzero(~positive)
    found["sample"] = figures.density_map(
        "sample",
        figures.pixels_image(rows["healpix_64"].to_numpy()[on_sky]),
        "sample: negatives per square degree",
    )
    found["splits"] = figures.split_map("splits", rows["healpix_128"].to_numpy(), split)
    found["field"] = figures.field_map("field", ra, dec, split, positive)
    found["histograms"] = figures.histograms(samples)
    return found


def _pool_by_cell(run: Run) -> dict[Cell, float]:
    """Return the rows of the pool in each cell of the sweeps, from the stats of the map's items."""
    try:
        listed = storage.list_files(run.files.stats_folder)
    except FileNotFoundError:
        return {}
    found: Counter[Cell] = Counter()
    for info in listed:
        stats = storage.read_json(info.uri)
        cell = sweep_cell(storage.basename(stats["item"]["sweep"]))
        if cell is not None:
            found[cell] += stats["rows_kept"]
    return {cell: float(rows) for cell, rows in found.items()}


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment

    source = package_files("lensneg").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["thousands"] = lambda value: f"{value:,}"
    environment.filters["short"] = _short
    environment.filters["log_share"] = _log_share
    return environment.from_string(source)


def _short(value: float) -> str:
    """Return a number as it fits into a tile: 47.2 k, 2.02 G."""
    for limit, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= limit:
            return f"{value / (1e3 if limit == 1e4 else limit):.3g}{letter}"
    return f"{value:,}"


def _log_share(value: float, whole: float) -> float:
    """Return how long a bar on a logarithmic scale from 1 to ``whole`` is, in percent."""
    return round(100 * math.log10(max(value, 1)) / math.log10(max(whole, 10)), 2)
