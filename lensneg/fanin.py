"""The fan-in: what the map found, added up; the positives; the quotas; gate 2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.chance import Tolerance, binomial
from lensneg.datamodel import sweep_cell
from lensneg.fanout import ItemStats, best_matches, finished
from lensneg.gates import Check, Gate, brief
from lensneg.manifest import POOL_SCHEMA, POSITIVES_SCHEMA, ROW_ORDER
from lensneg.pools import POOLS
from lensneg.quotas import StratumQuota, compute_quotas
from lensneg.run import Item, Run, RunFiles, load_run, read_table, write_table
from lensneg.selection import CUT_REASONS
from lensneg.strata import Stratum, strata_of, type_order

T = TypeVar("T")
U = TypeVar("U")

#: Small files are read by this many threads: on S3 each costs a round trip.
_READ_THREADS = 32


@dataclass(frozen=True)
class PositiveCounts:
    """What became of the entries of the positives' catalogues.

    Attributes
    ----------
    entries : int
        Entries of all catalogues of positives.
    inside : int
        Of these, inside the cells of the run's sweep files.
    matched, unmatched : int
        Of those inside, with and without a source within the match radius.
    outside_strata : int
        Of the matched, those whose source has no stratum: another type, or no exposure in z.
    failing_cuts : int
        Of the matched, those whose source fails the selection; they count unless
        ``positives.apply_cuts`` says otherwise.
    sources : int
        Positives: distinct sources that have a stratum (and pass the cuts, where asked).
    """

    entries: int
    inside: int
    matched: int
    unmatched: int
    outside_strata: int
    failing_cuts: int
    sources: int


@dataclass(frozen=True)
class FanOut:
    """The map's results, added up."""

    stats: list[ItemStats]
    missing: dict[str, str]
    rows_in: int
    rows_kept: int
    cut: dict[str, int]
    available: dict[tuple[Stratum, str], int]
    confusers: dict[str, int]

    @property
    def n2_fraction(self) -> float:
        """The share of N2 in the pool."""
        n2 = sum(rows for (_, pool), rows in self.available.items() if pool == POOLS[1])
        return n2 / self.rows_kept if self.rows_kept else 0.0


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
    gate = Gate.of(2, _checks(run, items, fan_out, counts, quotas, map_error))
    return {"gate": gate.write(run.files.gate(2))}


def _each(function: Callable[[T], U], values: Iterable[T]) -> list[U]:
    with ThreadPoolExecutor(_READ_THREADS) as threads:
        return list(threads.map(function, values))


def add_up(run: Run, items: list[Item]) -> FanOut:
    """Read the stats of all items and add them up."""
    found = _each(lambda item: finished(run, item), items)
    stats = [entry for entry in found if entry is not None]
    missing = [item.id for item, entry in zip(items, found, strict=True) if entry is None]
    cut = Counter(dict.fromkeys(CUT_REASONS, 0))
    confusers: Counter[str] = Counter()
    available: Counter[tuple[Stratum, str]] = Counter()
    for entry in stats:
        cut.update(entry.cut)
        confusers.update(entry.confusers)
        for count in entry.counts:
            available[Stratum(count.nobs_z_bin, count.type_bin), count.pool] += count.rows
    return FanOut(
        stats=stats,
        missing=dict(zip(missing, _each(lambda id_: _why(run.files, id_), missing), strict=True)),
        rows_in=sum(entry.rows_in for entry in stats),
        rows_kept=sum(entry.rows_kept for entry in stats),
        cut=dict(cut),
        available=dict(available),
        confusers=dict(confusers),
    )


def _why(files: RunFiles, item_id: str) -> str:
    """Return why an item has no stats, as its task said."""
    try:
        return str(storage.read_json(files.error(item_id))["message"])
    except FileNotFoundError:
        return "its task ended without a word: out of time or memory, or never started"


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
    tables = _each(lambda id_: read_table(run.files.positives(id_)), candidates)
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
            "name": read_table(run.files.lenses)["name"].take(pa.array(shown)),
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
        cell = sweep_cell(storage.basename(sweep.uri))
        assert cell is not None  # gate 1 listed it by its name
        if rows[sweep.uri] == sweep.rows:
            inside |= cell.holds(run.lenses.ra, run.lenses.dec)
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


