"""Rows of many chunks gathered into one table."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lensneg.rules.rows import ROW_INDEX, Rows
from lensneg.schema.arrays import IntArray
from lensneg.schema.columns import NEEDED_COLUMNS

#: Gathered rows are put into columns so many at a time, 1 MB: what costs is the call, not the row.
_SETTLED_AT_ONCE: Final = 2_048

#: There is room for so many rows at first. Room that is not used takes no memory.
_ROOM: Final = 1 << 18


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
        self._columns[ROW_INDEX] = np.empty(_ROOM, np.int64)

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
        while self._size > len(self._columns[ROW_INDEX]):
            self._columns = {name: _doubled(column) for name, column in self._columns.items()}
        self._columns[ROW_INDEX][first : self._size] = first_row + index
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

    def gathered(self) -> Rows:
        """Return all rows that were copied."""
        self._settle()
        return Rows({name: column[: self._size] for name, column in self._columns.items()})


def _doubled(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values with as much room again behind them."""
    larger = np.empty(2 * len(values), values.dtype)
    larger[: len(values)] = values
    return larger
