"""Choose the best source of each positive over all items."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.catalogs.footprint import inside_cells
from lensneg.rules.matching import best_matches
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.columns import POOL_SCHEMA, POSITIVES_SCHEMA, ROW_ORDER
from lensneg.schema.fan_out import PositiveCounts
from lensneg.schema.item import ItemStats
from lensneg.schema.lens_facts import lens_schema
from lensneg.schema.run import Run
from lensneg.schema.tables import read_table
from lensneg.stages.summarize_fan_out.results import each
from lensneg.survey.pixels import area_of_input


def read_matches(run: Run, stats: list[ItemStats]) -> pa.Table:
    """Return the best source of each positive and of each hard negative over all items."""

    def candidates(s: ItemStats) -> pa.Table:
        return read_table(run.files.positives(s.item.id), POSITIVES_SCHEMA, s.positives_sha256)

    tables = each(candidates, [s for s in stats if s.candidate_matches])
    found = pa.concat_tables([POSITIVES_SCHEMA.empty_table(), *tables])
    return best_matches(found, uncut_first_from=len(run.lenses))


def match_positives(
    run: Run, stats: list[ItemStats], best: pa.Table
) -> tuple[pa.Table, pa.Table, PositiveCounts]:
    """Match the positives with the best source of each over all items.

    Returns
    -------
    matches : pyarrow.Table
        One row for each catalogue entry that lies in the run's cells or has a source, with its status.
    positives : pyarrow.Table
        The positives: one row for each source, in the manifest's order, with the pool's columns and those
        of their lenses.
    counts : PositiveCounts
    """
    lenses, strata = run.lenses, run.config.strata
    best = best.filter(pc.less(best["catalog_row"], len(lenses)))
    entry = best["catalog_row"].to_numpy()
    bin_rank = pc.index_in(best["nobs_z_bin"], pa.array(strata.nobs_z_bins))
    type_rank = pc.index_in(best["type_bin"], pa.array(strata.types))
    in_strata = np.asarray(pc.and_(bin_rank.is_valid(), type_rank.is_valid()))
    uncut = np.asarray(best["cut"].is_null())
    counted = in_strata & uncut if run.config.positives.apply_cuts is True else in_strata

    inside = inside_done(run, stats, lenses.ra, lenses.dec)
    has_source = np.zeros(len(lenses), dtype=bool)
    has_source[entry] = True
    status = np.full(len(lenses), "no source", dtype=object)
    status[entry] = np.select([~in_strata, counted], ["outside strata", "positive"], "fails cuts")
    shown = np.flatnonzero(lenses.is_positive & (inside | has_source))
    source = pc.index_in(pa.array(shown), best["catalog_row"].combine_chunks())
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
    ranked = best.append_column("bin_rank", bin_rank).append_column("type_rank", type_rank)
    positives = _with_lenses(run, _unique_sources(ranked.filter(pa.array(counted))))
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


def inside_done(run: Run, stats: list[ItemStats], ra: FloatArray, dec: FloatArray) -> BoolArray:
    """Return which positions lie inside the cells of sweep files that were read to the end."""
    rows: Counter[str] = Counter()
    for s in stats:
        rows[s.item.sweep] += s.rows_in
    done = [area_of_input(sweep) for sweep in run.record.sweeps if rows[sweep.uri] == sweep.rows]
    return inside_cells(ra, dec, done)


def _unique_sources(matched: pa.Table) -> pa.Table:
    """Return one row for each source, in the manifest's order."""
    first = np.unique(matched["targetid"].to_numpy(), return_index=True)[1]
    order = [(name, "ascending") for name in ("bin_rank", "type_rank", *ROW_ORDER)]
    return matched.take(pa.array(first)).sort_by(order)


def _with_lenses(run: Run, positives: pa.Table) -> pa.Table:
    """Return the pool's columns of the positives, the cut that each fails, and its first entry's columns."""
    lenses, catalogs = run.lenses, [catalog.name for catalog in run.record.catalogs]
    entry = positives["catalog_row"].combine_chunks()
    names = pa.array([lenses.names[i] for i in entry.to_pylist()], pa.string())
    catalog = pa.array([catalogs[i] for i in lenses.catalog[entry.to_numpy()].tolist()], pa.string())
    schema = pa.schema([*POOL_SCHEMA, *lens_schema(run.config.positives.columns)])
    columns = [
        *positives.select(POOL_SCHEMA.names).columns,
        positives["cut"].is_null(),
        positives["cut"],
        names,
        catalog,
        *lenses.facts.take(entry).columns,
    ]
    return pa.table(columns, names=schema.names).cast(schema)
