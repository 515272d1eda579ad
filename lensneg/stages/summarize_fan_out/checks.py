"""Gate 2's checks: is every row accounted for, and is there enough in every stratum."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from lensneg import storage
from lensneg.schema.check import Check, brief
from lensneg.schema.fan_out import PositiveCounts
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import Run
from lensneg.schema.states import StateError
from lensneg.schema.tolerance import Tolerance, binomial
from lensneg.stages.summarize_fan_out.results import FanOut, each


@dataclass(frozen=True)
class Findings:
    """What gate 2 looks at."""

    run: Run
    fan_out: FanOut
    positives: PositiveCounts
    quotas: list[StratumQuota]
    map_error: StateError | None


def gate_checks(found: Findings) -> Iterator[Check]:
    """Yield the checks of gate 2."""
    for check in CHECKS:
        yield from check(found)


def _items_done(found: Findings) -> Iterator[Check]:
    fan_out, map_error = found.fan_out, found.map_error
    tolerated = found.run.config.execution.tolerated_failures
    reasons = [f"{item}: {why}" for item, why in fan_out.missing.items()]
    if map_error and not reasons:
        reasons = [f"the Map ended with {map_error}"]
    yield Check(
        name="items_done",
        passed=len(fan_out.missing) <= tolerated and not (map_error and not fan_out.stats),
        expected=f"stats of all {len(fan_out.items):,} items"
        + (f" but {tolerated} (execution.tolerated_failures)" if tolerated else ""),
        actual=f"{len(fan_out.stats):,}" + (f"; {brief(reasons, 3)}" if reasons else ""),
        remedy="mend what the named items say, and start again with the same run id: "
        "finished items are not done again",
    )


def _items_cover_sweeps(found: Findings) -> Iterator[Check]:
    planned: Counter[str] = Counter()
    for item in found.fan_out.items:
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
    fan_out = found.fan_out
    unbalanced = [
        s.item.id
        for s in fan_out.stats
        if s.rows_in != s.item.n_rows
        or s.rows_in != s.rows_kept + sum(s.cut.values())
        or s.rows_kept != sum(count.rows for count in s.counts)
    ]
    yield Check.of_faults(
        "rows_accounted",
        unbalanced,
        expected="rows in = rows kept + rows cut, by stratum and pool, in every item",
        found=f"{fan_out.rows_in:,} = {fan_out.rows_kept:,} + {sum(fan_out.cut.values()):,}",
        saying="not in ",
        remedy="this is a fault of lensneg, not of the input: please report it",
    )


def _inputs_unchanged(found: Findings) -> Iterator[Check]:
    """Look at every input again: each must have the size and ETag that it was planned with."""

    def changed(planned: storage.FileInfo) -> str | None:
        name = storage.basename(planned.uri)
        try:
            now = storage.stat(planned.uri)
        except FileNotFoundError:
            return f"{name} is gone"
        return None if now[1:] == planned[1:] else f"{name} has other bytes"

    record = found.run.record
    planned = [sweep.info for sweep in record.sweeps]
    planned += [storage.FileInfo(c.spec.uri, c.size, c.etag) for c in record.catalogs]
    yield Check.of_faults(
        "inputs_unchanged",
        [fault for fault in each(changed, planned) if fault],
        expected="sweep files and catalogues with the sizes and ETags that the run was planned with",
        found=f"{len(planned):,} files",
        remedy="restore them and start again with the same run id, or start a new run",
    )


def _positives_matched(found: Findings) -> Iterator[Check]:
    config, counts = found.run.config, found.positives
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


def _n2_fraction(found: Findings) -> Iterator[Check]:
    gates, rows, n2 = found.run.config.gates, found.fan_out.rows_kept, found.fan_out.n2_fraction
    low, high = gates.n2_fraction_range
    below, above = (binomial(0.0, limit, rows, gates.chance_sigmas) for limit in (low, high))
    yield Check(
        name="n2_fraction",
        passed=low - below.total <= n2 <= high + above.total,
        expected=f"N2 from {low:.0%} to {high:.0%} of the pool, {max(below, above, key=_total)}",
        actual=f"{n2:.1%} of {rows:,}",
        remedy="a criterion of N2 takes nothing or everything: look at the report's confuser categories",
    )


def _total(tolerance: Tolerance) -> float:
    return tolerance.total


def _strata(found: Findings) -> Iterator[Check]:
    """Yield the checks that each stratum can get what it asks for."""
    gates, is_full = found.run.config.gates, found.run.record.mode == "full"

    def allowed(quota: StratumQuota) -> Tolerance:
        """Return the share of a stratum's target that may be missing.

        A full run takes all there is: nothing is left to chance. A mini-test's files are a sample of the
        sky. Its positives and its galaxies are Poisson counts, so the ratio of what there is to what is
        asked has a relative variance of 1 / positives + 1 / target.
        """
        sigma = 0.0 if is_full or not quota.target else (1 / quota.positives + 1 / quota.target) ** 0.5
        return Tolerance(gates.stratum_shortfall_max, sigma, gates.chance_sigmas)

    def describe(short: list[StratumQuota]) -> str:
        return brief(
            [
                f"{q.name}: {q.quota:,} of {q.target:,} (allowed missing {min(1.0, allowed(q).total):.0%})"
                for q in short
            ],
            limit=12,
        )

    missing = [q for q in found.quotas if q.reachable and q.shortfall]
    short = [q for q in missing if q.shortfall > allowed(q).total * q.target]
    unreachable = [q for q in found.quotas if not q.reachable and q.shortfall]
    target, drawn = sum(q.target for q in found.quotas), sum(q.quota for q in found.quotas)
    chance = f"; in a mini-test also {gates.chance_sigmas:g}σ of chance, σ² = 1/positives + 1/target"
    yield Check(
        name="strata_available",
        passed=not short,
        expected=f"at most {gates.stratum_shortfall_max:.0%} of any stratum's target missing"
        + ("" if is_full else chance),
        actual=f"short in {describe(short)}"
        if short
        else f"{drawn:,} of {target:,}" + (f"; short in {describe(missing)}" if missing else ""),
        remedy="add sweep files, or raise gates.stratum_shortfall_max, or merge bins, in a new config",
    )
    yield Check(
        name="strata_reachable",
        passed=not unreachable,
        expected="no positive in a stratum that the cuts leave empty",
        actual=describe(unreachable) if unreachable else "none",
        remedy="such positives get no negatives; cut them too with positives.apply_cuts",
        critical=False,
    )


#: Gate 2, in order.
CHECKS: Final[tuple[Callable[[Findings], Iterator[Check]], ...]] = (
    _items_done,
    _items_cover_sweeps,
    _rows_accounted,
    _inputs_unchanged,
    _positives_matched,
    _n2_fraction,
    _strata,
)
