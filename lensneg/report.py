"""The report of a run: validation.json and cost.json for machines, report.html for people."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment

from lensneg import storage
from lensneg.gates import GATE_NAMES
from lensneg.run import Run, RunFiles, load_run


def write_report(root: str) -> dict[str, Any]:
    """Write a finished run's report.

    Parameters
    ----------
    root : str
        The run's folder.

    Returns
    -------
    dict
        ``uri`` of report.html.
    """
    run = load_run(root)
    validation = summarize(run)
    cost = measure(run.files)
    storage.write_json(run.files.validation, validation)
    storage.write_json(run.files.cost, cost)
    page = _template().render(validation=validation, cost=cost)
    storage.write_bytes(run.files.report, page.encode())
    return {"uri": run.files.report}


def summarize(run: Run) -> dict[str, Any]:
    """Return a run's verdicts and counts, as they stand in validation.json."""
    gates = read_gates(run.files)
    record = run.record
    return {
        "run_id": record.run_id,
        "mode": record.mode,
        "started_at": record.started_at,
        "passed": len(gates) == len(GATE_NAMES) and all(gate["passed"] for gate in gates),
        "gates": gates,
        "fan_out": storage.read_json(run.files.summary),
        "strata": strata_table(run.files),
        "config": {
            "name": run.config.name,
            "version": run.config.version,
            "sha256": record.config.sha256,
        },
        "code": record.code.model_dump(),
        "inputs": {
            "sweeps": len(record.sweeps),
            "sweep_bytes": sum(sweep.size for sweep in record.sweeps),
            "catalogs": [
                {"uri": c.spec.uri, "role": c.role, "sha256": c.sha256, "positions": c.positions}
                for c in record.catalogs
            ],
        },
    }


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
    try:
        summary = storage.read_json(files.sample_summary)
    except FileNotFoundError:
        summary = {"rows": []}
    drawn = {(r["nobs_z_bin"], r["type_bin"], r["pool"]): r["rows"] for r in summary["rows"]}
    return [
        {
            "nobs_z_bin": stratum["nobs_z_bin"],
            "type_bin": stratum["type_bin"],
            "positives": stratum["positives"],
            "target": stratum["target"],
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


def measure(files: RunFiles) -> dict[str, Any]:
    """Return what a run took, as it stands in cost.json."""
    fan_out = storage.read_json(files.summary)
    sample = storage.read_json(files.sample_summary)
    seconds = fan_out["task_seconds"]
    return {
        "map": {
            "items": fan_out["items_done"],
            "task_seconds": seconds,
            "bytes_read": fan_out["bytes_read"],
            "bytes_written": fan_out["bytes_written"],
            "megabytes_per_task_second": round(fan_out["bytes_read"] / 1e6 / seconds, 1) if seconds else None,
        },
        "draw": {"seconds": sample["seconds"], "candidates": sample["candidates"]},
    }


@lru_cache(maxsize=1)
def _template() -> Any:
    source = package_files("lensneg").joinpath("report.html.j2").read_text()
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment.from_string(source)
