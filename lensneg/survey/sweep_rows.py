"""Rows of a sweep table: gathered from the chunks that the reader hands on."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lensneg.schema.arrays import IntArray
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SOURCE_TYPES

#: Gathered rows are put into columns so many at a time, 1 MB: what costs is the call, not the row.
_SETTLED_AT_ONCE: Final = 2_048


class SweepRows:
    """Rows of a sweep table: native arrays by upper-case column name, gathered when asked for.

    Parameters
    ----------
    table : structured ndarray, shape (n,)
        Big-endian, with upper-case field names.
    index : ndarray of int64, optional
        Only these rows.
    """

    def __init__(self, table: npt.NDArray[np.void], index: IntArray | None = None) -> None:
        self._table, self._index = table, index

    @property
    def dtype(self) -> np.dtype[np.void]:
        """One row of the file."""
        return self._table.dtype

    def __len__(self) -> int:
        return len(self._table) if self._index is None else len(self._index)

    def raw(self, column: str) -> npt.NDArray[Any]:
        """Return a column as it stands in the file: text with its padding, numbers big-endian."""
        values = self._table[column]
        return values if self._index is None else values[self._index]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column; text is stripped of padding, and TYPE is in upper case."""
        values = self.raw(column)
        if values.dtype.kind == "S":
            return read_text(values, column)
        return values.astype(values.dtype.newbyteorder("="))

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        values = self._table["TYPE"]
        assert self.dtype.fields is not None
        place = self.dtype.fields["TYPE"][1]
        has_three = values.dtype.itemsize == 3 and place + 4 <= self.dtype.itemsize
        if has_three:
            # The fourth byte is the next column's: it is cheaper to take it along and to blank it.
            values = self._table.getfield(_FOUR_BYTES, place)
        values = values.copy() if self._index is None else values[self._index]
        if has_three:
            return _type_of_number(values.view(np.uint32), _THREE_OF_FOUR)
        return type_index(values)

    def take(self, index: IntArray) -> SweepRows:
        """Return some of the rows."""
        return SweepRows(self._table, index if self._index is None else self._index[index])

    def pack(self, part: slice, out: npt.NDArray[np.void]) -> None:
        """Copy a part of the rows into ``out`` as plain bytes: numpy copies structures field by field."""
        rows = self._table.view(out.dtype)
        if self._index is None:
            out[:] = rows[part]
        else:
            # Every other mode of numpy's makes a buffer for its output first.
            rows.take(self._index[part], out=out, mode="clip")


