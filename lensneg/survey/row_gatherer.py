"""Rows of many chunks gathered into one table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lensneg.rules.rows import ROW_INDEX, Rows
from lensneg.schema.arrays import IntArray
from lensneg.schema.columns import NEEDED_COLUMNS

#: Rows of a file, as its reader gives them: whole, or by column.
Chunk = npt.NDArray[np.void] | Mapping[str, npt.NDArray[Any]]

#: Rows that are moved into the columns at once, 1 MB: the time goes into the calls, not into the rows.
_SETTLED_AT_ONCE: Final = 2_048

#: Rows that there is room for at first. The system gives memory only to rows that are written.
_ROOM: Final = 1 << 18


class RowGatherer:
    """Copies of some rows of many chunks, whose memory is reused.

    Only the needed columns are kept, so a row takes a third of the memory that it takes in the file.

    Parameters
    ----------
    dtype : numpy.dtype
        One row of the file.
    needed : tuple of str
        The columns to keep.
    nulls : mapping of str to int
        As for :class:`lensneg.rules.rows.Rows`.
    """

    def __init__(
        self,
        dtype: np.dtype[np.void],
        needed: tuple[str, ...] = NEEDED_COLUMNS,
        nulls: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._dtype, self._needed, self._nulls = dtype, needed, nulls
        self._size, self._settled = 0, 0
        self._waiting: list[npt.NDArray[np.void]] = []
        self._columns = {name: np.empty(_ROOM, dtype[name].newbyteorder("=")) for name in needed}
        self._columns[ROW_INDEX] = np.empty(_ROOM, np.int64)

    def __len__(self) -> int:
        return self._size

    def append(self, chunk: Chunk, first_row: int, index: IntArray) -> None:
        """Copy some rows of a chunk.

        Parameters
        ----------
        chunk : structured ndarray of shape (n,), or mapping of str to ndarray of shape (n,)
            Rows of the file. All chunks of a file are of one kind.
        first_row : int
            Place in the file of the chunk's first row.
        index : ndarray of int64, shape (m,)
            Places in the chunk of the rows to copy.
        """
        if not len(index):
            return
        first, self._size = self._size, self._size + len(index)
        while self._size > len(self._columns[ROW_INDEX]):
            for name, column in self._columns.items():
                self._columns[name] = np.empty(2 * len(column), column.dtype)
                self._columns[name][: len(column)] = column
        self._columns[ROW_INDEX][first : self._size] = first_row + index
        if not isinstance(chunk, np.ndarray):
            for name in self._needed:
                self._columns[name][first : self._size] = chunk[name][index]
            self._settled = self._size
            return
        # As plain bytes, since numpy copies structures field by field.
        self._waiting.append(chunk.view(f"V{chunk.itemsize}")[index])
        if self._size - self._settled >= _SETTLED_AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Move the waiting rows into the columns."""
        if self._waiting:
            rows = np.concatenate(self._waiting).view(self._dtype)
            for name in self._needed:
                self._columns[name][self._settled : self._size] = rows[name]
            self._waiting.clear()
            self._settled = self._size

    def gathered(self) -> Rows:
        """Return all rows that were copied.

        Returns
        -------
        Rows
            Views of the columns, with each row's place in the file.
        """
        self._settle()
        columns = {name: column[: self._size] for name, column in self._columns.items()}
        return Rows(columns, nulls=self._nulls)
