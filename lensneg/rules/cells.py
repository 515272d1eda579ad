"""Cells: the joint bins of the matched columns, inside a stratum.

A column is cut at values of the stratum's positives, so that its bins hold equally many of them. A cell is a
bin of each column.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.arrays import FloatArray, IntArray
from lensneg.schema.pools_config import MatchingConfig

Edges = tuple[tuple[float, ...], ...]


def bins_for(positives: int, config: MatchingConfig) -> tuple[int, ...]:
    """Return the number of bins of each matched column in a stratum.

    Parameters
    ----------
    positives : int
        The positives of the stratum.
    config : MatchingConfig
        The most bins, and the positives that a cell should hold.

    Returns
    -------
    tuple of int
        As many as the config says, or so few that there are enough positives for each cell: the last column
        that has more than one bin loses one.

    Examples
    --------
    >>> rule = MatchingConfig(bins={"mag_r": 6, "psfsize_z": 3, "galdepth_z": 3}, positives_per_cell=5)
    >>> bins_for(300, rule), bins_for(100, rule), bins_for(19, rule), bins_for(4, rule)
    ((6, 3, 3), (6, 3, 1), (3, 1, 1), (1, 1, 1))
    """
    bins = list(config.bins.values())
    while math.prod(bins) > max(1, positives // config.positives_per_cell):
        last = max(i for i, count in enumerate(bins) if count > 1)
        bins[last] -= 1
    return tuple(bins)


def cell_edges(values: FloatArray, bins: tuple[int, ...]) -> Edges:
    """Return where the bins of each column end.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        The matched columns of a stratum's positives. NaN for a missing value.
    bins : tuple of int, length k
        The number of bins of each column.

    Returns
    -------
    tuple of tuple of float
        For each column the last value of each bin but the last one, ascending. There are fewer bins where the
        positives are fewer, or share values.

    Examples
    --------
    >>> cell_edges(np.array([[18.0], [19.0], [17.0], [20.0]]), (2,))
    ((18.0,),)
    """
    edges = []
    for column, count in zip(values.T, bins, strict=True):
        known = np.sort(column[~np.isnan(column)])
        last = [known[math.ceil(i * len(known) / count) - 1] for i in range(1, count) if len(known)]
        edges.append(tuple(sorted({float(edge) for edge in last} - {float(known[-1])} if len(known) else ())))
    return tuple(edges)


def cell_of(values: FloatArray, edges: Edges) -> IntArray:
    """Return the cell of each row.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        The matched columns. NaN for a missing value.
    edges : tuple of tuple of float, length k
        The result of :func:`cell_edges`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Below the product of the numbers of bins. A value is in the first bin whose end it does not exceed; a
        missing value is in the last bin.

    Examples
    --------
    >>> cell_of(np.array([[18.0], [18.5], [np.nan]]), ((18.0,),))
    array([0, 1, 1])
    """
    cell = np.zeros(len(values), dtype=np.int64)
    for column, ends in zip(values.T, edges, strict=True):
        # NaN is sorted after all numbers.
        cell = cell * (len(ends) + 1) + np.searchsorted(np.array(ends), column, side="left")
    return cell


def bins_of(cells: npt.NDArray[np.int64], edges: Edges) -> IntArray:
    """Return the bins that cells are made of.

    Parameters
    ----------
    cells : ndarray of int64, shape (n,)
        Cells.
    edges : tuple of tuple of float, length k
        The result of :func:`cell_edges`.

    Returns
    -------
    ndarray of int64, shape (n, k)
    """
    return np.stack(np.unravel_index(cells, [len(ends) + 1 for ends in edges]), axis=1)


def stratum_numbers(rows: pa.Table, names: Collection[str]) -> IntArray:
    """Return which stratum each row is in.

    Parameters
    ----------
    rows : pyarrow.Table, n rows
        With the columns ``nobs_z_bin`` and ``type_bin``.
    names : collection of str
        The strata, e.g. ``3-5/SER``.

    Returns
    -------
    ndarray of int64, shape (n,)
        The place of the stratum among the names; -1 for none of them.
    """
    own = pc.binary_join_element_wise(rows["nobs_z_bin"], rows["type_bin"], "/")
    found = pc.index_in(own, pa.array(list(names), pa.string()))
    return np.asarray(pc.fill_null(found, -1)).astype(np.int64)


def matched_values(rows: pa.Table, columns: Collection[str]) -> FloatArray:
    """Return the matched columns of rows.

    Parameters
    ----------
    rows : pyarrow.Table, n rows
        With these columns.
    columns : collection of str, length k
        The matched columns.

    Returns
    -------
    ndarray of float64, shape (n, k)
        NaN for a missing value.
    """
    values = np.empty((len(rows), len(columns)))
    for place, name in enumerate(columns):
        values[:, place] = rows[name].to_numpy()
    return values


def cells_in_strata(values: FloatArray, stratum: IntArray, edges: Sequence[Edges]) -> IntArray:
    """Return the cell of each row in its stratum.

    Parameters
    ----------
    values : ndarray of float64, shape (n, k)
        The result of :func:`matched_values`.
    stratum : ndarray of int64, shape (n,)
        The result of :func:`stratum_numbers`.
    edges : sequence of tuple of tuple of float
        Where the bins end in each stratum; see :func:`cell_edges`.

    Returns
    -------
    ndarray of int64, shape (n,)
        -1 for a row of no stratum.
    """
    cells = np.full(len(values), -1, dtype=np.int64)
    for number in np.unique(stratum[stratum >= 0]).tolist():
        own = np.flatnonzero(stratum == number)
        cells[own] = cell_of(values[own], edges[number])
    return cells
