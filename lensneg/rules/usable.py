"""Which values of a sweep's rows can be used: one rule for each column that lensneg needs."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lensneg.rules.rows import Rows
from lensneg.schema.arrays import BoolArray
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.sweep_columns import SOURCE_TYPES

#: The lowest and the highest value of the columns that say which source a row is and where: degrees, and what
#: fits a TARGETID. RA 360 is RA 0.
_IDENTITY: Final = {
    "RA": (0, 360),
    "DEC": (-90, 90),
    "BRICKID": (1, (1 << 20) - 1),
    "OBJID": (0, (1 << 22) - 1),
}

#: Columns that must be numbers where the fit has a shape.
_SHAPES: Final = ("SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC")

#: Needed columns for which there are rules of their own.
_JUDGED_ELSEWHERE: Final = (*_IDENTITY, "RELEASE", "TYPE")

#: The types whose fit has no shape.
_POINTS: Final = ("PSF", "DUP")


def has_identity(rows: Rows) -> BoolArray:
    """Return which rows have a position and an id. A row without them is no source.

    Parameters
    ----------
    rows : Rows
        Of RA, DEC, RELEASE, BRICKID and OBJID, those that it lacks are passed over.

    Returns
    -------
    ndarray of bool, shape (n,)
        False where RA, DEC, BRICKID or OBJID is not a number or out of its range, or where RELEASE, BRICKID
        or OBJID is the TNULL of its column.
    """
    has = np.ones(len(rows), dtype=bool)
    for name, (low, high) in _IDENTITY.items():
        if name in rows and len(rows):
            values = rows[name]
            if not _all_within(values, low, high):
                has &= (values >= low) & (values <= high)
    for name in ("RELEASE", "BRICKID", "OBJID"):
        if name in rows and rows.may_be_null(name):
            has &= ~rows.is_null(name)
    return has


def allowed_bad_rows(config: Config, rows: int) -> int:
    """Return how many rows of an item may lack a position or an id.

    Parameters
    ----------
    config : Config
        The share of rows that may.
    rows : int
        The rows of the item.

    Returns
    -------
    int
        At least one, unless the share is 0.
    """
    share = config.sweeps.bad_rows_max
    return max(1, round(share * rows)) if share else 0


def _all_within(values: npt.NDArray[Any], low: int, high: int) -> bool:
    """Return whether nothing is out of a range, by one pass over the values. A false alarm is possible."""
    if low == -high:
        return bool(np.abs(values).max() <= high)
    # Read as unsigned numbers, negative ones and NaN are above all others.
    shifted = values - low if low else values
    limit = values.dtype.type(high - low)
    unsigned = f"u{values.itemsize}"
    return bool(shifted.view(unsigned).max() <= limit.view(unsigned))


def unusable_values(rows: Rows, config: Config) -> Iterator[tuple[str, BoolArray]]:
    """Look for values that cannot be used, in rows that have a position and an id.

    An integer is usable if it is not the TNULL of its column; a number of exposures must not be negative. A
    text is usable if it is printable ASCII and not blank. A floating-point number is usable if it is not
    infinite. NaN is not usable as a shape or Sersic index of a type that has them. Elsewhere it stands for
    what was not measured.

    Parameters
    ----------
    rows : Rows
        Of the needed columns, those that it lacks are passed over. It needs TYPE.
    config : Config
        The bands whose exposures count, and the criteria that need further columns.

    Yields
    ------
    name : str
        A needed column.
    unusable : ndarray of bool, shape (n,)
        Rows whose value in it cannot be used.
    """
    shaped = ~np.isin(rows.source_type(), [SOURCE_TYPES.index(name) for name in _POINTS])
    counted = {f"NOBS_{band.upper()}" for band in config.selection.nobs_min}
    for name in (*NEEDED_COLUMNS, *config.negative_pools.pool_n2.tractor_criteria.columns):
        is_judged = name in counted or not name.startswith("NOBS_")
        if name not in rows or name in _JUDGED_ELSEWHERE or not is_judged:
            continue
        values = rows[name]
        if values.dtype.kind in "SU":
            yield name, ~_is_text(values)
        elif values.dtype.kind == "f":
            yield name, np.isinf(values) | (np.isnan(values) & shaped if name in _SHAPES else False)
        else:
            yield name, rows.is_null(name) | (values < 0 if name in counted else False)


def _is_text(values: npt.NDArray[Any]) -> BoolArray:
    """Return which texts are printable ASCII, and more than blanks. NUL may only end a text."""
    code = np.uint8 if values.dtype.kind == "S" else np.uint32
    plain = np.ascontiguousarray(values).view(code)
    codes: npt.NDArray[Any] = plain.reshape(len(values), values.itemsize // plain.itemsize)
    ended = codes == 0
    right = (ended | ((codes >= 32) & (codes < 127))).all(axis=1)
    right &= ~(ended[:, :-1] & ~ended[:, 1:]).any(axis=1)
    return np.asarray(right & (codes > 32).any(axis=1))


def all_usable(rows: Rows, config: Config) -> BoolArray:
    """Return which rows have a usable value in every needed column.

    Parameters
    ----------
    rows : Rows
        As for :func:`unusable_values`.
    config : Config
        The bands whose exposures count.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    usable = np.ones(len(rows), dtype=bool)
    for _, unusable in unusable_values(rows, config):
        usable &= ~unusable
    return usable


def count_unusable(rows: Rows, config: Config) -> dict[str, int]:
    """Count rows by the first column whose value cannot be used.

    Parameters
    ----------
    rows : Rows
        As for :func:`unusable_values`.
    config : Config
        The bands whose exposures count.

    Returns
    -------
    dict of str to int
        Rows by column, in the order of the needed columns; columns without such rows are left out.
    """
    counts: dict[str, int] = {}
    usable = np.ones(len(rows), dtype=bool)
    for name, unusable in unusable_values(rows, config):
        first = int((usable & unusable).sum())
        if first:
            counts[name] = first
        usable &= ~unusable
    return counts
