"""Draws that depend on each other: their quotas, populations and turns, worked out once more.

The manifest has the positives and the drawn rows. What else there was in the pool is claimed: the sources of
each cell, as numbers. All quotas follow from these.
"""

import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import Tally
from lensneg.audit.turns import Drawn, Place, Turns
from lensneg.schema.arrays import FloatArray
from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.quotas import StratumQuota

_REMEDY: Final = "quotas.json or manifest.json was changed by hand, or this is a fault of lensneg"

_KEYS: Final = ["nobs_z_bin", "type_bin", "draw", "cell", "confuser_category"]
_TOLD: Final[Any] = [
    ([], "count_all"),
    ("sampling_priority", "min"),
    ("sampling_priority", "max"),
]


class _Faults(NamedTuple):
    """What is wrong with a stratum, by the check that says so."""

    quotas: list[str]
    populations: list[str]
    turns: list[str]


class PlannedQuotas(Tally):
    """Compares the draws of each stratum with its positives, and with the sources of its cells."""

    def __init__(self, content: Content) -> None:
        self._strata, self._config = content.subject.strata, content.config
        self._negatives = content.rows["negatives"]
        matching = content.config.matching
        self._bins = dict(matching.bins) if matching else {}
        self._positives: dict[tuple[str, str], list[FloatArray]] = {}
        self._drawn: dict[tuple[str, str], dict[str, dict[Place, Drawn]]] = {}

    def add(self, rows: Rows) -> None:
        """Keep the matched columns of the positives. Count the negatives by draw, cell and category."""
        values = np.stack([np.zeros(len(rows)), *(rows[name] for name in self._bins)], axis=1)[:, 1:]
        if rows.part == "positives":
            keys = zip(rows.table["nobs_z_bin"].to_pylist(), rows.table["type_bin"].to_pylist(), strict=True)
            for key, value in zip(keys, values, strict=True):
                self._positives.setdefault(key, []).append(value)
            return
        cells = np.zeros(len(rows), dtype=np.int64)
        for stratum in self._strata:
            own = rows.is_in("nobs_z_bin", [stratum.nobs_z_bin]) & rows.is_in("type_bin", [stratum.type_bin])
            cells[own] = _cells(values[own], stratum.edges)
        names = [name for name in (*_KEYS, "sampling_priority") if name != "cell"]
        table = rows.table.select(names).append_column("cell", pa.array(cells))
        for found in table.group_by(_KEYS, use_threads=False).aggregate(_TOLD).to_pylist():
            draws = self._drawn.setdefault((found["nobs_z_bin"], found["type_bin"]), {})
            place = Place(found["cell"], found["confuser_category"])
            one = Drawn(found["count_all"], found["sampling_priority_min"], found["sampling_priority_max"])
            of_draw = draws.setdefault(found["draw"], {})
            of_draw[place] = of_draw[place].and_also(one) if place in of_draw else one

    def checks(self) -> Iterator[Check]:
        """Yield the checks."""
        found = {stratum.name: self._faults(stratum) for stratum in self._strata}
        named = {
            check: [f"{name}: {fault}" for name, faults in found.items() for fault in getattr(faults, check)]
            for check in _Faults._fields
        }
        yield Check.of_faults(
            "quota_rule",
            named["quotas"],
            expected="cells, targets and quotas of each stratum as its positives and its sources say",
            found=f"{len(self._strata)} strata",
            saying="not in ",
            remedy=_REMEDY,
        )
        yield Check.of_faults(
            "draw_populations",
            named["populations"],
            expected="each negative in the cell and the category that its draw names",
            found=f"{self._negatives:,} rows",
            saying="not so: ",
            remedy=_REMEDY,
        )
        yield Check.of_faults(
            "draws_in_turn",
            named["turns"],
            expected="no draw with a source that an earlier draw should have taken before its own",
            found=f"{self._negatives:,} rows",
            saying="others: ",
            remedy=_REMEDY,
        )

    def _faults(self, stratum: StratumQuota) -> _Faults:
        """Return what is wrong with a stratum."""
        key = stratum.nobs_z_bin, stratum.type_bin
        values = np.array(self._positives.get(key, []))
        values = values.reshape(len(values), len(self._bins))
        edges = _edges(values, list(self._bins.values()), self._config)
        if [list(ends) for ends in stratum.edges] != edges:
            return _Faults(["the ends of the bins are others"], [], [])
        positives = Counter(_cells(values, stratum.edges).tolist())
        if Counter({c.cell: c.positives for c in stratum.cells if c.positives}) != positives:
            return _Faults(["the positives of its cells are others"], [], [])
        turns = Turns(stratum, self._drawn.get(key, {}), bool(self._bins))
        _take_turns(turns, stratum, positives, self._config)
        turns.end()
        return _Faults([*_sums(stratum, self._config), *turns.quotas], turns.populations, turns.turns)


