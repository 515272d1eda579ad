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

#: The lowest and the highest usable value of integer columns; the identifiers must fit a TARGETID.
_RANGES: Final = {
    "BRICKID": (1, (1 << 20) - 1),
    "OBJID": (0, (1 << 22) - 1),
    **{f"NOBS_{band}": (0, None) for band in "GRZ"},
}

#: Columns that must be numbers in every row, and those that must be where the fit has a shape.
_POSITIONS: Final = ("RA", "DEC")
_SHAPES: Final = ("SHAPE_R", "SHAPE_E1", "SHAPE_E2", "SERSIC")

#: The types whose fit has no shape.
_POINTS: Final = ("PSF", "DUP")


def unusable_values(rows: Rows, config: Config) -> Iterator[tuple[str, BoolArray]]:
    """Look for values that cannot be used.

    An integer is usable if it is not the TNULL of its column and is in the column's range. A text is usable
    if it is printable ASCII and not blank. A floating-point number is usable if it is not infinite. NaN is
    not usable as a position, nor as a shape or Sersic index of a type that has them. Elsewhere it stands for
    what was not measured.

    Parameters
    ----------
    rows : Rows
        Of the needed columns, those that it lacks are passed over. It needs TYPE.
    config : Config
        The bands whose exposures count.

    Yields
    ------
    name : str
        A needed column.
    unusable : ndarray of bool, shape (n,)
        Rows whose value in it cannot be used.
    """
    shaped = ~np.isin(rows.source_type(), [SOURCE_TYPES.index(name) for name in _POINTS])
    counted = {f"NOBS_{band.upper()}" for band in config.selection.nobs_min}
    for name in NEEDED_COLUMNS:
        if name not in rows or name == "TYPE" or (name.startswith("NOBS_") and name not in counted):
            continue
        values = rows[name]
        if values.dtype.kind in "SU":
            yield name, ~_is_text(values)
        elif values.dtype.kind == "f":
            wrong = np.isinf(values)
            if name in _POSITIONS:
                wrong |= np.isnan(values)
            elif name in _SHAPES:
                wrong |= np.isnan(values) & shaped
            yield name, wrong
        else:
            low, high = _RANGES.get(name, (None, None))
            wrong = rows.is_null(name)
            if low is not None:
                wrong |= values < low
            if high is not None:
                wrong |= values > high
            yield name, wrong


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
        Rows by column, in the order of ``NEEDED_COLUMNS``; columns without such rows are left out.
    """
    counts: dict[str, int] = {}
    usable = np.ones(len(rows), dtype=bool)
    for name, unusable in unusable_values(rows, config):
        first = int((usable & unusable).sum())
        if first:
            counts[name] = first
        usable &= ~unusable
    return counts
