"""The columns that are compared, and the rows of a manifest in which they are."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.arrays import FloatArray
from lensneg.schema.columns import POSITIVE
from lensneg.schema.shortcuts import Kind

#: The most negatives that are looked at, so that the time is bounded.
MOST_NEGATIVES: Final = 100_000


class Column(NamedTuple):
    """A column that is compared, and its numbers; NaN where there is none."""

    name: str
    label: str
    kind: Kind
    needs: tuple[str, ...]
    numbers: Callable[[pa.Table], FloatArray]


def _numbers(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _copied(name: str, label: str, kind: Kind = "nuisance") -> Column:
    return Column(name, label, kind, (name,), lambda table: _numbers(table, name))


def _bits_set(table: pa.Table) -> FloatArray:
    bits = np.asarray(table["maskbits"].to_numpy(), dtype=np.int64)
    return np.bitwise_count(bits).astype(np.float64)


def _ellipticity(table: pa.Table) -> FloatArray:
    return np.hypot(_numbers(table, "shape_e1"), _numbers(table, "shape_e2"))


#: All columns, in the order of the report.
COLUMNS: Final[tuple[Column, ...]] = (
    _copied("mag_r", "r magnitude"),
    *(_copied(f"psfsize_{band}", f"seeing in {band}") for band in "grz"),
    *(_copied(f"galdepth_{band}", f"depth in {band}") for band in "grz"),
    _copied("nobs_z", "exposures in z"),
    _copied("ebv", "extinction E(B−V)"),
    Column("maskbits", "number of mask bits", "nuisance", ("maskbits",), _bits_set),
    _copied("ra", "right ascension"),
    _copied("dec", "declination"),
    _copied("g_minus_r", "g − r", "colours_and_shapes"),
    _copied("r_minus_z", "r − z", "colours_and_shapes"),
    _copied("z_minus_w1", "z − W1", "colours_and_shapes"),
    _copied("shape_r", "half-light radius", "colours_and_shapes"),
    Column("ellipticity", "ellipticity", "colours_and_shapes", ("shape_e1", "shape_e2"), _ellipticity),
    _copied("sersic", "Sérsic index", "colours_and_shapes"),
)

#: The columns of the manifest that they need.
NEEDED: Final = tuple(
    dict.fromkeys(
        (
            "pool",
            "nobs_z_bin",
            "type_bin",
            "healpix_64",
            *(name for column in COLUMNS for name in column.needs),
        )
    )
)


class Sample:
    """Rows of a manifest: all positives, and negatives at equal distances in the order of the rows.

    Rows are in the order of strata, pools and random priorities. So the negatives have the shares of strata
    and pools that all negatives have, and are random ones within each. Those of lowest priority would not
    have these shares: the strata of which all sources are drawn would lose most.

    Parameters
    ----------
    negatives : int
        The number of all negatives.
    """

    def __init__(self, negatives: int) -> None:
        self._step, self._seen = max(1, -(-negatives // MOST_NEGATIVES)), 0
        self._positives: list[pa.Table] = []
        self._negatives: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """See some rows, in their order. They have the columns :data:`NEEDED`."""
        table = table.select(NEEDED)
        is_positive = pc.equal(table["pool"], POSITIVE)
        self._positives.append(table.filter(is_positive))
        negatives = table.filter(pc.invert(is_positive))
        self._negatives.append(
            negatives.take(np.arange(-self._seen % self._step, len(negatives), self._step))
        )
        self._seen += len(negatives)

    @property
    def table(self) -> pa.Table:
        """The rows, the positives first."""
        tables = [*self._positives, *self._negatives]
        return pa.concat_tables(tables or [pa.table({name: [] for name in NEEDED})]).combine_chunks()
