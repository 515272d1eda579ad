"""Rows in memory: columns, types however they are padded, rows taken, and rows gathered from chunks."""

import numpy as np
import pytest
from sweepfile import table

from lensneg.schema.sweep_columns import SOURCE_TYPES, sweep_dtype
from lensneg.survey import sweep_rows
from lensneg.survey.sweep_rows import RowGatherer, SweepRows


def test_columns_are_native_arrays_of_their_own_type() -> None:
    rows = SweepRows(table([{}]))
    assert len(rows) == 1
    kinds = {"RA": "f8", "FLUX_Z": "f4", "NOBS_Z": "i2", "MASKBITS": "i4"}
    assert {name: rows[name].dtype for name in kinds} == {n: np.dtype(k) for n, k in kinds.items()}
    assert all(rows[name].dtype.isnative for name in kinds)


def test_rows_taken_of_rows_taken() -> None:
    rows = SweepRows(table([{"OBJID": i} for i in range(10)]))
    odd = rows.take(np.array([1, 3, 5, 7, 9]))
    assert odd["OBJID"].tolist() == [1, 3, 5, 7, 9]
    last = odd.take(np.array([4, 0]))
    assert (len(last), last["OBJID"].tolist()) == (2, [9, 1])
    assert rows["OBJID"].tolist() == list(range(10))


@pytest.mark.parametrize("width", [2, 3, 4, 6])
@pytest.mark.parametrize("pad", [b" ", b"\0"])
def test_types_are_known_by_all_their_letters(width: int, pad: bytes) -> None:
    """Every name of up to three letters, in columns of several widths, with both kinds of padding."""
    letters = "ABDEFPRSUVXZ "
    names = [a + b + c for a in letters for b in letters for c in letters]
    names += [name.lower() for name in SOURCE_TYPES] + list(SOURCE_TYPES)
    names = sorted({name.strip()[:width] for name in names})
    rows = np.zeros(len(names), [("RELEASE", ">i2"), ("TYPE", f"S{width}"), ("RA", ">f8")])
    rows["TYPE"] = [name.encode().ljust(width, pad) for name in names]
    rows["RA"] = -1.23456789e200  # No byte of the next column is taken for a letter.
    wanted = [SOURCE_TYPES.index(n.upper()) if n.upper() in SOURCE_TYPES else -1 for n in names]
    assert SweepRows(rows).source_type().tolist() == wanted
    backwards = np.arange(len(names))[::-1]
    assert SweepRows(rows, backwards).source_type().tolist() == wanted[::-1]


def test_types_with_spaces_before_them_and_bytes_that_are_no_text() -> None:
    rows = np.zeros(5, [("RELEASE", ">i2"), ("TYPE", "S5")])
    rows["TYPE"] = [b" SER ", b"  dup", b"S ER", b"\xc5\x9f", b"SERS"]
    assert SweepRows(rows).source_type().tolist() == [4, 5, -1, -1, -1]


@pytest.mark.parametrize("room", [1, 3000, 100_000])
def test_gathered_rows_are_those_that_were_appended(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Whatever room there was: in pieces from none to more than are moved at once."""
    monkeypatch.setattr(sweep_rows, "_ROOM", room)
    rows = np.repeat(table([{}]), 9000)
    random = np.random.default_rng(7)
    for name in ("RA", "FLUX_Z", "OBJID"):
        rows[name] = random.integers(0, 1 << 20, 9000)
    rows["TYPE"] = random.choice([b"PSF", b"SER", b"rex"], 9000)
    gatherer, kept = RowGatherer(sweep_dtype()), []
    for first, last in ((0, 0), (0, 1), (1, 5000), (5000, 5001), (5001, 8900), (8900, 9000)):
        chunk = rows[first:last].copy()
        index = np.flatnonzero(random.random(last - first) < 0.7)
        if first == 5001:
            index = np.arange(last - first)
        gatherer.append(chunk, first, index)
        chunk.view(np.uint8)[:] = 0xFF  # as a chunk's buffer is used again
        kept += (first + index).tolist()
    assert len(gatherer) == len(kept)
    gathered = gatherer.gathered()
    assert len(gathered) == len(kept)
    assert gathered.row_index.tolist() == kept
    some_of = random.permutation(len(kept))[:500]
    for name in ("RA", "FLUX_Z", "OBJID", "TYPE"):
        assert gathered[name].dtype.isnative
        assert gathered[name].tolist() == rows[name][kept].tolist()
        assert gathered.take(some_of)[name].tolist() == rows[name][kept][some_of].tolist()
    assert gathered.take(some_of).take(np.array([3, 1])).row_index.tolist() == [
        kept[some_of[3]],
        kept[some_of[1]],
    ]


def test_nothing_gathered() -> None:
    nothing = RowGatherer(sweep_dtype()).gathered()
    assert (len(nothing), nothing["RA"].tolist(), nothing.source_type().tolist()) == (0, [], [])
