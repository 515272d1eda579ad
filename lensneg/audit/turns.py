"""The turns of a stratum's draws: what each may take, and what those before it leave."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from lensneg.schema.pools_config import EXTERNAL
from lensneg.schema.quotas import StratumQuota

#: Above every sampling priority.
_NONE_LEFT: Final = 2**63


class Place(NamedTuple):
    """A cell, and a confuser category or None."""

    cell: int
    category: str | None

    @property
    def kind(self) -> str:
        """What the numbers of a cell count it as."""
        if self.category is None:
            return "ordinary"
        return "external" if self.category.startswith(EXTERNAL) else "confusers"


class Drawn(NamedTuple):
    """Rows of a draw: how many, and their extreme priorities."""

    rows: int
    first: int
    last: int

    def and_also(self, other: Self) -> "Drawn":
        """Return both together."""
        return Drawn(self.rows + other.rows, min(self.first, other.first), max(self.last, other.last))


class Turns:
    """Follows the draws of a stratum.

    Parameters
    ----------
    stratum : StratumQuota
        What is claimed.
    drawn : mapping
        What is in the manifest: for each draw the rows by place.
    is_matched : bool
        Whether the names of draws name cells.

    Attributes
    ----------
    quotas, populations, turns : list of str
        What is wrong: with quotas and numbers of sources, with the places of rows, and with their priorities.
    """

    def __init__(
        self, stratum: StratumQuota, drawn: Mapping[str, Mapping[Place, Drawn]], is_matched: bool
    ) -> None:
        self.quotas, self.populations, self.turns = list[str](), list[str](), list[str]()
        self._stated = {draw.draw: draw for draw in stratum.draws}
        self._drawn, self._is_matched = dict(drawn), is_matched
        self._from_other_cells = stratum.from_other_cells
        self._sizes = [len(ends) + 1 for ends in stratum.edges]
        self._all = {
            (c.cell, kind): getattr(c, kind)
            for c in stratum.cells
            for kind in ("ordinary", "confusers", "external")
        }
        self._free = dict(self._all)
        self._places = {place for places in drawn.values() for place in places}
        # No later draw may have a priority up to this one in a place.
        self._taken_to = defaultdict[Place, int](lambda: -_NONE_LEFT)

    def take(
        self, draw: str, wanted: int, kinds: set[str], cell: int | None = None, category: str = ""
    ) -> int:
        """Let a draw take its rows, and return how many it lacks.

        Of the sources of one category it is not known how many there are.
        """
        place = [str(cell)] if self._is_matched and cell is not None else []
        name = ":".join([draw, *place, *filter(None, [category])])
        rows = self._drawn.pop(name, {})
        inside = {key for key in self._all if key[1] in kinds and cell in (None, key[0])}
        known, free = (sum(numbers[key] for key in inside) for numbers in (self._all, self._free))
        found = sum(one.rows for one in rows.values())
        most = min(wanted, free)
        if found > most or (found < most and not category):
            self.quotas.append(f"{name}: {found:,} rows instead of {most:,}")
        stated = self._stated.pop(name, None)
        if stated and not (
            0 < stated.quota <= stated.left <= min(free, stated.available)
            and stated.available <= known
            and (category or stated.available == known)
        ):
            self.quotas.append(
                f"{name}: {stated.quota:,} of {stated.left:,} of {stated.available:,}, and not of {free:,} "
                f"of {known:,}"
            )

        def holds(at: Place) -> bool:
            return (at.cell, at.kind) in inside and category in ("", at.category)

        self._look_at(name, rows, {at for at in self._places if holds(at)}, found < wanted)
        for at, one in rows.items():
            self._free[at.cell, at.kind] = self._free.get((at.cell, at.kind), 0) - one.rows
        return wanted - found

    def _look_at(
        self, name: str, rows: Mapping[Place, Drawn], population: set[Place], is_short: bool
    ) -> None:
        """Compare rows with the population of their draw, and with what the draws before it took."""
        foreign = sum(one.rows for at, one in rows.items() if at not in population)
        if foreign:
            self.populations.append(f"{name}: {foreign:,} rows of another cell or category")
        late = [at for at, one in rows.items() if one.first <= self._taken_to[at]]
        if late:
            self.turns.append(f"{name}: a source that was another draw's")
        last = _NONE_LEFT if is_short else max((one.last for one in rows.values()), default=-_NONE_LEFT)
        for at in population:
            self._taken_to[at] = max(self._taken_to[at], last)

    def fill(self, lack: Mapping[int, int], fillers: Mapping[str, set[str]]) -> None:
        """Replace rows that cells lack: from the same cell, then from the nearest by their bins."""
        from_others = 0
        free = {
            name: Counter({cell: sum(self._free[cell, kind] for kind in kinds) for cell, _ in self._all})
            for name, kinds in fillers.items()
        }
        given = {name: Counter[int]() for name in fillers}
        for cell, rows in sorted(lack.items()):
            missing = rows
            for other in sorted({c for c, _ in self._all}, key=lambda c: (self._distance(c, cell), c)):
                for name in fillers:
                    some = min(missing, free[name][other])
                    free[name][other] -= some
                    given[name][other] += some
                    missing -= some
                    from_others += some if other != cell else 0
        if from_others != self._from_other_cells:
            self.quotas.append(f"{self._from_other_cells:,} rows from other cells instead of {from_others:,}")
        for name, kinds in fillers.items():
            for cell, rows in sorted(given[name].items()):
                if rows:
                    self.take(name, rows, kinds, cell)

    def _distance(self, one: int, other: int) -> int:
        """Return how much the numbers of the bins of two cells differ, added up."""
        total = 0
        for size in reversed(self._sizes):
            total += abs(one % size - other % size)
            one, other = one // size, other // size
        return total

    def end(self) -> None:
        """Find draws that there should not be."""
        extra = sorted(self._drawn.keys() | self._stated.keys())
        self.quotas += [f"{name}: there should be no such draw" for name in extra]
