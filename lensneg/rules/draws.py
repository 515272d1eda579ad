"""The draws of a stratum whose pools overlap, or whose negatives are matched to the positives.

Each draw takes the sources of lowest sampling priority in its population, past those that the draws before it
took. The order is: N1 without regard to cells, N1 of each cell, hard negatives from catalogues, N2 of each
cell (first of the categories that have a share), and what replaces rows that are lacking. Priorities are
random, so each draw by itself is a random sample of its population.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from lensneg.rules.cells import Edges, bins_of
from lensneg.rules.pools import POOLS
from lensneg.rules.priority import PRIORITY_MIN
from lensneg.rules.quotas import largest_remainder, stratum_is_reachable
from lensneg.rules.strata import Stratum
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES, EXTERNAL
from lensneg.schema.quotas import CellCount, Draw, PoolQuota, Range, StratumQuota


class StratumPool(NamedTuple):
    """The sources of a stratum in the pool files, ordered by cell, then by sampling priority.

    Attributes
    ----------
    cell : ndarray of int, shape (n,)
        The cells of the matched columns; 0 without matching.
    group : ndarray of int, shape (n,)
        0 for a source that meets no criterion of N2; for others 1 more than the index of the category.
    priority : ndarray of int64, shape (n,)
        The sampling priorities, none twice.
    categories : tuple of str
        ``CONFUSER_CATEGORIES``, then those of hard negatives from catalogues.
    """

    cell: IntArray
    group: IntArray
    priority: IntArray
    categories: tuple[str, ...]


def needs_planned_draws(config: Config, categories: Iterable[str]) -> bool:
    """Return whether the draws of a stratum depend on each other, so that its sources must be looked at.

    Parameters
    ----------
    config : Config
        Its pools, and what is matched.
    categories : iterable of str
        The categories in the pool files.

    Returns
    -------
    bool
        If not, counts of sources are enough; see :func:`lensneg.rules.quotas.compute_quotas`.
    """
    pools = config.negative_pools
    overlap = pools.pool_n1.population == "all" or bool(pools.pool_n2.category_shares)
    return overlap or config.matching is not None or any(c.startswith(EXTERNAL) for c in categories)


def plan_stratum(
    stratum: Stratum, positives: Mapping[int, int], pool: StratumPool, edges: Edges, config: Config
) -> StratumQuota:
    """Plan the draws of a stratum.

    Each cell gets ``neg_pos_ratio`` negatives for each of its positives, in N1 and N2 by the method of
    largest remainders. What a cell lacks is replaced, if the config allows backfill, from the other pool of
    the cell, and then from the nearest cells.

    Parameters
    ----------
    stratum : Stratum
        Its name.
    positives : mapping of int to int
        Positives by cell.
    pool : StratumPool
        Its sources.
    edges : tuple of tuple of float
        Where the bins of the matched columns end; empty without matching.
    config : Config
        Ratios, shares and backfill.

    Returns
    -------
    StratumQuota
        With exact ranges.
    """
    pools, is_matched = config.negative_pools, config.matching is not None
    target = {cell: pools.neg_pos_ratio * count for cell, count in sorted(positives.items())}
    n1 = {cell: largest_remainder(rows, pools.n1_n2_ratio)[0] for cell, rows in target.items()}
    n2 = {cell: target[cell] - n1[cell] for cell in target}
    targets = sum(n1.values()), sum(n2.values())
    unmatched = {cell: _part(n1[cell], pools.pool_n1.unmatched_share if is_matched else 1.0) for cell in n1}

    is_confuser = (pool.group > 0) & (pool.group <= len(CONFUSER_CATEGORIES))
    in_n1 = np.ones(len(pool.group), bool) if pools.pool_n1.population == "all" else pool.group == 0
    draws = _Draws(pool, is_matched)
    missing = Counter[int]()
    if n1:
        missing[min(n1)] += draws.take("n1", POOLS[0], in_n1, None, sum(unmatched.values()))
    for cell in n1:
        missing[cell] += draws.take("n1_matched", POOLS[0], in_n1, cell, n1[cell] - unmatched[cell])
    if config.hard_negatives is not None:
        most = _part(targets[1], config.hard_negatives.share)
        taken = most - draws.take("external", POOLS[1], pool.group > len(CONFUSER_CATEGORIES), None, most)
        if taken:
            n2 = dict(zip(n2, largest_remainder(targets[1] - taken, tuple(n2.values())), strict=True))
    shares = pools.pool_n2.category_shares
    is_of = {name: pool.group == 1 + CONFUSER_CATEGORIES.index(name) for name in shares}
    for cell, quota in n2.items():
        left = quota
        for name, share in shares.items():
            wanted = min(_part(quota, share), left)
            left -= wanted - draws.take("n2", POOLS[1], is_of[name], cell, wanted, name)
        missing[cell] += draws.take("n2", POOLS[1], is_confuser, cell, left)
    from_other_cells = 0
    if pools.backfill:
        fillers = [("n1_backfill", POOLS[0], in_n1)]
        if pools.pool_n1.population == "not_n2":
            fillers.append(("n2_backfill", POOLS[1], is_confuser))
        from_other_cells = _fill(draws, missing, fillers, edges)

    summaries = tuple(
        draws.summary(name, int(population.sum()), rows)
        for name, population, rows in zip(POOLS, (in_n1, pool.group > 0), targets, strict=True)
    )
    return StratumQuota(
        nobs_z_bin=stratum.nobs_z_bin,
        type_bin=stratum.type_bin,
        positives=sum(positives.values()),
        target=sum(targets),
        shortfall=sum(targets) - sum(summary.quota for summary in summaries),
        reachable=stratum_is_reachable(stratum, config),
        pools=summaries,
        draws=tuple(draws.made),
        edges=edges,
        cells=tuple(_cell_counts(positives, pool)),
        from_other_cells=from_other_cells,
    )


def _cell_counts(positives: Mapping[int, int], pool: StratumPool) -> Iterator[CellCount]:
    """Yield what each cell holds."""
    kind = np.where(pool.group > len(CONFUSER_CATEGORIES), 2, np.minimum(pool.group, 1))
    places, rows = np.unique(3 * pool.cell.astype(np.int64) + kind, return_counts=True)
    sources = Counter(dict(zip(places.tolist(), rows.tolist(), strict=True)))
    for cell in sorted({place // 3 for place in sources} | positives.keys()):
        ordinary, confusers, external = (sources[3 * cell + i] for i in range(3))
        yield CellCount(
            cell=cell,
            positives=positives.get(cell, 0),
            ordinary=ordinary,
            confusers=confusers,
            external=external,
        )


def _part(rows: int, share: float) -> int:
    """Return a share of some rows, as the method of largest remainders gives it."""
    exact = Fraction(str(share))
    return largest_remainder(rows, (exact.numerator, exact.denominator - exact.numerator))[0]


def _fill(
    draws: "_Draws", missing: Mapping[int, int], fillers: list[tuple[str, str, BoolArray]], edges: Edges
) -> int:
    """Replace rows that cells lack: from the same cell, then from the nearest by their bins.

    Return how many come from another cell.
    """
    from_others = 0
    free = [draws.free(population) for _, _, population in fillers]
    fill = [Counter[int]() for _ in fillers]
    cells = np.array(sorted(set().union(*free)), dtype=np.int64)
    bins = bins_of(cells, edges) if edges else np.zeros((len(cells), 1), dtype=np.int64)
    for cell, lack in sorted(missing.items()):
        own = bins_of(np.array([cell]), edges) if edges else 0
        nearest = np.argsort(np.abs(bins - own).sum(axis=1), kind="stable")
        for source in cells[nearest].tolist():
            for have, given in zip(free, fill, strict=True):
                rows = min(lack, have[source])
                have[source] -= rows
                given[source] += rows
                lack -= rows
                from_others += rows if source != cell else 0
            if not lack:
                break
    for (name, pool, population), given in zip(fillers, fill, strict=True):
        for cell, rows in sorted(given.items()):
            draws.take(name, pool, population, cell, rows)
    return from_others


def _values(groups: IntArray) -> list[int]:
    """Return the values that occur, in order."""
    return [int(value) for value in np.flatnonzero(np.bincount(groups))]


class _Draws:
    """Takes sources of a stratum, and keeps where they are."""

    def __init__(self, pool: StratumPool, is_matched: bool) -> None:
        self.made: list[Draw] = []
        self._pool, self._is_matched = pool, is_matched
        self._taken = np.zeros(len(pool.cell), dtype=bool)
        self._cells, starts = np.unique(pool.cell, return_index=True)
        self._slices = {
            cell: slice(start, end)
            for cell, start, end in zip(
                self._cells.tolist(), starts, [*starts, len(pool.cell)][1:], strict=True
            )
        }
        # In each cell and group the taken sources are those up to a priority: every draw takes the next ones.
        self._next: defaultdict[tuple[int, int], int] = defaultdict(lambda: PRIORITY_MIN)

    def take(
        self, name: str, pool: str, population: BoolArray, cell: int | None, quota: int, category: str = ""
    ) -> int:
        """Make a draw from a population, in a cell or in all; return how many rows it lacks."""
        where = slice(None) if cell is None else self._slices.get(cell, slice(0, 0))
        inside = population[where]
        free = np.flatnonzero(inside & ~self._taken[where]) + (where.start or 0)
        if not quota or not len(free):
            return quota
        chosen = free
        if len(free) > quota:
            order = np.argsort(self._pool.priority[free]) if cell is None else np.arange(len(free))
            chosen = free[order[:quota]]
        last = int(self._pool.priority[chosen].max())
        left = self._left(free, last)
        self._taken[chosen] = True
        place = str(cell) if self._is_matched and cell is not None else ""
        self.made.append(
            Draw(
                draw=":".join(filter(None, (name, place, category))),
                pool=pool,
                available=int(inside.sum()),
                left=left,
                quota=len(chosen),
                is_exact=True,
                ranges=tuple(self._ranges(population, cell, last)),
            )
        )
        return quota - len(chosen)

    def _left(self, free: IntArray, last: int) -> int:
        """Count the sources of the cells and groups that a draw up to a priority takes any from."""
        groups = 1 + len(self._pool.categories)
        places = self._pool.cell[free].astype(np.int64) * groups + self._pool.group[free]
        rows = np.bincount(places)
        held = np.flatnonzero(rows)
        begun = [self._next[divmod(place, groups)] <= last for place in held.tolist()]
        return int(rows[held[begun]].sum())

    def _ranges(self, population: BoolArray, cell: int | None, last: int) -> list[Range]:
        """Return where the sources of a population are, past what was taken, up to a priority."""
        where = slice(None) if cell is None else self._slices[cell]
        scope = self._pool.group[where]
        groups, held = _values(scope[population[where]]), _values(scope)
        cells = self._cells.tolist() if cell is None else [cell]
        by_lowest = defaultdict[tuple[int, int], list[int]](list)
        for c in cells:
            for group in groups:
                by_lowest[c, self._next[c, group]].append(group)
                self._next[c, group] = max(self._next[c, group], last + 1)
        if cell is None and {lowest for _, lowest in by_lowest} == {PRIORITY_MIN}:
            return self._range(groups, held, None, PRIORITY_MIN, last)
        return [
            found
            for (c, lowest), some in by_lowest.items()
            if lowest <= last
            for found in self._range(some, held, c, lowest, last)
        ]

    def _range(
        self, groups: list[int], held: list[int], cell: int | None, lowest: int, highest: int
    ) -> list[Range]:
        """Return a range of the sources that are no confusers, and one of the others, or one of all held."""
        limits = {"cell": cell if self._is_matched else None, "lowest": lowest, "highest": highest}
        if groups == held and len(held) > 1:
            return [Range(classes=POOLS, **limits)]
        found = [Range(classes=POOLS[:1], **limits)] if 0 in groups else []
        confusers = [group for group in groups if group]
        if confusers:
            is_all = confusers == [group for group in held if group]
            named = () if is_all else tuple(self._pool.categories[group - 1] for group in confusers)
            found.append(Range(classes=POOLS[1:], categories=named, **limits))
        return found

    def free(self, population: BoolArray) -> Counter[int]:
        """Return the sources of a population that were not taken, by cell."""
        cells, rows = np.unique(self._pool.cell[population & ~self._taken], return_counts=True)
        return Counter(dict(zip(cells.tolist(), rows.tolist(), strict=True)))

    def summary(self, pool: str, available: int, target: int) -> PoolQuota:
        """Return what all draws take for a pool."""
        own = [draw for draw in self.made if draw.pool == pool]
        return PoolQuota(
            pool=pool,
            available=available,
            target=target,
            backfill=sum(draw.quota for draw in own if "_backfill" in draw.draw),
            quota=sum(draw.quota for draw in own),
        )
