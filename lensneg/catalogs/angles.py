"""Coordinates in degrees, from the numbers or the text of a catalogue and their unit."""

import re
import warnings
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.arrays import FloatArray

Axis = Literal["ra", "dec"]

#: Text that stands for a missing value, in lower case.
MISSING: Final = frozenset(
    {
        "",
        "-",
        "--",
        "---",
        "...",
        "nan",
        "null",
        "none",
        "n/a",
        "na",
        "<na>",
        "\\n",
        "masked",
        "nil",
        "inf",
        "-inf",
    }
)

#: Degrees or hours, minutes and perhaps seconds, in the forms of sexagesimal text.
_SEXAGESIMAL: Final = re.compile(
    r"[+\-−]?\d{1,3}\s*[:hd°\s]\s*\d{1,2}(\.\d*)?\s*[:m'′\s]?\s*(\d{1,2}(\.\d*)?\s*[s\"″]?)?"
)

#: The units of positions. A degree with a prefix is a misprint: ``ddeg`` for ``deg``.
_ANGLES: Final = ("deg", "arcmin", "arcsec", "mas", "uas", "rad")

_SEXAGESIMAL_UNIT: Final = re.compile(r"\W*([hd])\w*\W+m\w*\W+s\w*\W*")

#: A sexagesimal right ascension without a unit is in hours, as everywhere in the field.
_SEXAGESIMAL_BASE: Final = {"ra": "hourangle", "dec": "deg"}


class Degrees(NamedTuple):
    """Coordinates in degrees.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        NaN where a coordinate is missing.
    unit : str
        What was read if it was not decimal degrees, for a message. Otherwise empty.
    """

    values: FloatArray
    unit: str = ""


class NotACoordinateError(ValueError):
    """A value is no coordinate.

    Parameters
    ----------
    row : int
        The index of the value.
    what : str
        What is wrong with it.
    """

    def __init__(self, row: int, what: str) -> None:
        super().__init__(what)
        self.row, self.what = row, what


def angle_unit(text: str, axis: Axis) -> tuple[Any, bool]:
    """Return the unit that a text names.

    Parameters
    ----------
    text : str
        The unit in a file's or a user's words. Empty for degrees.
    axis : str
        ``ra`` or ``dec``. Only a right ascension has units of time.

    Returns
    -------
    (astropy.units.UnitBase, bool)
        The unit, and whether the values are sexagesimal.

    Raises
    ------
    ValueError
        If it is no unit of this coordinate.

    Examples
    --------
    >>> angle_unit("Degrees", "dec")
    (Unit("deg"), False)
    >>> angle_unit("h:m:s", "ra")
    (Unit("hourangle"), True)
    """
    from astropy import units as u  # takes a third of a second, as below

    text = text.strip()
    if not text:
        return u.deg, False
    sexagesimal = _SEXAGESIMAL_UNIT.fullmatch(text.lower())
    if sexagesimal and not (sexagesimal[1] == "h" and axis == "dec"):
        return (u.hourangle if sexagesimal[1] == "h" else u.deg), True
    for spelling in (text, text.lower(), text.lower().rstrip("s.")) if len(text) < 40 else ():
        unit = u.Unit(spelling, parse_strict="silent")
        if isinstance(unit, u.UnrecognizedUnit):
            continue
        if axis == "ra" and unit in (u.hour, u.min, u.s):
            return u.Unit(unit.to(u.hour) * u.hourangle), False
        if unit in map(u.Unit, _ANGLES) or (axis == "ra" and unit == u.hourangle):
            return unit, False
    raise ValueError(text)


def to_degrees(values: pa.Array, axis: Axis, unit: Any, sexagesimal: bool, stated: bool) -> Degrees:
    """Return coordinates in degrees.

    Parameters
    ----------
    values : pyarrow.Array
        Numbers or text. Text is sexagesimal if every value is.
    axis : str
        ``ra`` or ``dec``.
    unit : astropy.units.UnitBase
        The unit of the numbers.
    sexagesimal : bool
        Whether the unit says that the values are sexagesimal.
    stated : bool
        Whether the file or the user states the unit. Without it, a sexagesimal right ascension is in hours.

    Returns
    -------
    Degrees
        The coordinates.

    Raises
    ------
    NotACoordinateError
        If a value is none.
    """
    from astropy import units as u

    if pa.types.is_string(values.type):
        text = pc.utf8_trim_whitespace(values)
        missing = pc.is_in(pc.utf8_lower(text), pa.array(sorted(MISSING)))
        text = pc.if_else(missing, None, text)
        present = [value for value in text.to_pylist() if value is not None]
        if present and all(len(value) < 40 and _SEXAGESIMAL.fullmatch(value) for value in present):
            return _from_sexagesimal(text, unit if stated else u.Unit(_SEXAGESIMAL_BASE[axis]))
        numbers = _numbers(text)
    else:
        try:
            numbers = np.asarray(pc.fill_null(values.cast(pa.float64(), safe=False), np.nan), dtype=float)
        except pa.ArrowException as error:
            raise NotACoordinateError(
                0, f"{values[0].as_py()!r}; expected degrees as a decimal number"
            ) from error
    if sexagesimal and np.isfinite(numbers).any():
        row = int(np.flatnonzero(np.isfinite(numbers))[0])
        raise NotACoordinateError(row, f"{numbers[row]}; expected sexagesimal text, as the unit says")
    if unit == u.deg:
        return Degrees(np.where(np.isfinite(numbers), numbers, np.nan))
    return Degrees(np.where(np.isfinite(numbers), numbers * unit.to(u.deg), np.nan), f"{unit}")


def _from_sexagesimal(text: pa.Array, unit: Any) -> Degrees:
    from astropy import units as u
    from astropy.coordinates import Angle

    found = np.full(len(text), np.nan)
    rows = np.flatnonzero(np.asarray(text.is_valid()))
    values = [value.as_py() for value in text.drop_null()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 seconds are a minute, which astropy reads and remarks on
        for row, value in zip(rows.tolist(), values, strict=True):
            try:
                found[row] = Angle(value, unit=unit).deg
            except (ValueError, u.UnitsError) as error:
                raise NotACoordinateError(row, f"{value!r}, which is no sexagesimal angle") from error
    return Degrees(found, "sexagesimal hours" if unit == u.hourangle else "sexagesimal degrees")


def _numbers(text: pa.Array) -> FloatArray:
    try:
        return np.asarray(pc.fill_null(text.cast(pa.float64()), np.nan))
    except pa.ArrowException:
        # Arrow does not name the row, and refuses signs that Python accepts.
        found = np.full(len(text), np.nan)
        for row, value in enumerate(text.to_pylist()):
            try:
                found[row] = np.nan if value is None else float(value)
            except ValueError as error:
                raise NotACoordinateError(row, f"{value!r}; expected degrees as a decimal number") from error
        return found
