"""What a run took, beside what the model of ``cost.py`` says of a run like it on AWS: cost.json."""

from __future__ import annotations

import json
from typing import Any, Final

from lensneg import cost, storage
from lensneg.errors import InputError
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run
from lensneg.schema.run_cost import Billed, DrawCost, RunCost
from lensneg.schema.sample_summary import JobRun, read_sample_summary

#: The options of ``lensneg cost``, by default: map items at a time, and MB of the FilterSweep function.
_CONCURRENCY: Final = 1000

_MEMORY_MB: Final = 1769


def run_cost(run: Run) -> RunCost:
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
    fan_out = FanOutSummary.read(run.files.summary).as_json()
    estimate, reason = _estimate(run, fan_out["positives"]["sources"])
    seconds = fan_out["task_seconds"]
    return RunCost.model_validate(
        {
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
    )


def _rate(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 1) if seconds else None


def _draw(files: RunFiles) -> DrawCost | None:
    summary = read_sample_summary(files)
    if summary is None:
        return None
    return DrawCost(
        seconds=round(sum(summary.seconds.values()), 3),
        steps=summary.seconds,
        candidates=summary.candidates,
        row_groups_read=summary.row_groups_read,
        row_groups_total=summary.row_groups_total,
    )


def _billed(files: RunFiles) -> Billed | None:
    """Return what EMR Serverless billed, if job.json says so."""
    job = JobRun.read_if_there(files.job)
    if job is None or job.vcpu_hours is None:
        return None
    return Billed(
        vcpu_hours=job.vcpu_hours, memory_gb_hours=job.memory_gb_hours, storage_gb_hours=job.storage_gb_hours
    )


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
