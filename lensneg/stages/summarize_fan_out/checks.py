"""Gate 2's checks: every row is accounted for, and every stratum has enough sources."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from lensneg import storage
from lensneg.schema.check import Check, brief
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.input_name import input_name
from lensneg.schema.item import Item, ItemStats
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import Run
from lensneg.schema.states import StateError
from lensneg.schema.tolerance import binomial
from lensneg.stages.one_code import one_code
from lensneg.stages.summarize_fan_out.cell_checks import cell_checks
from lensneg.stages.summarize_fan_out.repeats import Repeats
from lensneg.survey.remote import is_streamed

#: The strata that a check names.
_STRATA_SHOWN: Final = 12


@dataclass(frozen=True)
class Findings:
    """What gate 2 judges: the planned items, the stats of those that are done, and what follows from them."""

    run: Run
    items: list[Item]
    stats: list[ItemStats]
    summary: FanOutSummary
    quotas: tuple[StratumQuota, ...]
    map_error: StateError | None
    repeats: Repeats
    other_code: set[str]


def _items_done(found: Findings) -> Iterator[Check]:
    missing, map_error = found.summary.missing, found.map_error
    tolerated = found.run.config.execution.tolerated_failures
    reasons = [f"{item}: {why}" for item, why in missing.items()]
    if map_error and not reasons:
        reasons = [f"the Map ended with {map_error}"]
    enough = len(missing) <= tolerated and not (map_error and not found.stats)
    yield Check(
        name="items_done",
        passed=enough and not missing,
        critical=not enough,
        expected=f"stats of all {len(found.items):,} items"
        + (f" but {tolerated} (execution.tolerated_failures)" if tolerated else ""),
        actual=f"{len(found.stats):,}" + (f"; {brief(reasons, 3)}" if reasons else ""),
        remedy="mend what the named items say, and start again with the same run id: "
        "finished items are not done again",
    )


def _one_code(found: Findings) -> Iterator[Check]:
    yield one_code(found.run, found.other_code)


def _items_cover_sweeps(found: Findings) -> Iterator[Check]:
    planned: Counter[str] = Counter()
    for item in found.items:
        planned[item.sweep] += item.n_rows
    rows = sum(planned.values())
    sweeps = found.run.record.sweeps
    uncovered = [s.name for s in sweeps if planned.pop(s.uri, 0) != s.rows] + list(planned)
    yield Check.of_faults(
        "items_cover_sweeps",
        uncovered,
        expected="items for each row of each sweep file of the plan, once",
        found=f"{rows:,} rows of {len(sweeps):,} files",
        saying="not so for ",
        remedy="items.json and run.json are of different plans; start again with another run id",
    )


def _rows_accounted(found: Findings) -> Iterator[Check]:
    summary = found.summary
    unbalanced = [
        s.item.id
        for s in found.stats
        if s.rows_in != s.item.n_rows
        or s.rows_in != s.rows_kept + sum(s.cut.values())
        or s.rows_kept != sum(count.rows for count in s.counts)
    ]
    yield Check.of_faults(
        "rows_accounted",
        unbalanced,
        expected="rows in = rows kept + rows cut, by stratum and pool, in every item",
        found=f"{summary.rows_in:,} = {summary.rows_kept:,} + {sum(summary.cut.values()):,}",
        saying="not in ",
        remedy="this is a fault of lensneg, not of the input: please report it",
    )


def _pool_unique(found: Findings) -> Iterator[Check]:
    """Check that each source is in one row of the pool. Repeats are not counted, unless they disagree."""
    rows, disagreeing = found.repeats.rows.total(), found.repeats.disagreeing
    repeated = f"{rows:,} rows repeat a TARGETID of their stratum and pool: the first by file and row counts"
    differing = f"{disagreeing:,} TARGETIDs are in two strata or pools"
    yield Check(
        name="pool_unique",
        passed=not rows and not disagreeing,
        expected="each TARGETID in one row of the pool",
        actual="; ".join([differing] * bool(disagreeing) + [repeated] * bool(rows)) or "each in one row",
        remedy="some sweep files hold the same sources: remove the copies, and start a new run",
        critical=disagreeing > 0,
    )


def _bad_rows(found: Findings) -> Iterator[Check]:
    """Say which items hold rows without a position or an id. An item with too many has failed."""
    counts = [(s.item.id, s.cut.get("bad_row", 0)) for s in found.stats]
    yield Check.of_faults(
        "bad_rows",
        [f"{rows:,} in {item}" for item, rows in counts if rows],
        expected="a position and an id in every row",
        found="all",
        saying=f"{found.summary.cut.get('bad_row', 0):,} rows cut, without: ",
        remedy="docs/science.md says what a bad row is; were they lost when the files were copied?",
        critical=False,
    )


def _values_usable(found: Findings) -> Iterator[Check]:
    """Say which columns hold values that cannot be used."""
    summary = found.summary
    yield Check.of_faults(
        "values_usable",
        [f"{name} in {rows:,} rows" for name, rows in summary.unusable.items()],
        expected="a usable value of every needed column in all rows that are bright and of a galaxy's type",
        found="all",
        saying="cut, with no usable value: ",
        remedy="docs/science.md says which values are usable; were they lost when the files were copied?",
        shown=_STRATA_SHOWN,
        critical=False,
    )


def _inputs_unchanged(found: Findings) -> Iterator[Check]:
    """Check that every input still has the size and ETag that it was planned with.

    A sweep file that was fetched from a web server had its SHA-256 when it was filtered.
    """

    def fault(planned: storage.FileInfo) -> str:
        name, now = input_name(planned.uri), there.get(planned.uri)
        if now is None:
            return f"{name} is gone"
        return "" if now[1:] == planned[1:] else f"{name} has other bytes"

    record = found.run.record
    planned = [sweep.info for sweep in record.sweeps if not is_streamed(sweep.uri)]
    fetched = len(record.sweeps) - len(planned)
    planned += [sweep.pz.info for sweep in record.sweeps if sweep.pz]
    planned += [storage.FileInfo(c.spec.uri, c.size, c.etag) for c in record.catalogs]
    there = storage.stat_all(info.uri for info in planned)
    yield Check.of_faults(
        "inputs_unchanged",
        list(filter(None, map(fault, planned))),
        expected="sweep files and catalogues with the sizes and ETags that the run was planned with",
        found=f"{len(planned):,} files" + (f", and {fetched:,} fetched by their SHA-256" if fetched else ""),
        remedy="restore them and start again with the same run id, or start a new run",
    )


def _positives_matched(found: Findings) -> Iterator[Check]:
    config, counts = found.run.config, found.summary.positives
    matched = counts.matched / counts.inside if counts.inside else 0.0
    least = config.gates.matched_fraction_min
    allowed = binomial(0.0, least, counts.inside, config.gates.chance_sigmas)
    yield Check(
        name="positives_matched",
        passed=counts.inside > 0 and matched >= least - allowed.total,
        expected=f"at least {least:.0%} of the positives inside the sweeps, {allowed}, have a source "
        f'within {config.positives.match_radius_arcsec:g}"',
        actual=f"{counts.matched:,} of {counts.inside:,} ({matched:.1%})",
        remedy="are the catalogue's coordinates degrees of J2000, and the right columns? "
        "matches.parquet lists every entry",
    )
    yield Check(
        name="positives_in_strata",
        passed=counts.sources > 0,
        expected="at least one positive in a stratum",
        actual=f"{counts.sources:,} positives; {counts.outside_strata:,} outside the strata",
        remedy="there is nothing to draw for: add sweep files that hold positives",
    )


def _hard_negatives_found(found: Findings) -> Iterator[Check]:
    """Say which hard negatives are not in the pool, and why."""
    counts = found.summary.hard_negatives
    if not counts:
        return
    missing = [f"{n:,} of {c.catalog}: {why}" for c in counts for why, n in sorted(c.missing.items()) if n]
    yield Check.of_faults(
        "hard_negatives_found",
        missing,
        expected="a source in the pool for each hard negative inside the sweeps",
        found=f"{sum(c.found for c in counts):,}",
        saying=f"found {sum(c.found for c in counts):,} of {sum(c.inside for c in counts):,}; not: ",
        remedy="nothing need be done: they are not drawn. hard_negative_matches.parquet lists every entry; "
        "near_lens is at a known lens, and docs/science.md says what the other cuts are",
        shown=_STRATA_SHOWN,
        critical=False,
    )


def _n2_fraction(found: Findings) -> Iterator[Check]:
    gates, rows, n2 = found.run.config.gates, found.summary.rows_kept, found.summary.n2_fraction
    low, high = gates.n2_fraction_range
    below, above = (binomial(0.0, limit, rows, gates.chance_sigmas) for limit in (low, high))
    widest = max(below, above, key=lambda bound: bound.total)
    yield Check(
        name="n2_fraction",
        passed=low - below.total <= n2 <= high + above.total,
        expected=f"N2 from {low:.0%} to {high:.0%} of the pool, {widest}",
        actual=f"{n2:.1%} of {rows:,}",
        remedy="a criterion of N2 takes nothing or everything: look at the report's confuser categories",
    )


def _strata(found: Findings) -> Iterator[Check]:
    """Yield the checks that each stratum can get the negatives that it asks for."""
    gates, is_full = found.run.config.gates, found.run.record.mode == "full"

    def allowed(quota: StratumQuota) -> float:
        """Return the share of a stratum's target that may be missing.

        A full run takes all files, so chance plays no part. The files of a mini-test are a sample of the
        sky. Its positives and its galaxies are Poisson counts, so the ratio of available to requested
        sources has a relative variance of 1 / positives + 1 / target.
        """
        sigma = 0.0 if is_full or not quota.target else (1 / quota.positives + 1 / quota.target) ** 0.5
        return gates.stratum_shortfall_max + gates.chance_sigmas * sigma

    def describe(quotas: list[StratumQuota]) -> list[str]:
        return [
            f"{q.name}: {q.quota:,} of {q.target:,} (allowed missing {min(1.0, allowed(q)):.0%})"
            for q in quotas
        ]

    missing = [q for q in found.quotas if q.reachable and q.shortfall]
    target, drawn = sum(q.target for q in found.quotas), sum(q.quota for q in found.quotas)
    chance = f"; in a mini-test also {gates.chance_sigmas:g}σ of chance, σ² = 1/positives + 1/target"
    yield Check.of_faults(
        "strata_available",
        describe([q for q in missing if q.shortfall > allowed(q) * q.target]),
        expected=f"at most {gates.stratum_shortfall_max:.0%} of any stratum's target missing"
        + ("" if is_full else chance),
        found=f"{drawn:,} of {target:,}"
        + (f"; short in {brief(describe(missing), _STRATA_SHOWN)}" if missing else ""),
        saying="short in ",
        remedy="add sweep files, or raise gates.stratum_shortfall_max, or merge bins, in a new config",
        shown=_STRATA_SHOWN,
    )
    yield Check.of_faults(
        "strata_reachable",
        describe([q for q in found.quotas if not q.reachable and q.shortfall]),
        expected="no positive in a stratum that the cuts leave empty",
        found="none",
        remedy="such positives get no negatives; cut them too with positives.apply_cuts",
        shown=_STRATA_SHOWN,
        critical=False,
    )


def _cells(found: Findings) -> Iterator[Check]:
    yield from cell_checks(found.run.config, found.quotas)


#: Gate 2, in order.
CHECKS: Final[tuple[Callable[[Findings], Iterator[Check]], ...]] = (
    _items_done,
    _one_code,
    _items_cover_sweeps,
    _rows_accounted,
    _pool_unique,
    _bad_rows,
    _values_usable,
    _inputs_unchanged,
    _positives_matched,
    _hard_negatives_found,
    _n2_fraction,
    _strata,
    _cells,
)
