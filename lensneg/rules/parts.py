"""Parts: the files that the job writes, and which rows of each draw go into which."""

import itertools
import math
from collections.abc import Iterator
from typing import Final

from lensneg.rules.cells import Edges
from lensneg.rules.pools import POOLS
from lensneg.schema.quotas import Draw, Piece, Range, StratumQuota, draws_of

#: Rows of a part, which one task sorts and writes.
ROWS_PER_PART: Final = 75_000

#: The rows of a stratum and pool stay in one part, where the job can rank them, up to so many parts' rows.
_PARTS_UNCUT: Final = 2


def pieces_of(strata: tuple[StratumQuota, ...], size: int) -> tuple[Piece, ...]:
    """Place the ranges of all draws into parts, in the manifest's order.

    A part begins where the rows of a stratum and pool would not fit into the one before. Those that exceed
    two parts are cut at the ends of parts.

    Parameters
    ----------
    strata : tuple of StratumQuota
        The draws.
    size : int
        Rows of a part: at most twice as many. The rows of a draw are taken to be spread evenly over its
        priorities, so the number is about that.

    Returns
    -------
    tuple of Piece
        Parts are numbered from 0, in the order of the manifest's rows.
    """
    pieces, part, filled = list[Piece](), 0, 0.0
    numbered = [(number, key, draw) for number, (key, draw) in enumerate(draws_of(strata))]
    for stratum, pool in itertools.product(strata, POOLS):
        key = (stratum.nobs_z_bin, stratum.type_bin)
        own = [(number, draw) for number, k, draw in numbered if (*k[:2], draw.pool) == (*key, pool)]
        rows_of_own = sum(draw.quota for _, draw in own)
        is_cut = rows_of_own > _PARTS_UNCUT * size
        if not is_cut and filled and filled + rows_of_own > size:
            part, filled = part + 1, 0.0
        first, cuts = part, list[int]()
        for low, high, rows in _density([draw for _, draw in own]):
            while is_cut and filled + rows > size and high - low > 1:
                step = int((high - low) * (size - filled) / rows)
                low = min(high - 1, low + max(1, step))
                rows, filled, part = filled + rows - size, 0.0, part + 1
                cuts.append(low)
            filled += rows
        for number, draw in own:
            for source_pool, category, cell, r in _places(draw, stratum.edges):
                inside = (cut for cut in cuts if r.lowest < cut <= r.highest)
                for low, end in itertools.pairwise([r.lowest, *inside, r.highest + 1]):
                    place = first + sum(cut <= low for cut in cuts)
                    pieces.append(Piece(number, place, *key, source_pool, category, cell, low, end - 1))
    return tuple(pieces)


def _density(draws: list[Draw]) -> Iterator[tuple[int, int, float]]:
    """Yield intervals of priority, and about how many rows the draws take there."""
    spans = [(draw.lowest, draw.highest + 1, draw.quota) for draw in draws]
    edges = sorted({edge for low, high, _ in spans for edge in (low, high)})
    for low, high in itertools.pairwise(edges):
        yield (
            low,
            high,
            sum(n * (high - low) / (end - start) for start, end, n in spans if start <= low < end),
        )


def _places(draw: Draw, edges: Edges) -> Iterator[tuple[str, str, int, Range]]:
    """Yield the classes, categories and cells of a draw's ranges."""
    cells = math.prod(len(ends) + 1 for ends in edges)
    for r in draw.ranges:
        of_range = [-1] if not edges else range(cells) if r.cell is None else [r.cell]
        for source_pool, category, cell in itertools.product(r.classes, r.categories or [""], of_range):
            yield source_pool, category, cell, r
