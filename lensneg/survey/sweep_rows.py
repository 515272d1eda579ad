"""Rows of a sweep table in memory, and rows of many chunks gathered into one table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lensneg.schema.arrays import IntArray
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SOURCE_TYPES

#: The column of gathered rows that says where each was in its file.
_ROW_INDEX: Final = "ROW_INDEX"

#: Gathered rows are put into columns so many at a time, 1 MB: what costs is the call, not the row.
_SETTLED_AT_ONCE: Final = 2_048

#: There is room for so many rows at first. Room that is not used takes no memory.
_ROOM: Final = 1 << 18

#: Each type's four bytes, padded with NUL, as one number: many times faster to compare than text.
_TYPE_NUMBERS: Final = np.array(SOURCE_TYPES, "S4").view(np.uint32)[:, np.newaxis]

#: Each type's place in ``SOURCE_TYPES``, from 1.
_TYPE_PLACES: Final = np.arange(1, len(SOURCE_TYPES) + 1, dtype=np.int8)[:, np.newaxis]


class SweepRows:
    """Rows of a sweep table; a column is taken when it is asked for.

    Parameters
    ----------
    table : structured ndarray, or mapping of str to ndarray, each of shape (n,)
        Columns by upper-case name, as they are in a file.
    index : ndarray of int64, optional
        Only these rows of the table.
    """

    def __init__(
        self, table: npt.NDArray[np.void] | Mapping[str, npt.NDArray[Any]], index: IntArray | None = None
    ) -> None:
        self._table, self._index = table, index

    def __len__(self) -> int:
        return len(self._table["RELEASE"] if self._index is None else self._index)

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column in this machine's byte order; text is as in the file, with its padding."""
        values = self._table[column]
        if self._index is not None:
            values = values[self._index]
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    @property
    def row_index(self) -> IntArray:
        """Each row's place in its file. Rows that are not gathered have none."""
        return self[_ROW_INDEX]

    @cached_property
    def _source_type(self) -> npt.NDArray[np.intp]:
        names = self["TYPE"]
        index = _index_of_type(names)
        (others,) = (index < 0).nonzero()
        if len(others):  # Padded with spaces, in lower case, or none of SOURCE_TYPES.
            index[others] = _index_of_type(np.char.upper(np.char.strip(names[others])))
        return index

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        return self._source_type

    def take(self, index: IntArray) -> SweepRows:
        """Return some of the rows."""
        return SweepRows(self._table, index if self._index is None else self._index[index])


def _index_of_type(names: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the index of each name in ``SOURCE_TYPES``, -1 where it is not spelt as there."""
    is_type = names.astype("S4").view(np.uint32) == _TYPE_NUMBERS
    index: npt.NDArray[np.intp] = (is_type * _TYPE_PLACES).max(axis=0).astype(np.intp) - 1
    return index


class RowGatherer:
    """Copies of some rows of many chunks, whose memory is used again.

    Only :data:`NEEDED_COLUMNS` are kept, so a row takes a third of what it takes in the file.

    Parameters
    ----------
    dtype : numpy.dtype
        One row of the file.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype, self._size, self._settled = dtype, 0, 0
        self._waiting: list[npt.NDArray[np.void]] = []
        self._columns = {name: np.empty(_ROOM, dtype[name].newbyteorder("=")) for name in NEEDED_COLUMNS}
        self._columns[_ROW_INDEX] = np.empty(_ROOM, np.int64)

    def __len__(self) -> int:
        return self._size

    def append(self, chunk: npt.NDArray[np.void], first_row: int, index: IntArray) -> None:
        """Copy the rows of a chunk that an index names.

        Parameters
        ----------
        chunk : structured ndarray, shape (n,)
        first_row : int
            Place in the file of the chunk's first row.
        index : ndarray of int64
        """
        if not len(index):
            return
        first, self._size = self._size, self._size + len(index)
        while self._size > len(self._columns[_ROW_INDEX]):
            self._columns = {name: _doubled(column) for name, column in self._columns.items()}
        self._columns[_ROW_INDEX][first : self._size] = first_row + index
        # As plain bytes: numpy would copy a structure field by field.
        self._waiting.append(chunk.view(f"V{chunk.itemsize}")[index])
        if self._size - self._settled >= _SETTLED_AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Move the waiting rows into the columns."""
        if self._waiting:
            rows = np.concatenate(self._waiting).view(self._dtype)
            for name in NEEDED_COLUMNS:
                self._columns[name][self._settled : self._size] = rows[name]
            self._waiting.clear()
            self._settled = self._size

    def gathered(self) -> SweepRows:
        """Return all rows that were copied."""
        self._settle()
        return SweepRows({name: column[: self._size] for name, column in self._columns.items()})


def _doubled(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values with as much room again behind them."""
    larger = np.empty(2 * len(values), values.dtype)
    larger[: len(values)] = values
    return larger
