"""The positions of all lens catalogues of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.catalogs.catalog import Catalog
from lensneg.rules.sky import unit_vectors


@dataclass(frozen=True)
class Lenses:
    """The positions of all catalogues of a run.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    is_positive : ndarray of bool, shape (n,)
        Whether the catalogue is one of positives.
    """

    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    is_positive: npt.NDArray[np.bool_]

    @cached_property
    def vectors(self) -> npt.NDArray[np.float64]:
        """Unit vectors of the positions, shape (n, 3)."""
        return unit_vectors(self.ra, self.dec)


#: Catalogue positions of a run: all lenses to keep clear of, and which of them are positives.
LENSES_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("ra", pa.float64(), nullable=False),
        pa.field("dec", pa.float64(), nullable=False),
        pa.field("is_positive", pa.bool_(), nullable=False),
        pa.field("catalog", pa.int32(), nullable=False),
    ]
)


def lens_table(catalogs: Sequence[tuple[str, Catalog]]) -> pa.Table:
    positions = [catalog for _, catalog in catalogs]
    lengths = [len(catalog.ra) for catalog in positions]
    return pa.table(
        {
            "name": [name for catalog in positions for name in catalog.names],
            "ra": np.concatenate([catalog.ra for catalog in positions]),
            "dec": np.concatenate([catalog.dec for catalog in positions]),
            "is_positive": np.repeat([role == "positives" for role, _ in catalogs], lengths),
            "catalog": np.repeat(np.arange(len(catalogs), dtype=np.int32), lengths),
        },
        schema=LENSES_SCHEMA,
    )
