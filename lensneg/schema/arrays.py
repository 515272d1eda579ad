"""Type aliases of the arrays that functions take and return."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class ArrowStream(Protocol):
    """A table that can be read by Arrow's PyCapsule interface, as those of pyarrow, pandas and Polars can."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a PyCapsule that holds the table as an Arrow stream."""
