"""The draw: quotas, the lowest priorities, and the order of the rows, worked out once more."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.quotas import StratumQuota

#: The pools in the order of the rows.
_POOLS: Final = ("N1", "N2", "positive")

#: Chance lets the last priority of a draw be off by so much less than once in 10^8; see :func:`_surprise`.
_MOST_SURPRISE: Final = 20.0


def row_order(content: Content) -> Iterator[Check]:
    """Compare the order of the rows of each part with the rule."""
    parts = {"negatives": content.negatives, "positives": content.positives}
    yield Check.of_faults(
        "row_order",
        [name for name, rows in parts.items() if not _in_order(rows, content.config)],
        expected="rows in the order of strata, pools, sampling priorities and TARGETIDs",
        found=f"{len(content.both):,} rows",
        saying="not so: ",
        remedy="the files are in another order than they were written in: fetch them again",
    )


def _in_order(rows: Rows, config: Config) -> bool:
    keys = (
        rows["targetid"],
        rows["sampling_priority"],
        rows.index_in("pool", _POOLS),
        rows.index_in("type_bin", config.strata.types),
        rows.index_in("nobs_z_bin", config.strata.nobs_z_bins),
    )
    return bool((np.lexsort(keys) == np.arange(len(rows))).all())


def quota_rule(content: Content) -> Iterator[Check]:
    """Compare targets, backfill, quotas and shortfall with the positives and with what is available."""
    config = content.config.negative_pools
    wrong = []
    for stratum in content.subject.strata:
        total = config.neg_pos_ratio * stratum.positives
        # Two pools: of the larger remainder the whole unit, of equal ones the first pool's.
        first = (2 * total * config.n1_n2_ratio[0] + sum(config.n1_n2_ratio)) // (2 * sum(config.n1_n2_ratio))
        targets = [first, total - first]
        free = [pool.available for pool in stratum.pools]
        quotas = [min(target, have) for target, have in zip(targets, free, strict=True)]
        if config.backfill:
            for i in (0, 1):
                quotas[i] += min(free[i] - quotas[i], total - sum(quotas))
        filled = [max(0, quota - target) for quota, target in zip(quotas, targets, strict=True)]
        if _stated(stratum) != (total, total - sum(quotas), targets, quotas, filled):
            wrong.append(stratum.name)
    yield Check.of_faults(
        "quota_rule",
        wrong,
        expected="target, backfill, quota and shortfall of each stratum as its positives and its pools say",
        found=f"{len(content.subject.strata)} strata",
        saying="not in ",
        remedy="quotas.json or manifest.json was changed by hand, or this is a fault of lensneg",
    )


def _stated(stratum: StratumQuota) -> tuple[int, int, list[int], list[int], list[int]]:
    pools = stratum.pools
    by_pool = [p.target for p in pools], [p.quota for p in pools], [p.backfill for p in pools]
    return stratum.target, stratum.shortfall, *by_pool


def lowest_priorities(content: Content) -> Iterator[Check]:
    """Look for draws that did not take the lowest priorities.

    The pool is not at hand. But priorities are uniform, so the last one of the n lowest of N lies near n/N.
    """
    rows, unlikely = content.negatives, []
    share = (rows["sampling_priority"].astype(np.float64) + 2.0**63) / 2.0**64
    for stratum in content.subject.strata:
        here = rows.is_in("nobs_z_bin", [stratum.nobs_z_bin]) & rows.is_in("type_bin", [stratum.type_bin])
        for pool in stratum.pools:
            drawn = share[here & rows.is_in("pool", [pool.pool])]
            if len(drawn) and _surprise(len(drawn), pool.available, float(drawn.max())) > _MOST_SURPRISE:
                unlikely.append(f"{stratum.name}/{pool.pool}: {len(drawn):,} of {pool.available:,}")
    yield Check.of_faults(
        "lowest_priorities",
        unlikely,
        expected="in each stratum and pool the rows of the lowest priorities, as far as chance tells",
        found=f"{len(rows):,} rows",
        saying="others in ",
        remedy="rows were exchanged, or the numbers of available sources are false: fetch the files again",
    )


def _surprise(rows: int, available: int, last: float) -> float:
    """Return minus the logarithm of a bound on the probability of a last priority (Chernoff's bound).

    Parameters
    ----------
    rows, available : int
        The rows drawn, and those that they were drawn from.
    last : float
        The share of all priorities that are at or below that of the last row.
    """
    if rows >= available:
        return 0.0
    share, last = rows / available, min(max(last, 1e-300), 1 - 1e-16)
    return available * float(share * np.log(share / last) + (1 - share) * np.log((1 - share) / (1 - last)))
