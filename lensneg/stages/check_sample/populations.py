"""What the draws are made from: the class, the category and the cell of each row."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.rules.cells import cells_in_strata, matched_values, stratum_numbers
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
        self._strata = {stratum.name: stratum.edges for stratum in quotas.strata}
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
            cell, values = self._cell[draw], matched_values(rows, self._matched)
            found = cells_in_strata(values, stratum_numbers(rows, self._strata), [*self._strata.values()])
            right &= (cell == _ANY) | (cell == found)
        return right
