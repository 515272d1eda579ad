"""Where the rows of a run are on the sky, counted for the report's maps."""

from collections import Counter
from typing import Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.page.sample_rows import SampleRows
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.columns import POSITIVE
from lensneg.schema.config import SPLIT_ORDER

#: The field that is drawn is as large as a cell of the sweeps.
FIELD_DEG: Final = 5.0

#: Cells of declination have numbers that differ by less.
_CELLS: Final = 1_000


class Field(NamedTuple):
    """The rows of a field, and its centre in degrees."""

    centre: tuple[float, float]
    ra: FloatArray
    dec: FloatArray
    split: IntArray
    positive: BoolArray


class SampleSky(NamedTuple):
    """The rows of a run on the sky.

    Attributes
    ----------
    negatives : ndarray of int64, shape (n_pixels,)
        The negatives in each pixel of nside 64.
    splits : ndarray of float64, shape (n_pixels,)
        The index in ``SPLIT_ORDER`` of each pixel of nside 128; NaN where there are no rows.
    field : Field
        The cell of the sweeps that holds most rows.
    """

    negatives: IntArray
    splits: FloatArray
    field: Field

    @classmethod
    def of(cls, rows: SampleRows) -> Self:
        """Count the rows of a run.

        Parameters
        ----------
        rows : SampleRows
            The rows.

        Returns
        -------
        SampleSky
            The counts, and the rows of one field.
        """
        negatives, splits = np.zeros(12 * 64**2, dtype=np.int64), np.full(12 * 128**2, np.nan)
        cells = Counter[float]()
        for table in rows.both(("ra", "dec", "healpix_64", "healpix_128", "split", "pool")):
            positive = _is_positive(table)
            negatives += np.bincount(table["healpix_64"].to_numpy()[~positive], minlength=len(negatives))
            splits[table["healpix_128"].to_numpy()] = _split(table)
            column, row = (np.floor(table[name].to_numpy() / FIELD_DEG) for name in ("ra", "dec"))
            numbers, counts = np.unique(column * _CELLS + row, return_counts=True)
            cells.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        most = max(sorted(cells), key=cells.__getitem__)
        column = round(most / _CELLS)
        centre = (column + 0.5) * FIELD_DEG, (most - _CELLS * column + 0.5) * FIELD_DEG
        return cls(negatives, splits, _field(rows, centre))


def _field(rows: SampleRows, centre: tuple[float, float]) -> Field:
    """Read the rows of a field."""
    found = []
    for table in rows.both(("ra", "dec", "split", "pool")):
        ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
        near = (np.abs(ra - centre[0]) <= FIELD_DEG / 2) & (np.abs(dec - centre[1]) <= FIELD_DEG / 2)
        found.append(table.filter(pa.array(near)))
    table = pa.concat_tables(found)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    return Field(centre, ra, dec, _split(table), _is_positive(table))


def _is_positive(table: pa.Table) -> BoolArray:
    return np.asarray(pc.equal(table["pool"], POSITIVE))


def _split(table: pa.Table) -> IntArray:
    return np.asarray(pc.fill_null(pc.index_in(table["split"], pa.array(SPLIT_ORDER)), 0), np.int64)
