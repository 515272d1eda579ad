"""SummarizeFanOut: add up what the map found, match the positives, compute the quotas, judge gate 2."""

import logging
from collections import Counter

import pyarrow as pa

from lensneg import storage
from lensneg.cost.tables import load_rates
from lensneg.rules.draws import needs_planned_draws
from lensneg.rules.parts import ROWS_PER_PART, pieces_of
from lensneg.rules.pools import POOLS
from lensneg.rules.quotas import compute_quotas
from lensneg.rules.selection import CUT_REASONS
from lensneg.rules.split import split_edges
from lensneg.rules.strata import Stratum
from lensneg.schema.columns import NEEDED_COLUMNS, POOL_SCHEMA, SPARK_TYPES
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.fan_out import FanOutSummary, PositiveCounts
from lensneg.schema.gate import Gate, without_chance
from lensneg.schema.item import Item, ItemStats, read_items
from lensneg.schema.quotas import ManifestRules, Quotas, StratumQuota
from lensneg.schema.run import Run, load_run
from lensneg.schema.states import DEFAULT_VCPUS, FanOutSummarized, StateError
from lensneg.schema.tables import write_table
from lensneg.stages.summarize_fan_out.checks import CHECKS, Findings
from lensneg.stages.summarize_fan_out.executors import executors_of
from lensneg.stages.summarize_fan_out.planned_draws import plan_draws
from lensneg.stages.summarize_fan_out.positives import match_positives
from lensneg.stages.summarize_fan_out.repeats import PoolKey, Repeats, find_repeats
from lensneg.stages.summarize_fan_out.results import read_results

_log = logging.getLogger(__name__)


def summarize_fan_out(
    root: str, map_error: StateError | None = None, max_vcpus: int = DEFAULT_VCPUS
) -> FanOutSummarized:
    """Add up what the map found, match the positives, compute the quotas, and judge gate 2.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    map_error : StateError, optional
        The error with which the Map state itself ended.
    max_vcpus : int
        The vCPUs that the draw's job may have.

    Raises
    ------
    RunStateError
        If the run was not planned, or one of its files is damaged.
    """
    run = load_run(root)
    items = read_items(run.files.items)
    stats, missing, other_code = read_results(run, items)
    matches, positives, counts = match_positives(run, stats)
    repeats = find_repeats(run, stats)
    available = _available(stats, repeats)
    summary = _summary(items, stats, missing, counts, available, repeats)
    quotas = _quotas(run, stats, repeats, _strata(run, stats, positives, available))
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
    found = Findings(run, items, stats, summary, quotas.strata, map_error, repeats, other_code)
    made = [check for checks in CHECKS for check in checks(found)]
    if run.record.mode == "test":
        made = without_chance(made)
    verdict = Gate.of(2, made).judged(run.files.gate(2)).gate
    return FanOutSummarized(gate=verdict, executors=executors_of(quotas, load_rates().rates, max_vcpus))


def _available(stats: list[ItemStats], repeats: Repeats) -> Counter[PoolKey]:
    """Return the number of sources in each stratum and pool."""
    rows: Counter[PoolKey] = Counter()
    for s in stats:
        for count in s.counts:
            rows[PoolKey(count.nobs_z_bin, count.type_bin, count.pool)] += count.rows
    rows.subtract(repeats.rows)
    return rows


def _summary(
    items: list[Item],
    stats: list[ItemStats],
    missing: dict[str, str],
    positives: PositiveCounts,
    available: Counter[PoolKey],
    repeats: Repeats,
) -> FanOutSummary:
    """Add up the stats of the items."""
    sources = available.total()
    n2 = sum(count for key, count in available.items() if key.pool == POOLS[1])
    cut, unusable, confusers = Counter(dict.fromkeys(CUT_REASONS, 0)), Counter[str](), Counter[str]()
    for s in stats:
        cut.update(s.cut)
        unusable.update(s.unusable)
        confusers.update(s.confusers)
    confusers.subtract({name: repeats.confusers[name] for name in confusers})
    return FanOutSummary(
        items=len(items),
        items_done=len(stats),
        missing=missing,
        rows_in=sum(s.rows_in for s in stats),
        rows_kept=sum(s.rows_kept for s in stats),
        cut=cut,
        unusable={name: unusable[name] for name in NEEDED_COLUMNS if unusable[name]},
        n2_fraction=n2 / sources if sources else 0.0,
        confusers=confusers,
        positives=positives,
        bytes_read=sum(s.bytes_read for s in stats),
        bytes_written=sum(s.pool_bytes + s.positives_bytes for s in stats),
        task_seconds=round(sum(s.seconds for s in stats), 3),
    )


def _strata(
    run: Run, stats: list[ItemStats], positives: pa.Table, available: Counter[PoolKey]
) -> tuple[StratumQuota, ...]:
    """Compute the quotas of all strata: from counts, or from sources if the draws depend on each other."""
    if needs_planned_draws(run.config, {name for s in stats for name in s.confusers}):
        return plan_draws(run, stats, positives)
    in_strata = Counter(map(Stratum, positives["nobs_z_bin"].to_pylist(), positives["type_bin"].to_pylist()))
    in_pools = {(Stratum(*key[:2]), key.pool): count for key, count in available.items()}
    return tuple(compute_quotas(in_strata, in_pools, run.config))


def _quotas(run: Run, stats: list[ItemStats], repeats: Repeats, strata: tuple[StratumQuota, ...]) -> Quotas:
    """Return what the draw needs: the quotas, the rules of the manifest, and the pool files."""
    row_groups = {
        storage.basename(run.files.pool(s.item.id)): tuple((g.rows, g.priority_min) for g in s.row_groups)
        for s in stats
    }
    rule = run.config.spatial_splits
    return Quotas(
        run_id=run.record.run_id,
        manifest=ManifestRules(
            columns=SPARK_TYPES,
            pool=tuple(POOL_SCHEMA.names),
            run=run.record.columns,
            splits=SPLIT_ORDER,
            split_edges=tuple(split_edges(rule)),
            split_seed=rule.hash_seed,
            folds=rule.folds,
        ),
        pool_files=tuple(row_groups),
        row_groups=row_groups,
        footers={storage.basename(run.files.pool(s.item.id)): s.pool_footer for s in stats},
        repeated_rows=repeats.rows.total(),
        matched=tuple(run.config.matching.bins) if run.config.matching else (),
        strata=strata,
        pieces=pieces_of(strata, min(ROWS_PER_PART, run.config.execution.rows_per_manifest_file)),
    )
