"""The best candidate of each catalogue position, against Python's own comparison of tuples."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lensneg.rules.matching import best_matches

#: Of a candidate: catalogue row, separation, TARGETID, sweep file, row; the order in which they decide.
Candidate = tuple[int, float, int, str, int]
NAMES = ("catalog_row", "separation_arcsec", "targetid", "sweep_file", "row_index")
SCHEMA = pa.schema(zip(NAMES, (pa.int64(), pa.float64(), pa.int64(), pa.string(), pa.int64()), strict=True))


def best(*candidates: Candidate) -> list[Candidate]:
    """What is left of some candidates; a column of another kind comes along with its row."""
    table = pa.Table.from_pylist([dict(zip(NAMES, c, strict=True)) for c in candidates], SCHEMA)
    table = table.append_column("ra", pa.array([c[4] / 8 for c in candidates], pa.float64()))
    found = best_matches(table)
    assert found.schema == table.schema
    assert found["ra"].to_pylist() == [row / 8 for row in found["row_index"].to_pylist()]
    return [tuple(row[name] for name in NAMES) for row in found.to_pylist()]


def test_the_nearest_source_is_taken_whatever_its_targetid() -> None:
    assert best((3, 0.9, 1, "a", 1), (3, 0.2, 9, "a", 2), (3, 0.5, 5, "a", 3)) == [(3, 0.2, 9, "a", 2)]


def test_of_two_equally_near_sources_that_of_the_lower_targetid_is_taken() -> None:
    low, high = (3, 0.5, 7, "b", 2), (3, 0.5, 8, "a", 1)
    assert best(low, high) == best(high, low) == [low]


def test_of_a_source_that_stands_in_two_rows_the_first_by_file_and_row_is_taken() -> None:
    """Whichever item is read first."""
    one, two, three = (3, 0.5, 7, "a", 9), (3, 0.5, 7, "b", 1), (3, 0.5, 7, "b", 2)
    assert best(three, two, one) == [one]
    assert best(three, two) == [two]


def test_each_position_has_its_own_best_and_they_are_in_the_order_of_the_catalogue() -> None:
    found = best((5, 0.1, 1, "a", 1), (2, 0.9, 2, "a", 2), (5, 0.2, 3, "a", 3), (2, 1.1, 1, "a", 4))
    assert found == [(2, 0.9, 2, "a", 2), (5, 0.1, 1, "a", 1)]


def test_of_no_candidates_none_is_best() -> None:
    assert best() == []


FEW = st.integers(0, 3)


@given(st.lists(st.tuples(FEW, st.sampled_from([0.0, 0.5, 1.5]), FEW, st.sampled_from("ab"), FEW)))
def test_the_best_is_the_least_of_its_position(candidates: list[Candidate]) -> None:
    expected = [min(c for c in candidates if c[0] == row) for row in sorted({c[0] for c in candidates})]
    assert best(*candidates) == expected


def test_of_a_hard_negative_a_source_that_no_cut_drops_is_taken_before_nearer_ones() -> None:
    """From a catalogue row on. A positive is at its nearest source, whatever cut that fails."""
    rows = [(row, separation, i) for row in (3, 4) for i, separation in enumerate((0.2, 0.9, 0.5))]
    table = pa.Table.from_pylist(
        [dict(zip(NAMES, (row, separation, i, "a", i), strict=True)) for row, separation, i in rows], SCHEMA
    ).append_column("cut", pa.array(["faint", None, "nobs", "faint", None, "nobs"]))
    found = best_matches(table, uncut_first_from=4)
    assert found.select(["catalog_row", "targetid"]).to_pylist() == [
        {"catalog_row": 3, "targetid": 0},
        {"catalog_row": 4, "targetid": 1},
    ]
    none_left = best_matches(table.filter(table["cut"].is_valid()), uncut_first_from=4)
    assert none_left["targetid"].to_pylist() == [0, 0]
