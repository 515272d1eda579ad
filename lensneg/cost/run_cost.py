"""What a run took, beside what the model says of the same files on AWS: cost.json."""

from __future__ import annotations

from typing import Any

from lensneg import storage
from lensneg.cost.graph import load_graph
from lensneg.cost.listing import Listing
from lensneg.cost.model import estimate
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.prices import load_prices
from lensneg.cost.rates import load_rates
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import read_sample_summary


def run_cost(run: Run) -> dict[str, Any]:
    """Return cost.json.

    Parameters
    ----------
    run : Run

    Returns
    -------
    dict
        ``map`` and ``draw``: what was measured, ``draw`` null where the run did not get so far. ``estimate``:
        the model's seconds and dollars for the same files on AWS, null with a reason where it has no rates.
        ``billed``: what EMR Serverless billed, null on one machine. ``map_usd``: the measured seconds of the
        map at the model's memory and price.
    """
    fan_out = storage.read_json(run.files.summary)
    seconds = fan_out["task_seconds"]
    model, missing = None, None
    try:
        model = _estimate(run, max(1, fan_out["positives"]["sources"]))
    except (InputError, OSError) as error:
        missing = str(error)
    return {
        "map": {
            "items": fan_out["items_done"],
            "task_seconds": seconds,
            "rows": fan_out["rows_in"],
            "bytes_read": fan_out["bytes_read"],
            "bytes_written": fan_out["bytes_written"],
            "megabytes_per_task_second": _rate(fan_out["bytes_read"] / 1e6, seconds),
            "rows_per_task_second": _rate(fan_out["rows_in"], seconds),
        },
        "draw": _draw(run.files),
        "billed": _billed(run.files),
        "estimate": model,
        "estimate_missing": missing,
        "map_usd": round(seconds * model["lambda_usd_per_second"], 6) if model else None,
    }


def _rate(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 1) if seconds else None


def _draw(files: RunFiles) -> dict[str, Any] | None:
    summary = read_sample_summary(files)
    if summary is None:
        return None
    steps = summary.get("seconds", {})
    found = {name: summary.get(name) for name in ("candidates", "row_groups_read", "row_groups_total")}
    return {"seconds": round(sum(steps.values()), 3), "steps": steps, **found}


def _billed(files: RunFiles) -> dict[str, float] | None:
    """Return what EMR Serverless billed, if job.json says so: its names differ in case between APIs."""
    job = storage.read_json(files.job) if storage.exists(files.job) else {}
    used = {k.lower(): v for k, v in (job.get("BilledResourceUtilization") or {}).items()}
    names = {"vcpu_hours": "vcpuhour", "memory_gb_hours": "memorygbhour", "storage_gb_hours": "storagegbhour"}
    return {name: float(used[key]) for name, key in names.items() if key in used} or None


def _estimate(run: Run, positives: int) -> dict[str, Any]:
    prices, listing = load_prices(), Listing(run.record.run_id, run.record.sweeps)
    planned = PlannedRun(listing, run.config, positives, load_rates().rates, prices, load_graph())
    result = estimate(planned)
    parts = [{"name": p.name, "usd": round(p.usd, 6), "seconds": round(p.seconds, 2)} for p in result.parts]
    map_usd = result.part("Map: Lambda").usd
    return {
        "concurrency": planned.concurrency,
        "memory_mb": planned.memory,
        "prices": prices.date.isoformat(),
        "seconds": round(result.seconds, 1),
        "usd": round(result.usd, 4),
        "map_task_seconds": round(result.map_billed_seconds, 1),
        "map_usd": round(map_usd, 6),
        "lambda_usd_per_second": map_usd / result.map_billed_seconds,
        "parts": parts,
    }
