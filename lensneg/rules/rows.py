"""Rows of a sweep table, as the rules see them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lensneg.schema.arrays import IntArray


class Rows(Protocol):
    """Rows of a sweep table; see :class:`lensneg.survey.sweep_rows.SweepRows`."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column by its upper-case name as a native array, shape (n,)."""

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""

    def take(self, index: IntArray) -> Rows:
        """Return some of the rows; a column is gathered only when it is asked for."""