def _checks(
    run: Run,
    items: list[Item],
    fan_out: FanOut,
    positives: PositiveCounts,
    quotas: list[StratumQuota],
    map_error: dict[str, str] | None,
) -> list[Check]:
    config = run.config
    checks = []
    tolerated = config.execution.tolerated_failures
    reasons = [f"{item}: {why}" for item, why in fan_out.missing.items()]
    if map_error and not reasons:
        reasons = [f"the Map ended with {map_error.get('Error')}: {map_error.get('Cause')}"]
    checks.append(
        Check(
            name="items_done",
            passed=len(fan_out.missing) <= tolerated and not (map_error and not fan_out.stats),
            expected=f"stats of all {len(items):,} items"
            + (f" but {tolerated} (execution.tolerated_failures)" if tolerated else ""),
            actual=f"{len(fan_out.stats):,}" + (f"; {brief(reasons, 3)}" if reasons else ""),
            hint="mend what the named items say, and start again with the same run id: "
            "finished items are not done again",
        )
    )
    planned: Counter[str] = Counter()
    for item in items:
        planned[item.sweep] += item.n_rows
    uncovered = [
        storage.basename(s.uri) for s in run.record.sweeps if planned.pop(s.uri, 0) != s.rows
    ] + list(planned)
    checks.append(
        Check(
            name="items_cover_sweeps",
            passed=not uncovered,
            expected="items for each row of each sweep file of the plan, once",
            actual=f"not so for {brief(uncovered)}"
            if uncovered
            else f"{sum(item.n_rows for item in items):,} rows of {len(run.record.sweeps):,} files",
            hint="items.json and run.json are of different plans; start again with another run id",
        )
    )
    unbalanced = [
        s.item.id
        for s in fan_out.stats
        if s.rows_in != s.item.n_rows
        or s.rows_in != s.rows_kept + sum(s.cut.values())
        or s.rows_kept != sum(count.rows for count in s.counts)
    ]
    checks.append(
        Check(
            name="rows_accounted",
            passed=not unbalanced,
            expected="rows in = rows kept + rows cut, by stratum and pool, in every item",
            actual=f"not in {brief(unbalanced)}"
            if unbalanced
            else f"{fan_out.rows_in:,} = {fan_out.rows_kept:,} + {sum(fan_out.cut.values()):,}",
            hint="this is a fault of lensneg, not of the input: please report it",
        )
    )
    checks.append(_inputs_unchanged(run))
    gates = config.gates
    matched = positives.matched / positives.inside if positives.inside else 0.0
    least = gates.matched_fraction_min
    allowed = binomial(0.0, least, positives.inside, gates.chance_sigmas)
    checks.append(
        Check(
            name="positives_matched",
            passed=positives.inside > 0 and matched >= least - allowed.total,
            expected=f"at least {least:.0%} of the positives inside the sweeps, {allowed}, have a source "
            f'within {config.positives.match_radius_arcsec:g}"',
            actual=f"{positives.matched:,} of {positives.inside:,} ({matched:.1%})",
            hint="are the catalogue's coordinates degrees of J2000, and the right columns? "
            "matches.parquet lists every entry",
        )
    )
    checks.append(
        Check(
            name="positives_in_strata",
            passed=positives.sources > 0,
            expected="at least one positive in a stratum",
            actual=f"{positives.sources:,} positives; {positives.outside_strata:,} outside the strata",
            hint="there is nothing to draw for: add sweep files that hold positives",
        )
    )
    low, high = gates.n2_fraction_range
    n2 = fan_out.n2_fraction
    below = binomial(0.0, low, fan_out.rows_kept, gates.chance_sigmas)
    above = binomial(0.0, high, fan_out.rows_kept, gates.chance_sigmas)
    checks.append(
        Check(
            name="n2_fraction",
            passed=low - below.total <= n2 <= high + above.total,
            expected=f"N2 from {low:.0%} to {high:.0%} of the pool, {max(below, above, key=_total)}",
            actual=f"{n2:.1%} of {fan_out.rows_kept:,}",
            hint="a criterion of N2 takes nothing or everything: look at the report's confuser categories",
        )
    )
    return checks + _stratum_checks(run, quotas)


