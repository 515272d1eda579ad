"""Rows of a table: columns, types however they are padded, rows taken."""

import numpy as np
import pytest
from sweepfile import table

from lensneg.rules.rows import Rows
from lensneg.schema.sweep_columns import SOURCE_TYPES


def test_columns_are_native_arrays_of_their_own_type() -> None:
    rows = Rows(table([{}]))
    assert len(rows) == 1
    kinds = {"RA": "f8", "FLUX_Z": "f4", "NOBS_Z": "i2", "MASKBITS": "i4"}
    assert {name: rows[name].dtype for name in kinds} == {n: np.dtype(k) for n, k in kinds.items()}
    assert all(rows[name].dtype.isnative for name in kinds)


def test_a_column_that_is_native_is_not_copied() -> None:
    """A sweep file has millions of rows."""
    ra = np.arange(4.0)
    assert np.shares_memory(Rows({"RA": ra})["RA"], ra)
    swapped = ra.astype(">f8")
    assert Rows({"RA": swapped})["RA"].tolist() == ra.tolist()


def test_rows_taken_of_rows_taken() -> None:
    rows = Rows(table([{"OBJID": i} for i in range(10)]))
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
    assert Rows(rows).source_type().tolist() == wanted
    backwards = np.arange(len(names))[::-1]
    assert Rows(rows, backwards).source_type().tolist() == wanted[::-1]


def test_types_with_spaces_before_them_and_bytes_that_are_no_text() -> None:
    rows = np.zeros(5, [("RELEASE", ">i2"), ("TYPE", "S5")])
    rows["TYPE"] = [b" SER ", b"  dup", b"S ER", b"\xc5\x9f", b"SERS"]
    assert Rows(rows).source_type().tolist() == [4, 5, -1, -1, -1]
