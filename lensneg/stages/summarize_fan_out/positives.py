"""The best source of each positive, over all items."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.rules.matching import best_matches
from lensneg.rules.strata import Stratum, strata_of, type_order
from lensneg.schema.columns import POOL_SCHEMA, POSITIVES_SCHEMA, ROW_ORDER
from lensneg.schema.fan_out import PositiveCounts
from lensneg.schema.item import ItemStats
from lensneg.schema.run import Run
from lensneg.schema.tables import read_table
from lensneg.stages.summarize_fan_out.results import each
from lensneg.survey.names import cell_of


def match_positives(run: Run, stats: list[ItemStats]) -> tuple[pa.Table, pa.Table, PositiveCounts]:
    """Choose the best source of each positive over all items.

    Returns
    -------
    matches : pyarrow.Table
        One row for each entry that lies in the run's cells or has a source: what became of it.
    positives : pyarrow.Table
        The positives: one row a source, in the order of the manifest, with the pool's columns.
    counts : PositiveCounts
    """
    candidates = [s.item.id for s in stats if s.candidate_matches]
    tables = each(lambda id_: read_table(run.files.positives(id_), POSITIVES_SCHEMA), candidates)
    best = best_matches(pa.concat_tables([POSITIVES_SCHEMA.empty_table(), *tables]))
    entry = best["catalog_row"].to_numpy()
    in_strata = _in_strata(best, run)
    uncut = best["cut"].is_null().to_numpy(zero_copy_only=False)
    counted = in_strata & uncut if run.config.positives.apply_cuts else in_strata

    lenses = run.lenses
    inside = _inside_done(run, stats)
    has_source = np.zeros(len(lenses.ra), dtype=bool)
    has_source[entry] = True
    status = np.full(len(lenses.ra), "no source", dtype=object)
    status[entry] = np.where(~in_strata, "outside strata", np.where(uncut, "positive", "fails cuts"))
    if not run.config.positives.apply_cuts:
        status[entry[in_strata]] = "positive"
    shown = np.flatnonzero(lenses.is_positive & (inside | has_source))
    row_of = np.full(len(lenses.ra), -1)
    row_of[entry] = np.arange(len(entry))
    source = pa.array(row_of[shown], mask=row_of[shown] < 0)
    matches = pa.table(
        {
            "name": [lenses.names[i] for i in shown.tolist()],
            "ra": lenses.ra[shown],
            "dec": lenses.dec[shown],
            "inside": inside[shown],
            "status": pa.array(status[shown], pa.string()),
            **{
                name: best[name].take(source)
                for name in ("separation_arcsec", "targetid", "nobs_z_bin", "type_bin", "cut")
            },
        }
    )
    positives = _unique_sources(best.filter(pa.array(counted)), run)
    inside_entry = inside[entry]
    matched = int(inside_entry.sum())
    total = int((inside & lenses.is_positive).sum())
    counts = PositiveCounts(
        entries=int(lenses.is_positive.sum()),
        inside=total,
        matched=matched,
        unmatched=total - matched,
        outside_strata=int((inside_entry & ~in_strata).sum()),
        failing_cuts=int((inside_entry & in_strata & ~uncut).sum()),
        sources=len(positives),
    )
    return matches, positives, counts


def _in_strata(table: pa.Table, run: Run) -> npt.NDArray[np.bool_]:
    strata = set(strata_of(run.config.strata))
    pairs = zip(table["nobs_z_bin"].to_pylist(), table["type_bin"].to_pylist(), strict=True)
    return np.array([Stratum(*pair) in strata for pair in pairs], dtype=bool)


def _inside_done(run: Run, stats: list[ItemStats]) -> npt.NDArray[np.bool_]:
    """Return which catalogue positions lie inside the cells of sweep files that were read to the end."""
    rows: Counter[str] = Counter()
    for entry in stats:
        rows[entry.item.sweep] += entry.rows_in
    inside = np.zeros(len(run.lenses.ra), dtype=bool)
    for sweep in run.record.sweeps:
        if rows[sweep.uri] == sweep.rows:
            inside |= cell_of(sweep.name).holds(run.lenses.ra, run.lenses.dec)
    return inside


def _unique_sources(matched: pa.Table, run: Run) -> pa.Table:
    """Return one row for each matched source, in the order of the manifest."""
    table = matched.select(POOL_SCHEMA.names).cast(POOL_SCHEMA)
    seen = np.unique(table["targetid"].to_numpy(), return_index=True)[1]
    table = table.take(pa.array(seen))
    strata = run.config.strata
    ranks = {
        "bin_rank": pc.index_in(table["nobs_z_bin"], pa.array(strata.nobs_z_bins)),
        "type_rank": pc.index_in(table["type_bin"], pa.array(type_order(strata))),
    }
    for name, rank in ranks.items():
        table = table.append_column(name, rank)
    order = [(name, "ascending") for name in (*ranks, *ROW_ORDER)]
    return table.sort_by(order).drop_columns(list(ranks))
