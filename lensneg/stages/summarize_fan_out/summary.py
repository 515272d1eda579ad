"""SummarizeFanOut: what the map found, added up; the positives; the quotas; gate 2."""

import logging
from collections import Counter

from lensneg import storage
from lensneg.rules.quotas import compute_quotas
from lensneg.rules.strata import Stratum
from lensneg.schema.fan_out import FanOutSummary, PositiveCounts
from lensneg.schema.gate import Gate, Judged
from lensneg.schema.item import read_items
from lensneg.schema.quotas import Quotas, StratumQuota
from lensneg.schema.run import Run, load_run
from lensneg.schema.states import StateError
from lensneg.schema.tables import write_table
from lensneg.stages.summarize_fan_out.checks import Findings, gate_checks
from lensneg.stages.summarize_fan_out.positives import match_positives
from lensneg.stages.summarize_fan_out.results import FanOut, add_up

_log = logging.getLogger(__name__)


def summarize_fan_out(root: str, map_error: StateError | None = None) -> Judged:
    """Add up what the map found, match the positives, compute the quotas, and judge: gate 2.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    map_error : StateError, optional
        With what the Map state itself ended.

    Raises
    ------
    RunStateError
        If the run was not planned, or one of its files is damaged.
    """
    run = load_run(root)
    fan_out = add_up(run, read_items(run.files.items))
    matches, positives, counts = match_positives(run, fan_out.stats)
    in_strata: Counter[Stratum] = Counter(
        Stratum(row["nobs_z_bin"], row["type_bin"])
        for row in positives.select(["nobs_z_bin", "type_bin"]).to_pylist()
    )
    quotas = compute_quotas(in_strata, fan_out.available, run.config)
    for item, why in fan_out.missing.items():
        _log.warning("%s is missing: %s", item, why)
    _log.info("%d of %d items", len(fan_out.stats), len(fan_out.items))
    _log.info("%d of %d rows kept", fan_out.rows_kept, fan_out.rows_in)
    _log.info("%d positives, %d negatives to draw", counts.sources, sum(quota.quota for quota in quotas))
    write_table(run.files.matches, matches)
    write_table(run.files.matched_positives, positives)
    _summary(fan_out, counts).write(run.files.summary)
    _quotas(run, fan_out, quotas).write(run.files.quotas)
    checks = gate_checks(Findings(run, fan_out, counts, quotas, map_error))
    return Gate.of(2, checks).judged(run.files.gate(2))


def _summary(fan_out: FanOut, positives: PositiveCounts) -> FanOutSummary:
    return FanOutSummary(
        items=len(fan_out.items),
        items_done=len(fan_out.stats),
        missing=fan_out.missing,
        rows_in=fan_out.rows_in,
        rows_kept=fan_out.rows_kept,
        cut=fan_out.cut,
        n2_fraction=fan_out.n2_fraction,
        confusers=fan_out.confusers,
        positives=positives,
        bytes_read=sum(s.bytes_read for s in fan_out.stats),
        bytes_written=sum(s.pool_bytes + s.positives_bytes for s in fan_out.stats),
        task_seconds=round(sum(s.seconds for s in fan_out.stats), 3),
    )


def _quotas(run: Run, fan_out: FanOut, strata: list[StratumQuota]) -> Quotas:
    files = {storage.basename(run.files.pool(s.item.id)): s.row_groups for s in fan_out.stats}
    return Quotas(
        run_id=run.record.run_id,
        pool_files=tuple(files),
        row_groups={
            name: tuple((group.rows, group.priority_min) for group in groups)
            for name, groups in files.items()
        },
        strata=tuple(strata),
    )