def _total(tolerance: Tolerance) -> float:
    return tolerance.total


def _inputs_unchanged(run: Run) -> Check:
    """Look at every input again: each must have the size and ETag that it was planned with."""

    def changed(planned: tuple[str, int, str]) -> str | None:
        uri, size, etag = planned
        try:
            now = storage.stat(uri)
        except FileNotFoundError:
            return f"{storage.basename(uri)} is gone"
        return None if (now.size, now.etag) == (size, etag) else f"{storage.basename(uri)} has other bytes"

    planned = [(sweep.uri, sweep.size, sweep.etag) for sweep in run.record.sweeps]
    planned += [(catalog.spec.uri, catalog.size, catalog.etag) for catalog in run.record.catalogs]
    found = [fault for fault in _each(changed, planned) if fault]
    return Check(
        name="inputs_unchanged",
        passed=not found,
        expected="sweep files and catalogues with the sizes and ETags that the run was planned with",
        actual=brief(found) if found else f"{len(planned):,} files",
        hint="restore them and start again with the same run id, or start a new run",
    )


def _stratum_checks(run: Run, quotas: list[StratumQuota]) -> list[Check]:
    """Return the checks that each stratum can get what it asks for."""
    gates = run.config.gates

    def allowed(quota: StratumQuota) -> Tolerance:
        """Return the share of a stratum's target that may be missing.

        A full run takes all there is: nothing is left to chance. A mini-test's files are a sample of the
        sky. Its positives and its galaxies are Poisson counts, so the ratio of what there is to what is
        asked has a relative variance of 1 / positives + 1 / target.
        """
        if run.record.mode == "full" or not quota.target:
            return Tolerance(gates.stratum_shortfall_max, 0.0, gates.chance_sigmas)
        sigma = (1 / quota.positives + 1 / quota.target) ** 0.5
        return Tolerance(gates.stratum_shortfall_max, sigma, gates.chance_sigmas)

    def describe(short: list[StratumQuota]) -> str:
        return brief(
            [
                f"{q.nobs_z_bin}/{q.type_bin}: {q.quota:,} of {q.target:,} (allowed missing "
                f"{min(1.0, allowed(q).total):.0%})"
                for q in short
            ],
            limit=12,
        )

    missing = [q for q in quotas if q.reachable and q.shortfall]
    short = [q for q in missing if q.shortfall > allowed(q).total * q.target]
    unreachable = [q for q in quotas if not q.reachable and q.shortfall]
    target, drawn = sum(q.target for q in quotas), sum(q.quota for q in quotas)
    chance = (
        f"; in a mini-test also {gates.chance_sigmas:g}σ of chance, σ² = 1/positives + 1/target"
        if run.record.mode == "test"
        else ""
    )
    return [
        Check(
            name="strata_available",
            passed=not short,
            expected=f"at most {gates.stratum_shortfall_max:.0%} of any stratum's target missing{chance}",
            actual=f"short in {describe(short)}"
            if short
            else f"{drawn:,} of {target:,}" + (f"; short in {describe(missing)}" if missing else ""),
            hint="add sweep files, or raise gates.stratum_shortfall_max, or merge bins, in a new config",
        ),
        Check(
            name="strata_reachable",
            passed=not unreachable,
            expected="no positive in a stratum that the cuts leave empty",
            actual=describe(unreachable) if unreachable else "none",
            hint="such positives get no negatives; cut them too with positives.apply_cuts",
            critical=False,
        ),
    ]
