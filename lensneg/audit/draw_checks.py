"""The draw: quotas, the lowest priorities, and the order of the rows, worked out once more."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from lensneg.audit.columns import Rows
from lensneg.audit.planned_quotas import PlannedQuotas
from lensneg.audit.subject import Content
from lensneg.audit.tally import Stated, Tally
from lensneg.schema.arrays import IntArray
from lensneg.schema.check import Check
from lensneg.schema.columns import PARTS
from lensneg.schema.quotas import DrawKey, StratumQuota, draws_of

#: The pools in the order of the rows.
_POOLS: Final = ("N1", "N2", "positive")

#: Chance lets the last priority of a draw be off by so much less than once in 10^8; see :func:`_surprise`.
_MOST_SURPRISE: Final = 20.0


class RowOrder(Tally):
    """Compares the order of the rows of each part with the rule."""

    def __init__(self, content: Content) -> None:
        self._rows, strata = sum(content.rows.values()), content.config.strata
        self._names = {"nobs_z_bin": strata.nobs_z_bins, "type_bin": strata.types, "pool": _POOLS}
        self._last: dict[str, IntArray] = {}
        self._in_order = dict.fromkeys(PARTS, True)

    def add(self, rows: Rows) -> None:
        """Compare each row with the one before it."""
        ranks = [rows.index_in(name, values) for name, values in self._names.items()]
        keys = np.stack([*ranks, rows["sampling_priority"], rows["targetid"]])
        keys = np.concatenate([self._last.get(rows.part, keys[:, :1]), keys], axis=1)
        self._last[rows.part] = keys[:, -1:]
        first, second = keys[:, :-1], keys[:, 1:]
        unlike = first != second
        decides = unlike.argmax(axis=0), np.arange(unlike.shape[1])
        self._in_order[rows.part] &= bool((first[decides] <= second[decides]).all())

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        yield Check.of_faults(
            "row_order",
            [part for part, in_order in self._in_order.items() if not in_order],
            expected="rows in the order of strata, pools, sampling priorities and TARGETIDs",
            found=f"{self._rows:,} rows",
            saying="not so: ",
            remedy="the files are in another order than they were written in: fetch them again",
        )


def quota_rule(content: Content) -> Tally:
    """Compare targets, backfill, quotas and shortfall with the positives and with what is available."""
    config = content.config.negative_pools
    if any(draw.is_exact for stratum in content.subject.strata for draw in stratum.draws):
        return PlannedQuotas(content)
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
    return Stated(
        Check.of_faults(
            "quota_rule",
            wrong,
            expected="target, backfill, quota and shortfall of each stratum as its positives and its pools "
            "say",
            found=f"{len(content.subject.strata)} strata",
            saying="not in ",
            remedy="quotas.json or manifest.json was changed by hand, or this is a fault of lensneg",
        )
    )


def _stated(stratum: StratumQuota) -> tuple[int, int, list[int], list[int], list[int]]:
    pools = stratum.pools
    by_pool = [p.target for p in pools], [p.quota for p in pools], [p.backfill for p in pools]
    return stratum.target, stratum.shortfall, *by_pool


class LowestPriorities(Tally):
    """Looks for draws that did not take the lowest priorities.

    The pool is not at hand. But priorities are uniform, so the last one of the n lowest of N lies near n/N of
    the way from the lowest that the draws before left.
    """

    def __init__(self, content: Content) -> None:
        self._strata, self._negatives = content.subject.strata, content.rows["negatives"]
        self._drawn = Counter[DrawKey]()
        self._first, self._last = dict[DrawKey, int](), dict[DrawKey, int]()

    def add(self, rows: Rows) -> None:
        """Count the rows of each draw, and find the first and the last priority."""
        for draw in rows.draws if rows.part == "negatives" else ():
            key = DrawKey(*(draw[name] for name in DrawKey._fields))
            first, last = draw["sampling_priority_min"], draw["sampling_priority_max"]
            self._drawn[key] += draw["count_all"]
            self._first[key] = min(first, self._first.get(key, first))
            self._last[key] = max(last, self._last.get(key, last))

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        unlikely = []
        for key, draw in draws_of(self._strata):
            drawn, lowest = self._drawn[key], {r.lowest for r in draw.ranges}
            if not drawn:
                continue
            if self._first[key] < min(lowest):
                unlikely.append(f"{key}: a priority below those that the draws before it left")
            # What a draw before it left of the population is uniform above a priority.
            share = (self._last[key] - min(lowest) + 1) / (2**63 - min(lowest))
            if len(lowest) == 1 and _surprise(drawn, draw.left, share) > _MOST_SURPRISE:
                unlikely.append(f"{key}: {drawn:,} of {draw.left:,}")
        yield Check.of_faults(
            "lowest_priorities",
            unlikely,
            expected="in each draw the rows of the lowest priorities that are left, as far as chance tells",
            found=f"{self._negatives:,} rows",
            saying="others in ",
            remedy="rows were exchanged, or the numbers of available sources are false: fetch the files "
            "again",
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
