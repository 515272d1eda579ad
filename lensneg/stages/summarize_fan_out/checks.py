"""Gate 2's checks."""

from __future__ import annotations

from collections import Counter

from lensneg import storage
from lensneg.schema.check import Check, brief
from lensneg.schema.fan_out import PositiveCounts
from lensneg.schema.item import Item
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import Run
from lensneg.schema.tolerance import Tolerance, binomial
from lensneg.stages.summarize_fan_out.results import FanOut, each


def gate_checks(
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
    found = [fault for fault in each(changed, planned) if fault]
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
