"""What the draws are made from: the class, the category and the cell of each row."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.rules.cells import cell_of
from lensneg.rules.pools import POOLS
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.quotas import Draw, Quotas

#: The number that stands for any cell.
_ANY: Final = -1


class Populations:
    """Tells whether rows are of the population of their draw.

    Parameters
    ----------
    quotas : Quotas
        The matched columns, and where the bins end in each stratum.
    draws : list of Draw
        All draws, by their number.
    """

    def __init__(self, quotas: Quotas, draws: list[Draw]) -> None:
        self._matched = quotas.matched
        self._edges = {(s.nobs_z_bin, s.type_bin): s.edges for s in quotas.strata}
        classes = [{name for r in draw.ranges for name in r.classes} for draw in draws]
        # The last element is that of rows of no draw, whose number is -1.
        self._holds = [np.array([*(pool in found for found in classes), True]) for pool in POOLS]
        cells = [{r.cell for r in draw.ranges} for draw in draws]
        single = [(found.pop() if len(found) == 1 else None) for found in cells]
        self._cell = np.array([*(_ANY if cell is None else cell for cell in single), _ANY])
        named = [{name for r in draw.ranges for name in r.categories} for draw in draws]
        self._named = {number: sorted(found) for number, found in enumerate(named) if found}

    def hold(self, rows: pa.Table, draw: IntArray) -> BoolArray:
        """Return which rows are of the population of their draw.

        Parameters
        ----------
        rows : pyarrow.Table, n rows
            With the columns of the manifest.
        draw : ndarray of int64, shape (n,)
            The number of each row's draw; -1 for none.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        is_confuser = np.asarray(rows["confuser_category"].is_valid())
        right = np.where(is_confuser, self._holds[1][draw], self._holds[0][draw])
        for number in set(np.unique(draw).tolist()) & self._named.keys():
            is_named = np.asarray(pc.is_in(rows["confuser_category"], pa.array(self._named[number])))
            right &= (draw != number) | ~is_confuser | is_named
        if self._matched:
            cell = self._cell[draw]
            right &= (cell == _ANY) | (cell == self._cells(rows))
        return right

    def _cells(self, rows: pa.Table) -> IntArray:
        """Return the cell of each row in its stratum."""
        values = np.stack([rows[name].to_numpy().astype(np.float64) for name in self._matched], axis=1)
        cells = np.full(len(rows), _ANY, dtype=np.int64)
        for (nobs_z_bin, type_bin), edges in self._edges.items():
            own = pc.and_(pc.equal(rows["nobs_z_bin"], nobs_z_bin), pc.equal(rows["type_bin"], type_bin))
            here = np.flatnonzero(np.asarray(own))
            cells[here] = cell_of(values[here], edges)
        return cells
