"""What a run took, beside what the model of ``cost.py`` says of a run like it on AWS: cost.json."""

from __future__ import annotations

import json
from typing import Any, Final

from lensneg import cost, storage
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import read_sample_summary

#: The options of ``lensneg cost``, by default: map items at a time, and MB of the FilterSweep function.
_CONCURRENCY: Final = 1000

_MEMORY_MB: Final = 1769


def make_bill(run: Run) -> dict[str, Any]:
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
    estimate, reason = _estimate(run, fan_out["positives"]["sources"])
    seconds = fan_out["task_seconds"]
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
        "estimate": estimate,
        "estimate_missing": reason,
        "map_usd": round(seconds * estimate["lambda_usd_per_second"], 6) if estimate else None,
    }


def _rate(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 1) if seconds else None


def _draw(files: RunFiles) -> dict[str, Any] | None:
    summary = read_sample_summary(files)
    if summary is None:
        return None
    steps = summary.get("seconds", {})
    return {
        "seconds": round(sum(steps.values()), 3),
        "steps": steps,
        "candidates": summary.get("candidates"),
        "row_groups_read": summary.get("row_groups_read"),
        "row_groups_total": summary.get("row_groups_total"),
    }


def _billed(files: RunFiles) -> dict[str, float] | None:
    """Return what EMR Serverless billed, if job.json says so: its names differ in case between APIs."""
    try:
        job = storage.read_json(files.job)
    except FileNotFoundError:
        return None
    used = {k.lower(): v for k, v in (job.get("BilledResourceUtilization") or {}).items()}
    names = {"vcpu_hours": "vcpuhour", "memory_gb_hours": "memorygbhour", "storage_gb_hours": "storagegbhour"}
    found = {name: float(used[key]) for name, key in names.items() if key in used}
    return found or None


def _estimate(run: Run, positives: int) -> tuple[dict[str, Any] | None, str | None]:
    try:
        rates, prices = cost.load_rates(cost.RATES_FILE), cost.load_prices(cost.PRICES_FILE)
        graph = cost.read_graph(json.loads(storage.read_bytes(cost.GRAPH_FILE)))
    except (InputError, OSError) as error:
        return None, str(error)
    options = cost.Options.of_config(
        run.config, concurrency=_CONCURRENCY, memory=_MEMORY_MB, positives=max(1, positives)
    )
    work = cost.workload(run.record.sweeps, run.config.execution)
    result = cost.estimate(work, options, cost.Model(rates.rates, prices, graph))
    map_usd = result.part("Map: Lambda").usd
    return {
        "concurrency": _CONCURRENCY,
        "memory_mb": _MEMORY_MB,
        "prices": prices.date.isoformat(),
        "seconds": round(result.seconds, 1),
        "usd": round(result.usd, 4),
        "map_task_seconds": round(result.map_billed_seconds, 1),
        "map_usd": round(map_usd, 6),
        "lambda_usd_per_second": map_usd / result.map_billed_seconds if result.map_billed_seconds else 0.0,
        "parts": [
            {"name": part.name, "usd": round(part.usd, 6), "seconds": round(part.seconds, 2)}
            for part in result.parts
        ],
    }, None
