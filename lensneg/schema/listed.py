"""The file listed.parquet: the sources that a run's catalogues list as suspects or as hard negatives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lensneg.schema.arrays import FloatArray, IntArray
from lensneg.schema.tables import read_table, write_table

LISTED_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("targetid", pa.int64()),
        pa.field("catalog", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class ListedSources:
    """The entries of the catalogues of suspects and hard negatives. Each has a position, a TARGETID, or both.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS. NaN for an entry without a position.
    targetid : ndarray of int64, shape (n,)
        0 for an entry without one.
    names : list of str, length n
        The names of the entries.
    catalog : ndarray of int32, shape (n,)
        Index of the entry's catalogue among the catalogues of the run.
    """

    ra: FloatArray = field(default_factory=lambda: np.empty(0))
    dec: FloatArray = field(default_factory=lambda: np.empty(0))
    targetid: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    names: list[str] = field(default_factory=list, repr=False)
    catalog: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.ra)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the entries of several lists as one.

        Parameters
        ----------
        parts : sequence of ListedSources
            The lists, in order.

        Returns
        -------
        ListedSources
        """
        whole = [cls(), *parts]
        return cls(
            ra=np.concatenate([part.ra for part in whole]),
            dec=np.concatenate([part.dec for part in whole]),
            targetid=np.concatenate([part.targetid for part in whole]),
            names=[name for part in whole for name in part.names],
            catalog=np.concatenate([part.catalog for part in whole]),
        )

    def take(self, rows: IntArray) -> Self:
        """Return some of the entries.

        Parameters
        ----------
        rows : ndarray of int64
            Their places.

        Returns
        -------
        ListedSources
            In the order of ``rows``.
        """
        names = [self.names[i] for i in rows.tolist()]
        return type(self)(self.ra[rows], self.dec[rows], self.targetid[rows], names, self.catalog[rows])

    @classmethod
    def read(cls, uri: str) -> Self:
        """Read the entries from the file that PlanFanOut wrote.

        Parameters
        ----------
        uri : str
            The file.

        Returns
        -------
        ListedSources
            In the order of the file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        RunStateError
            If the file is truncated, or has other columns.
        """
        table = read_table(uri, LISTED_SCHEMA)
        return cls(
            table["ra"].to_numpy(),
            table["dec"].to_numpy(),
            np.asarray(table["targetid"].fill_null(0)),
            table["name"].to_pylist(),
            table["catalog"].to_numpy(),
        )

    def write(self, uri: str) -> None:
        """Write the entries to a file.

        Parameters
        ----------
        uri : str
            The file.
        """
        columns = [
            self.names,
            *(pa.array(values, mask=np.isnan(values)) for values in (self.ra, self.dec)),
            pa.array(self.targetid, mask=self.targetid == 0),
            self.catalog,
        ]
        write_table(uri, pa.table(columns, schema=LISTED_SCHEMA))
