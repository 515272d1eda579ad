"""The file lenses.parquet: the positions and facts of all lens catalogues of a run."""

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.lens_facts import facts_schema
from lensneg.schema.tables import read_table, write_table

LENSES_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("ra", pa.float64(), nullable=False),
        pa.field("dec", pa.float64(), nullable=False),
        pa.field("is_positive", pa.bool_(), nullable=False),
        pa.field("catalog", pa.int32(), nullable=False),
        pa.field("radius_arcsec", pa.float64()),
        *facts_schema(),
    ]
)

#: The place of the first column that the catalogues' facts fill.
_FIRST_FACT: Final = len(LENSES_SCHEMA) - len(facts_schema())


@dataclass(frozen=True)
class Lenses:
    """The positions of all catalogues of a run: the positives, and what else negatives keep a distance from.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    is_positive : ndarray of bool, shape (n,)
        Whether the catalogue is one of positives.
    names : list of str, length n
        The names of the entries.
    catalog : ndarray of int32, shape (n,)
        Index of the entry's catalogue among the catalogues of the run.
    radius_arcsec : ndarray of float64, shape (n,)
        The exclusion radius that the catalogue states. NaN for that of the config, as by default.
    facts : pyarrow.Table
        What the catalogues say of the entries: the columns of
        :func:`~lensneg.schema.lens_facts.facts_schema`. By default they say nothing.
    """

    ra: FloatArray
    dec: FloatArray
    is_positive: BoolArray
    names: list[str] = field(repr=False)
    catalog: npt.NDArray[np.int32]
    radius_arcsec: FloatArray = field(default_factory=lambda: np.empty(0))
    facts: pa.Table = field(default_factory=lambda: facts_schema().empty_table(), repr=False)

    def __post_init__(self) -> None:
        if not len(self.radius_arcsec):
            object.__setattr__(self, "radius_arcsec", np.full(len(self), np.nan))
        if not len(self.facts):
            nothing = [pa.nulls(len(self), fact.type) for fact in self.facts.schema]
            object.__setattr__(self, "facts", pa.table(nothing, schema=self.facts.schema))

    def __len__(self) -> int:
        return len(self.ra)

    @classmethod
    def read(cls, uri: str) -> Self:
        """Read the positions from the file that PlanFanOut wrote.

        Parameters
        ----------
        uri : str
            The file.

        Returns
        -------
        Lenses
            The positions, in the order of the file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        RunStateError
            If the file is truncated, or has other columns.
        """
        table = read_table(uri, LENSES_SCHEMA)
        return cls(
            table["ra"].to_numpy(),
            table["dec"].to_numpy(),
            np.asarray(table["is_positive"]),
            table["name"].to_pylist(),
            table["catalog"].to_numpy(),
            table["radius_arcsec"].to_numpy(),
            table.select(table.column_names[_FIRST_FACT:]),
        )

    def write(self, uri: str) -> None:
        """Write the positions to a file.

        Parameters
        ----------
        uri : str
            The file.
        """
        columns = [self.names, self.ra, self.dec, self.is_positive, self.catalog, self.radius_arcsec]
        schema = pa.schema([*list(LENSES_SCHEMA)[:_FIRST_FACT], *self.facts.schema])
        write_table(uri, pa.table([*columns, *self.facts.columns], schema=schema))
