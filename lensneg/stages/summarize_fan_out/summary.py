"""The fan-in: what the map found, added up; the positives; the quotas; gate 2."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from lensneg import storage
from lensneg.rules.quotas import compute_quotas
from lensneg.rules.strata import Stratum
from lensneg.schema.fan_out import PositiveCounts
from lensneg.schema.gate import Gate
from lensneg.schema.item import Item, ItemStats
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import Run, load_run
from lensneg.schema.tables import write_table
from lensneg.stages.summarize_fan_out.checks import gate_checks
from lensneg.stages.summarize_fan_out.positives import match_positives
from lensneg.stages.summarize_fan_out.results import FanOut, add_up


def summarize_fan_out(root: str, map_error: dict[str, str] | None = None) -> dict[str, Any]:
    """Add up what the map found, match the positives, compute the quotas, and judge: gate 2.

    Parameters
    ----------
    root : str
    map_error : dict, optional
        ``Error`` and ``Cause`` with which the Map state itself ended.

    Returns
    -------
    dict
        The ``gate``'s verdict.
    """
    run = load_run(root)
    items = [Item.model_validate(entry) for entry in storage.read_json(run.files.items)]
    fan_out = add_up(run, items)
    matches, positives, counts = match_positives(run, fan_out.stats)
    in_strata: Counter[Stratum] = Counter(
        Stratum(row["nobs_z_bin"], row["type_bin"])
        for row in positives.select(["nobs_z_bin", "type_bin"]).to_pylist()
    )
    quotas = compute_quotas(in_strata, fan_out.available, run.config)
    write_table(run.files.matches, matches)
    write_table(run.files.matched_positives, positives)
    storage.write_json(run.files.summary, _summary(items, fan_out, counts))
    storage.write_json(run.files.quotas, _quotas_json(run, fan_out.stats, quotas))
    gate = Gate.of(2, gate_checks(run, items, fan_out, counts, quotas, map_error))
    return {"gate": gate.write(run.files.gate(2))}


def _summary(items: list[Item], fan_out: FanOut, positives: PositiveCounts) -> dict[str, Any]:
    """Return fan_out.json: the map's numbers for the report."""
    return {
        "items": len(items),
        "items_done": len(fan_out.stats),
        "missing": fan_out.missing,
        "rows_in": fan_out.rows_in,
        "rows_kept": fan_out.rows_kept,
        "cut": fan_out.cut,
        "n2_fraction": fan_out.n2_fraction,
        "confusers": fan_out.confusers,
        "positives": asdict(positives),
        "bytes_read": sum(s.bytes_read for s in fan_out.stats),
        "bytes_written": sum(s.pool_bytes + s.positives_bytes for s in fan_out.stats),
        "task_seconds": round(sum(s.seconds for s in fan_out.stats), 3),
    }


def _quotas_json(run: Run, stats: list[ItemStats], quotas: list[StratumQuota]) -> dict[str, Any]:
    """Return quotas.json: all that the draw needs to know beside the pool itself."""
    return {
        "run_id": run.record.run_id,
        "pool_files": [storage.basename(run.files.pool(entry.item.id)) for entry in stats],
        "row_groups": {
            storage.basename(run.files.pool(entry.item.id)): [
                [g.rows, g.priority_min] for g in entry.row_groups
            ]
            for entry in stats
        },
        "strata": [asdict(quota) for quota in quotas],
    }