class GatheredRows:
    """Rows gathered from many chunks: one native array a column, with room to grow.

    Only :data:`NEEDED_COLUMNS` are kept, so a row takes a third of what it takes in the file.

    Parameters
    ----------
    dtype : numpy.dtype
        One row of the file.
    room : int
        Rows that are expected. Room that is not used takes no memory; room that is missing, a copy.
    """

    def __init__(self, dtype: np.dtype[np.void], room: int = 0) -> None:
        self._dtype = dtype
        self._size = 0
        self._columns = {name: np.empty(room, dtype[name].newbyteorder("=")) for name in NEEDED_COLUMNS}
        self._row_index = np.empty(room, np.int64)
        self._waiting = np.empty(_SETTLED_AT_ONCE, f"V{dtype.itemsize}")
        self._waiting_index = np.empty(_SETTLED_AT_ONCE, np.int64)
        self._n_waiting = 0

    def append(self, rows: SweepRows, row_index: IntArray) -> None:
        """Add rows; they are copied."""
        done, count = 0, len(row_index)
        while done < count:
            first = self._n_waiting
            last = min(first + count - done, _SETTLED_AT_ONCE)
            part = slice(done, done + last - first)
            rows.pack(part, self._waiting[first:last])
            self._waiting_index[first:last] = row_index[part]
            self._n_waiting, done = last, part.stop
            if last == _SETTLED_AT_ONCE:
                self._settle()

    def _settle(self) -> None:
        """Move the waiting rows into the columns."""
        if not self._n_waiting:
            return
        records = self._waiting[: self._n_waiting].view(self._dtype)
        first, last = self._size, self._size + self._n_waiting
        room = len(self._row_index)
        if last > room:
            room = max(last, room + room // 2)
            for name, column in self._columns.items():
                self._columns[name] = _with_room(column, first, room)
            self._row_index = _with_room(self._row_index, first, room)
        for name, column in self._columns.items():
            column[first:last] = records[name]
        self._row_index[first:last] = self._waiting_index[: self._n_waiting]
        self._n_waiting, self._size = 0, last

    def __len__(self) -> int:
        return self._size + self._n_waiting

    def raw(self, column: str) -> npt.NDArray[Any]:
        """Return a column as it stands in the file, text with its padding."""
        self._settle()
        return self._columns[column][: self._size]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column as :class:`SweepRows` does."""
        return read_text(self.raw(column), column)

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        return type_index(self.raw("TYPE"))

    @property
    def row_index(self) -> IntArray:
        """Each row's place in its file."""
        self._settle()
        return self._row_index[: self._size]

    def take(self, index: IntArray) -> TakenRows:
        """Return some of the rows; a column is copied only when it is asked for."""
        return TakenRows(self, index)


class TakenRows:
    """Some rows of :class:`GatheredRows`: an index, by which each column is taken when it is asked for."""

    def __init__(self, rows: GatheredRows, index: IntArray) -> None:
        self._rows, self._index = rows, index

    def __len__(self) -> int:
        return len(self._index)

    def raw(self, column: str) -> npt.NDArray[Any]:
        """Return a column as it stands in the file, text with its padding."""
        return self._rows.raw(column)[self._index]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column as :class:`SweepRows` does."""
        return read_text(self.raw(column), column)

    @cached_property
    def _source_type(self) -> npt.NDArray[np.intp]:
        return type_index(self.raw("TYPE"))

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        return self._source_type

    @property
    def row_index(self) -> IntArray:
        """Each row's place in its file."""
        return self._rows.row_index[self._index]

    def take(self, index: IntArray) -> TakenRows:
        """Return some of the rows."""
        return TakenRows(self._rows, self._index[index])


#: Rows that outlive their chunk.
KeptRows = GatheredRows | TakenRows


def _with_room(values: npt.NDArray[Any], used: int, room: int) -> npt.NDArray[Any]:
    larger = np.empty(room, values.dtype)
    larger[:used] = values[:used]
    return larger


def read_text(values: npt.NDArray[Any], column: str) -> npt.NDArray[Any]:
    """Return a column's text stripped of padding, TYPE in upper case; other values as they are."""
    if values.dtype.kind != "S":
        return values
    text = strip_text(values)
    return np.char.upper(text) if column == "TYPE" else text


def strip_text(values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.str_]:
    """Return fixed-width text without its padding."""
    try:
        return np.char.strip(values.astype(np.str_))
    except UnicodeDecodeError as error:
        raise ValueError("text that is not ASCII") from error


#: Each type's four bytes, padded with NUL, as one number; and where that number's hash finds it again.
_TYPE_NUMBERS: Final = np.array([*SOURCE_TYPES, ""]).astype("S4").view(np.uint32)

_HASH_FACTOR: Final = np.uint32(0x5498EE97)

_HASH_SHIFT: Final = np.uint32(28)

_FOUR_BYTES: Final = np.dtype("S4")

#: Without the bit 0x20 a small letter is its capital, and a space is NUL.
_ALL_CAPITALS: Final = np.frombuffer(b"\xdf\xdf\xdf\xdf", np.uint32)[0]

_THREE_OF_FOUR: Final = np.frombuffer(b"\xdf\xdf\xdf\0", np.uint32)[0]

_TYPE_OF_HASH: Final = np.full(16, -1, dtype=np.intp)

_TYPE_OF_HASH[(_TYPE_NUMBERS[:-1] * _HASH_FACTOR) >> _HASH_SHIFT] = np.arange(len(SOURCE_TYPES))


def type_index(values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
    """Return the index of each type in ``SOURCE_TYPES``, whatever its padding and case; -1 for others."""
    if values.dtype.itemsize > 4:
        values = np.char.strip(values)
    return _type_of_number(values.astype("S4").view(np.uint32))


def _type_of_number(
    numbers: npt.NDArray[np.uint32], its_bits: np.uint32 = _ALL_CAPITALS
) -> npt.NDArray[np.intp]:
    """Return the index of each type in ``SOURCE_TYPES`` by its four bytes; -1 for others.

    Looking up four bytes as one number is many times faster than comparing text, and this is done for
    every bright source.
    """
    numbers = numbers & its_bits
    index = _TYPE_OF_HASH.take((numbers * _HASH_FACTOR) >> _HASH_SHIFT)
    index[_TYPE_NUMBERS.take(index) != numbers] = -1
    return index
