"""SummarizeFanOut: add up what the map found, match the positives, compute the quotas, judge gate 2."""

import logging
from collections import Counter

import pyarrow as pa

from lensneg import storage
from lensneg.rules.pools import POOLS
from lensneg.rules.quotas import compute_quotas
from lensneg.rules.selection import CUT_REASONS
from lensneg.rules.strata import Stratum
from lensneg.schema.fan_out import FanOutSummary, PositiveCounts
from lensneg.schema.gate import Gate, Judged
from lensneg.schema.item import Item, ItemStats, read_items
from lensneg.schema.quotas import Quotas
from lensneg.schema.run import Run, load_run
from lensneg.schema.states import StateError
from lensneg.schema.tables import write_table
from lensneg.stages.summarize_fan_out.checks import CHECKS, Findings
from lensneg.stages.summarize_fan_out.positives import match_positives
from lensneg.stages.summarize_fan_out.results import read_results

_log = logging.getLogger(__name__)


def summarize_fan_out(root: str, map_error: StateError | None = None) -> Judged:
    """Add up what the map found, match the positives, compute the quotas, and judge gate 2.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    map_error : StateError, optional
        The error with which the Map state itself ended.

    Raises
    ------
    RunStateError
        If the run was not planned, or one of its files is damaged.
    """
    run = load_run(root)
    items = read_items(run.files.items)
    stats, missing = read_results(run, items)
    matches, positives, counts = match_positives(run, stats)
    summary = _summary(items, stats, missing, counts)
    quotas = _quotas(run, stats, positives)
    to_draw = sum(stratum.quota for stratum in quotas.strata)
    for item, why in missing.items():
        _log.warning("%s is missing: %s", item, why)
    _log.info("%d of %d items", summary.items_done, summary.items)
    _log.info("%d of %d rows kept", summary.rows_kept, summary.rows_in)
    _log.info("%d positives, %d negatives to draw", counts.sources, to_draw)
    write_table(run.files.matches, matches)
    write_table(run.files.matched_positives, positives)
    summary.write(run.files.summary)
    quotas.write(run.files.quotas)
    found = Findings(run, items, stats, summary, quotas.strata, map_error)
    return Gate.of(2, (check for checks in CHECKS for check in checks(found))).judged(run.files.gate(2))


def _summary(
    items: list[Item], stats: list[ItemStats], missing: dict[str, str], positives: PositiveCounts
) -> FanOutSummary:
    """Add up the stats of the items."""
    rows_kept = sum(s.rows_kept for s in stats)
    n2 = sum(count.rows for s in stats for count in s.counts if count.pool == POOLS[1])
    cut, confusers = Counter(dict.fromkeys(CUT_REASONS, 0)), Counter[str]()
    for s in stats:
        cut.update(s.cut)
        confusers.update(s.confusers)
    return FanOutSummary(
        items=len(items),
        items_done=len(stats),
        missing=missing,
        rows_in=sum(s.rows_in for s in stats),
        rows_kept=rows_kept,
        cut=cut,
        n2_fraction=n2 / rows_kept if rows_kept else 0.0,
        confusers=confusers,
        positives=positives,
        bytes_read=sum(s.bytes_read for s in stats),
        bytes_written=sum(s.pool_bytes + s.positives_bytes for s in stats),
        task_seconds=round(sum(s.seconds for s in stats), 3),
    )


def _quotas(run: Run, stats: list[ItemStats], positives: pa.Table) -> Quotas:
    """Compute the quotas of all strata, and list the pool files that the draw reads."""
    in_strata = Counter(map(Stratum, positives["nobs_z_bin"].to_pylist(), positives["type_bin"].to_pylist()))
    available: Counter[tuple[Stratum, str]] = Counter()
    for s in stats:
        for count in s.counts:
            available[Stratum(count.nobs_z_bin, count.type_bin), count.pool] += count.rows
    row_groups = {
        storage.basename(run.files.pool(s.item.id)): tuple((g.rows, g.priority_min) for g in s.row_groups)
        for s in stats
    }
    return Quotas(
        run_id=run.record.run_id,
        pool_files=tuple(row_groups),
        row_groups=row_groups,
        footers={storage.basename(run.files.pool(s.item.id)): s.pool_footer for s in stats},
        strata=tuple(compute_quotas(in_strata, available, run.config)),
    )
