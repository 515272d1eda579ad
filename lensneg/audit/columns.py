"""A batch of rows of a manifest as arrays."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.healpy_without_plots import healpy
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.manifest import Part
from lensneg.schema.quotas import DrawKey

#: What is told of the rows of a draw.
_OF_A_DRAW: Final = [
    ([], "count_all"),
    ("sampling_weight", "min"),
    ("sampling_weight", "max"),
    ("sampling_priority", "min"),
    ("sampling_priority", "max"),
]


class Rows:
    """Some rows of a part of a manifest as arrays, each made when it is asked for, and once."""

    def __init__(self, table: pa.Table, part: Part = "negatives", lenses: pa.Table | None = None) -> None:
        self.table, self.part = table, part
        #: Of positives, the columns that say which lens each is.
        self.lenses = lenses
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers; floats as float64, a null as NaN."""
        if name not in self._arrays:
            column = self.table[name]
            kind = np.float64 if pa.types.is_floating(column.type) else None
            self._arrays[name] = np.asarray(column.to_numpy(), dtype=kind)
        return self._arrays[name]

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
    def off_sphere(self) -> BoolArray:
        """Which rows have impossible coordinates."""
        ra, dec = self["ra"], self["dec"]
        return np.asarray(~((ra >= 0) & (ra <= 360) & (dec >= -90) & (dec <= 90)))

    @cached_property
    def draws(self) -> list[dict[str, Any]]:
        """The draws of the rows: how many rows, and the extremes of weight and priority."""
        keys = [*DrawKey._fields, "pool"]
        groups = self.table.group_by(keys, use_threads=False)  # in order of appearance
        return list(groups.aggregate(_OF_A_DRAW).to_pylist())

    @cached_property
    def pixels(self) -> npt.NDArray[np.int64]:
        """HEALPix pixel at nside 128, NESTED."""
        theta, phi = np.radians(90.0 - self["dec"]), np.radians(self["ra"])
        return np.asarray(healpy.ang2pix(128, theta, phi, nest=True), dtype=np.int64)
