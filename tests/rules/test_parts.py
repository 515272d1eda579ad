"""The parts that the job writes: every row of a range in one part, in the manifest's order."""

import itertools
from collections import Counter

import pytest

from lensneg.rules.parts import pieces_of
from lensneg.rules.priority import PRIORITY_MAX, PRIORITY_MIN
from lensneg.schema.quotas import Draw, Range, StratumQuota


def draw(pool: str, quota: int, *ends: tuple[int, int], **place: object) -> Draw:
    ranges = [{"classes": (pool,), "lowest": low, "highest": high, **place} for low, high in ends]
    return Draw(draw=f"d{quota}", pool=pool, available=99, left=99, quota=quota, is_exact=True,
                ranges=tuple(Range.model_validate(r) for r in ranges))  # fmt: skip


@pytest.mark.parametrize("size", [7, 30, 100, 1000])
def test_pieces_cover_each_range_once_and_parts_follow_the_order(size: int) -> None:
    """Draws of one pool may be nested in priority; their parts are cut at the same priorities."""
    low, high = PRIORITY_MIN, PRIORITY_MAX
    draws = [
        draw("N1", 40, (low, -(2**62))),
        draw("N1", 60, (-(2**62) + 1, 2**61), (-(2**60), 2**62)),
        draw("N2", 25, (low, high)),
        draw("N1", 1, (5, 5)),
    ]
    nothing = {"positives": 0, "target": 0, "shortfall": 0, "reachable": True, "pools": ()}
    strata = tuple(
        StratumQuota(nobs_z_bin=name, type_bin="SER", draws=tuple(some), **nothing)
        for name, some in (("3-5", draws[:3]), ("11+", draws[3:]))
    )
    group, pieces = [0, 0, 1, 2], pieces_of(strata, size)
    for number, one in enumerate(draws):
        own = sorted((p.lowest, p.highest) for p in pieces if p.draw == number)
        assert sum(last - first + 1 for first, last in own) == sum(
            r.highest - r.lowest + 1 for r in one.ranges
        )
        assert all(any(r.lowest <= first <= last <= r.highest for r in one.ranges) for first, last in own)
    ordered = sorted(pieces, key=lambda p: (group[p.draw], p.lowest))
    for first, second in itertools.combinations(ordered, 2):
        assert first.part <= second.part
        if group[first.draw] == group[second.draw] and first.part < second.part:
            assert first.highest < second.lowest
    assert max(p.part for p in pieces) == pytest.approx(126 / size, abs=1.5)
    # A row that is drawn evenly from its ranges falls into a part of the right size.
    expected = Counter[int]()
    for number, one in enumerate(draws):
        whole = sum(r.highest - r.lowest + 1 for r in one.ranges)
        for p in pieces:
            if p.draw == number:
                expected[p.part] += one.quota * (p.highest - p.lowest + 1) / whole
    assert max(expected.values()) <= 1.5 * size


def parts_of(quotas: list[int], size: int) -> list[set[int]]:
    """The parts of draws of some quotas, each the only one of its stratum."""
    strata = tuple(
        StratumQuota(
            nobs_z_bin=str(number), type_bin="SER", positives=0, target=0, shortfall=0, reachable=True,
            pools=(), draws=(draw("N1", quota, (PRIORITY_MIN, PRIORITY_MAX)),),
        )
        for number, quota in enumerate(quotas)
    )  # fmt: skip
    found = [set[int]() for _ in quotas]
    for piece in pieces_of(strata, size):
        found[piece.draw].add(piece.part)
    return found


def test_a_draw_is_cut_only_if_it_is_larger_than_two_parts() -> None:
    assert parts_of([60, 50, 40, 60, 150, 1], 100) == [{0}, {1}, {1}, {2}, {3}, {4}]
    assert parts_of([60, 200, 60], 100) == [{0}, {1}, {2}]
    assert parts_of([60, 201, 60], 100) == [{0}, {0, 1, 2}, {3}]


def test_a_range_of_all_cells_classes_and_some_categories_is_a_piece_for_each() -> None:
    ranges = (
        Range(classes=("N1", "N2"), lowest=0, highest=9),
        Range(classes=("N2",), categories=("a", "b"), cell=3, lowest=10, highest=19),
    )
    own = Draw(draw="n1", pool="N1", available=9, left=9, quota=5, is_exact=True, ranges=ranges)
    stratum = StratumQuota(
        nobs_z_bin="3-5", type_bin="SER", positives=1, target=5, shortfall=0, reachable=True, pools=(),
        draws=(own,), edges=((18.0,), (1.0,)),
    )  # fmt: skip
    found = {(p.source_pool, p.category, p.cell, p.lowest, p.highest) for p in pieces_of((stratum,), 99)}
    assert found == {
        *((pool, "", cell, 0, 9) for pool in ("N1", "N2") for cell in range(4)),
        *(("N2", category, 3, 10, 19) for category in ("a", "b")),
    }
