"""Quotas of draws that depend on each other, worked out once more from the positives."""

import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import Tally
from lensneg.schema.arrays import FloatArray
from lensneg.schema.check import Check
from lensneg.schema.quotas import StratumQuota


class PlannedQuotas(Tally):
    """Compares cells, targets and quotas of each stratum with its positives, and with what is available."""

    def __init__(self, content: Content) -> None:
        self._content, self._config = content, content.config
        matching = content.config.matching
        self._bins = dict(matching.bins) if matching else {}
        self._values: dict[tuple[str, str], list[FloatArray]] = {}

    def add(self, rows: Rows) -> None:
        """Keep the matched columns of the positives."""
        if rows.part != "positives":
            return
        columns = np.stack([np.zeros(len(rows)), *(rows[name] for name in self._bins)], axis=1)[:, 1:]
        keys = zip(rows.table["nobs_z_bin"].to_pylist(), rows.table["type_bin"].to_pylist(), strict=True)
        for key, values in zip(keys, columns, strict=True):
            self._values.setdefault(key, []).append(values)

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        strata = self._content.subject.strata
        yield Check.of_faults(
            "quota_rule",
            [f"{stratum.name}: {fault}" for stratum in strata for fault in self._faults(stratum)],
            expected="cells, targets and quotas of each stratum as its positives and its sources say",
            found=f"{len(strata)} strata",
            saying="not in ",
            remedy="quotas.json or manifest.json was changed by hand, or this is a fault of lensneg",
        )

    def _faults(self, stratum: StratumQuota) -> Iterator[str]:
        """Yield what is wrong with a stratum."""
        pools = self._config.negative_pools
        values = np.array(self._values.get((stratum.nobs_z_bin, stratum.type_bin), []))
        values = values.reshape(len(values), len(self._bins))
        counts = list(self._bins.values())
        enough = self._config.matching.positives_per_cell if self._config.matching else 1
        while math.prod(counts) > 1 and math.prod(counts) * enough > len(values):
            place = next(i for i in reversed(range(len(counts))) if counts[i] > 1)
            counts[place] -= 1
        edges = [_ends(column, count) for column, count in zip(values.T, counts, strict=True)]
        if [list(ends) for ends in stratum.edges] != edges:
            yield "the ends of the bins are others"
            return
        cells = Counter(_cell(row, edges) for row in values)
        targets = {c: pools.neg_pos_ratio * n for c, n in cells.items()}
        n1 = {
            c: _nearest(rows, Fraction(pools.n1_n2_ratio[0], sum(pools.n1_n2_ratio)))
            for c, rows in targets.items()
        }
        stated = [pool.target for pool in stratum.pools]
        if stated != [sum(n1.values()), sum(targets.values()) - sum(n1.values())]:
            yield f"targets {stated}"
        drawn = Counter[str]()
        for draw in stratum.draws:
            drawn[draw.pool] += draw.quota
            if not 0 < draw.quota <= draw.left <= draw.available:
                yield f"{draw.draw}: {draw.quota:,} of {draw.left:,} of {draw.available:,}"
        if [drawn[pool.pool] for pool in stratum.pools] != [pool.quota for pool in stratum.pools]:
            yield "the draws do not add up to the quotas"
        if stratum.target - stratum.quota != stratum.shortfall:
            yield f"shortfall {stratum.shortfall:,}"
        unmatched = Fraction(str(pools.pool_n1.unmatched_share)) if self._bins else Fraction(1)
        wanted = sum(_nearest(rows, unmatched) for rows in n1.values())
        free = sum(draw.quota for draw in stratum.draws if draw.draw == "n1")
        if free != min(wanted, stratum.pools[0].available):
            yield f"n1: {free:,} rows instead of {wanted:,}"
        for cell, rows in n1.items():
            own = [draw for draw in stratum.draws if draw.draw == f"n1_matched:{cell}"]
            matched = rows - _nearest(rows, unmatched)
            if sum(d.quota for d in own) > matched or any(d.quota < min(matched, d.left) for d in own):
                yield f"n1_matched:{cell}: not {matched:,} rows, and not all that are left"


def _ends(column: FloatArray, count: int) -> list[float]:
    """Return the last value of each of some bins of equally many values, but of the last bin."""
    known = sorted(value for value in column.tolist() if not math.isnan(value))
    ends = {known[-(-i * len(known) // count) - 1] for i in range(1, count) if known}
    return sorted(ends - set(known[-1:]))


def _cell(row: FloatArray, edges: list[list[float]]) -> int:
    """Return the number of a row's bins, the last one varying fastest."""
    cell = 0
    for value, ends in zip(row.tolist(), edges, strict=True):
        place = len(ends) if math.isnan(value) else sum(value > end for end in ends)
        cell = cell * (len(ends) + 1) + place
    return cell


def _nearest(rows: int, share: Fraction) -> int:
    """Return the whole number nearest to a share of some rows; of two, the larger."""
    return math.floor(rows * share + Fraction(1, 2))
