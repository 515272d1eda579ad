"""The selection of a catalogue's rows by the values of a column."""

from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.catalogs.angles import MISSING
from lensneg.schema.arrays import BoolArray

_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def rows_with(values: pa.Array, wanted: tuple[str, ...]) -> tuple[BoolArray, list[str], list[str]]:
    """Return which rows have one of some values.

    Parameters
    ----------
    values : pyarrow.Array
        A column: text, numbers or booleans.
    wanted : tuple of str
        The values as a user writes them. Blanks around them do not count. An empty one is a missing value.
        Numbers and booleans are compared as such, also those of a text column that holds nothing else but
        marks of missing values.

    Returns
    -------
    (ndarray of bool, list of str, list of str)
        Whether each row has one of the values, the values that no row has, and the values that there are,
        the most frequent first.

    Examples
    --------
    >>> mask, none, _ = rows_with(pa.array(["A", "A+", " B"]), ("A+", "B"))
    >>> mask.tolist(), none
    ([False, True, True], [])
    >>> rows_with(pa.array([1.0, 2.5]), ("1", "3"))[:2]
    (array([ True, False]), ['3'])
    """
    if pa.types.is_string(values.type):
        values = pc.utf8_trim_whitespace(pc.fill_null(values, ""))
    elif pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    counts = Counter(values.to_pylist())
    present = [value for value in counts if value is not None and str(value).lower() not in MISSING]
    as_numbers = all(isinstance(value, float) or _number(value) is not None for value in present)
    as_booleans = all(str(value).lower() in _BOOLEANS for value in present) and not as_numbers
    single = pa.types.is_float32(values.type)
    found, unmatched = set(), []
    for text in wanted:
        text = text.strip()
        same = {value for value in counts if _is(value, text, as_numbers, as_booleans, single)}
        found |= same
        if not same:
            unmatched.append(text)
    mask = np.array([value in found for value in values.to_pylist()], dtype=bool)
    there = ["''" if value is None or value == "" else str(value) for value, _ in counts.most_common()]
    return mask, unmatched, there


def _is(value: object, text: str, as_numbers: bool, as_booleans: bool, single: bool) -> bool:
    if text == "" or value is None or value == "":
        return text == "" and (value is None or value == "")
    if str(value) == text:
        return True
    if as_booleans:
        return _BOOLEANS.get(str(value).lower()) == _BOOLEANS.get(text.lower(), "none")
    number = _number(text) if as_numbers else None
    if number is None:
        return False
    if isinstance(value, float):
        return bool(np.float32(value) == np.float32(number)) if single else value == float(number)
    return _number(value) == number


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
