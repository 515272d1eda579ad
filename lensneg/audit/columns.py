"""The rows of a manifest as arrays."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.healpy_without_plots import healpy
from lensneg.schema.arrays import BoolArray, FloatArray


class Rows:
    """The rows of a table as arrays, each made when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers; floats as float64, a null as NaN."""
        column = self.table[name]
        if pa.types.is_floating(column.type):
            return np.asarray(column.to_numpy(), dtype=np.float64)
        return np.asarray(column.to_numpy())

    def is_in(self, name: str, values: Iterable[str]) -> BoolArray:
        """Return which rows hold one of some texts."""
        return np.asarray(pc.is_in(self.table[name], pa.array(list(values), pa.string())))

    def index_in(self, name: str, values: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return which of some texts each row holds; -1 for none of them."""
        found = pc.index_in(self.table[name], pa.array(list(values), pa.string()))
        return np.asarray(pc.fill_null(found, -1)).astype(np.int64)

    @cached_property
    def magnitudes(self) -> dict[str, FloatArray]:
        """AB magnitude by band; NaN where there is no positive flux."""
        found = {}
        for band in ("g", "r", "z", "w1"):
            flux = self[f"flux_{band}"]
            with np.errstate(divide="ignore", invalid="ignore"):
                found[band] = np.where(flux > 0, 22.5 - 2.5 * np.log10(flux), np.nan)
        return found

    @cached_property
    def pixels(self) -> npt.NDArray[np.int64]:
        """HEALPix pixel at nside 128, NESTED."""
        theta, phi = np.radians(90.0 - self["dec"]), np.radians(self["ra"])
        return np.asarray(healpy.ang2pix(128, theta, phi, nest=True), dtype=np.int64)