def _take_turns(turns: Turns, stratum: StratumQuota, positives: Counter[int], config: Config) -> None:
    """Make the draws of a stratum in their order."""
    pools = config.negative_pools
    n1_share = Fraction(pools.n1_n2_ratio[0], sum(pools.n1_n2_ratio))
    targets = {c: pools.neg_pos_ratio * n for c, n in sorted(positives.items())}
    n1 = {c: _nearest(rows, n1_share) for c, rows in targets.items()}
    n2 = {c: targets[c] - n1[c] for c in targets}
    stated = [pool.target for pool in stratum.pools]
    if stated != [sum(n1.values()), sum(n2.values())]:
        turns.quotas.append(f"targets {stated}")
    if not targets:
        return
    share = Fraction(str(pools.pool_n1.unmatched_share)) if config.matching else Fraction(1)
    free = {c: _nearest(rows, share) for c, rows in n1.items()}
    in_n1 = {"ordinary", "confusers", "external"} if pools.pool_n1.population == "all" else {"ordinary"}
    lack = Counter[int]()
    lack[min(n1)] += turns.take("n1", sum(free.values()), in_n1)
    for c in n1:
        lack[c] += turns.take("n1_matched", n1[c] - free[c], in_n1, c)
    if config.hard_negatives is not None:
        most = _nearest(sum(n2.values()), Fraction(str(config.hard_negatives.share)))
        taken = most - turns.take("external", most, {"external"})
        if taken:
            n2 = _divided(sum(n2.values()) - taken, n2)
    for c, rows in n2.items():
        left = rows
        for category, part in pools.pool_n2.category_shares.items():
            wanted = min(_nearest(rows, Fraction(str(part))), left)
            left -= wanted - turns.take("n2", wanted, {"confusers"}, c, category)
        lack[c] += turns.take("n2", left, {"confusers"}, c)
    if pools.backfill:
        fillers = {"n1_backfill": in_n1}
        if pools.pool_n1.population == "not_n2":
            fillers["n2_backfill"] = {"confusers"}
        turns.fill(lack, fillers)


def _sums(stratum: StratumQuota, config: Config) -> Iterator[str]:
    """Yield what does not add up."""
    of = [(c.ordinary, c.confusers + c.external) for c in stratum.cells]
    n2 = sum(confusers for _, confusers in of)
    n1 = sum(ordinary for ordinary, _ in of)
    if config.negative_pools.pool_n1.population == "all":
        n1 += n2
    if [pool.available for pool in stratum.pools] != [n1, n2]:
        yield "the sources of its cells do not add up to those of its pools"
    drawn, filled = Counter[str](), Counter[str]()
    for draw in stratum.draws:
        drawn[draw.pool] += draw.quota
        filled[draw.pool] += draw.quota if "_backfill" in draw.draw else 0
    if any((drawn[p.pool], filled[p.pool]) != (p.quota, p.backfill) for p in stratum.pools):
        yield "the draws do not add up to the quotas"
    if stratum.target - stratum.quota != stratum.shortfall:
        yield f"shortfall {stratum.shortfall:,}"


def _edges(values: FloatArray, counts: list[int], config: Config) -> list[list[float]]:
    """Return where the bins of each column end, worked out from the positives."""
    enough = config.matching.positives_per_cell if config.matching else 1
    while math.prod(counts) > 1 and math.prod(counts) * enough > len(values):
        place = next(i for i in reversed(range(len(counts))) if counts[i] > 1)
        counts[place] -= 1
    return [_ends(column, count) for column, count in zip(values.T, counts, strict=True)]


def _ends(column: FloatArray, count: int) -> list[float]:
    """Return the last value of each of some bins of equally many values, but of the last bin."""
    known = sorted(value for value in column.tolist() if not math.isnan(value))
    ends = {known[-(-i * len(known) // count) - 1] for i in range(1, count) if known}
    return sorted(ends - set(known[-1:]))


def _cells(values: FloatArray, edges: tuple[tuple[float, ...], ...]) -> npt.NDArray[np.int64]:
    """Return the number of each row's bins, the last one varying fastest. NaN is in the last bin."""
    cell = np.zeros(len(values), dtype=np.int64)
    for column, ends in zip(values.T, edges, strict=True):
        place = sum((~(column <= end)).astype(np.int64) for end in ends)
        cell = cell * (len(ends) + 1) + place
    return cell


def _nearest(rows: int, share: Fraction) -> int:
    """Return the whole number nearest to a share of some rows; of two, the larger."""
    return math.floor(rows * share + Fraction(1, 2))


def _divided(total: int, parts: dict[int, int]) -> dict[int, int]:
    """Divide a number in proportion to others: whole numbers, the largest remainders are raised."""
    exact = {c: Fraction(total * part, sum(parts.values())) for c, part in parts.items()}
    whole = {c: math.floor(value) for c, value in exact.items()}
    raised = sorted(whole, key=lambda c: (whole[c] - exact[c], c))[: total - sum(whole.values())]
    return {c: rows + (c in raised) for c, rows in whole.items()}
