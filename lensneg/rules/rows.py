"""Rows of a sweep table, as the rules see them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.errors import InputError
from lensneg.schema.arrays import ArrowStream, BoolArray, IntArray
from lensneg.schema.sweep_columns import SOURCE_TYPES

#: The column of gathered rows that says where each was in its file.
ROW_INDEX: Final = "ROW_INDEX"

#: Each type's four bytes, padded with NUL, as one number: many times faster to compare than text.
_TYPE_NUMBERS: Final = np.array(SOURCE_TYPES, "S4").view(np.uint32)[:, np.newaxis]

#: Each type's place in ``SOURCE_TYPES``, from 1.
_TYPE_PLACES: Final = np.arange(1, len(SOURCE_TYPES) + 1, dtype=np.int8)[:, np.newaxis]


class Rows:
    """Rows of a sweep table; a column is taken when it is asked for.

    Parameters
    ----------
    table : structured ndarray, or mapping of str to ndarray, each of shape (n,)
        Columns by upper-case name, as they are in a file.
    index : ndarray of int64, optional
        Only these rows of the table.
    nulls : mapping of str to int, optional
        The value that stands for a missing one, by name of the column (TNULL of the file).
    """

    def __init__(
        self,
        table: npt.NDArray[np.void] | Mapping[str, npt.NDArray[Any]],
        index: IntArray | None = None,
        nulls: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._table, self._index, self._nulls = table, index, nulls

    @classmethod
    def of(cls, table: npt.NDArray[np.void] | ArrowStream) -> Rows:
        """Take any table with columns of a sweep, whatever the case of their names.

        Parameters
        ----------
        table : structured ndarray, pyarrow.Table, or DataFrame of pandas or Polars
            Its columns have a sweep's names.

        Returns
        -------
        Rows

        Raises
        ------
        InputError
            If a column that holds no floating-point numbers has missing values.

        Examples
        --------
        >>> rows = Rows.of(pa.table({"type": ["DEV", "PSF"], "flux_z": [20.0, 5.0]}))
        >>> rows["FLUX_Z"], rows.source_type()
        (array([20.,  5.]), array([3, 0]))
        """
        if isinstance(table, np.ndarray):
            return cls({name.upper(): table[name] for name in table.dtype.names or ()})
        arrow = pa.table(table)
        return cls({name.upper(): _array_of(name, arrow[name]) for name in arrow.column_names})

    def __len__(self) -> int:
        if self._index is not None:
            return len(self._index)
        return len(self._table if isinstance(self._table, np.ndarray) else next(iter(self._table.values())))

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column in this machine's byte order; text is as in the file, with its padding."""
        values = self._table[column]
        if self._index is not None:
            values = values[self._index]
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def __contains__(self, column: str) -> bool:
        if isinstance(self._table, np.ndarray):
            return column in (self._table.dtype.fields or ())  # a dictionary; names are a tuple
        return column in self._table

    def may_be_null(self, column: str) -> bool:
        """Return whether a column of integers has a value that stands for a missing one.

        Parameters
        ----------
        column : str
            Its upper-case name.

        Returns
        -------
        bool
        """
        return column in self._nulls

    def is_null(self, column: str) -> BoolArray:
        """Return which values of a column of integers are missing.

        Parameters
        ----------
        column : str
            Its upper-case name.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        null = self._nulls.get(column)
        return np.zeros(len(self), dtype=bool) if null is None else np.asarray(self[column] == null)

    @property
    def row_index(self) -> IntArray:
        """Each row's place in its file. Rows that are not gathered have none."""
        return self[ROW_INDEX]

    @cached_property
    def _source_type(self) -> npt.NDArray[np.intp]:
        names = self["TYPE"]
        index = _index_of_type(names)
        (others,) = (index < 0).nonzero()
        if len(others):  # Padded with spaces, in lower case, or none of SOURCE_TYPES.
            index[others] = _index_of_type(np.char.upper(np.char.strip(names[others])))
        return index

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row.

        Returns
        -------
        ndarray of int, shape (n,)
            Index into ``SOURCE_TYPES``; -1 for any other type.
        """
        return self._source_type

    def take(self, index: IntArray) -> Rows:
        """Return some of the rows.

        Parameters
        ----------
        index : ndarray of int
            Which of these rows, in what order.

        Returns
        -------
        Rows
            A column is gathered when it is asked for.
        """
        return Rows(self._table, index if self._index is None else self._index[index], self._nulls)


def _index_of_type(names: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the index of each name in ``SOURCE_TYPES``, -1 where it is not spelt as there."""
    is_type = names.astype("S4").view(np.uint32) == _TYPE_NUMBERS
    index: npt.NDArray[np.intp] = (is_type * _TYPE_PLACES).max(axis=0).astype(np.intp) - 1
    return index


def _array_of(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    if column.null_count:
        raise InputError(f"{column.null_count:,} values of {name} are missing", remedy="fill or drop them")
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    return np.array([str(value) for value in column.to_pylist()], "S")
