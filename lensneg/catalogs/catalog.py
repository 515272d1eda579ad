"""Lens catalogues: positions and names of known lenses and candidates."""

import hashlib
import logging
import re
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.catalogs.angles import Axis, Degrees, NotACoordinateError, angle_unit, to_degrees
from lensneg.catalogs.formats import parse_tables, read_file, unreadable
from lensneg.catalogs.selection import rows_with
from lensneg.catalogs.table import CatalogTable, Column
from lensneg.errors import CatalogError, LensnegError
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.catalog_spec import CatalogSpec, ColumnRole
from lensneg.schema.check import brief

_log = logging.getLogger(__name__)

#: The usual names of the columns of right ascension, declination, name and grade, in lower case. The first
#: one that a catalogue has is read. A unit in brackets may follow. One without positions needs a mapping.
COLUMN_ALIASES: Final[dict[ColumnRole, tuple[str, ...]]] = {
    "ra": (
        "ra", "target_ra", "ra_deg", "radeg", "raj2000", "ra_j2000", "_raj2000", "ra_icrs", "_ra_icrs", "_ra",
        "raj2000_deg", "ra2000", "ra_2000", "alpha_j2000", "alphawin_j2000", "right_ascension", "s_ra",
    ),
    "dec": (
        "dec", "target_dec", "dec_deg", "decdeg", "dedeg", "de_deg", "dej2000", "decj2000", "dec_j2000",
        "_dej2000", "de_icrs", "dec_icrs", "_de_icrs", "_de", "dec2000", "dec_2000", "delta_j2000",
        "deltawin_j2000", "declination", "decl", "s_dec",
    ),
    "name": ("name", "id", "targetid", "object", "lens_name"),
    "grade": ("grade", "grading"),
}  # fmt: skip

#: A column's name with a unit in brackets.
_UNIT_IN_NAME: Final = re.compile(r"\s*(.*?)\s*[\[(]([^\[\]()]*)[\])]\s*")

_RANGES: Final[dict[Axis, tuple[float, float]]] = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0)}


@dataclass(frozen=True)
class Positions:
    """Positions, names and grades of a catalogue's entries.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    names : list of str, length n
        The names of the entries.
    grades : list of str, length n
        The grades of the entries. Empty where there is none.
    """

    ra: FloatArray
    dec: FloatArray
    names: list[str] = field(repr=False)
    grades: list[str] = field(repr=False)


@dataclass(frozen=True)
class Catalog(Positions):
    """The positions and names of the selected rows of a catalogue, in the order of the file.

    Attributes
    ----------
    spec : CatalogSpec
        The catalogue as the user named it.
    rows : int
        Rows of the file.
    selected : int
        Rows that ``spec.where`` keeps.
    without_position : int
        The number of selected rows without coordinates.
    others : Positions
        Of the other rows, if they were asked for. They are known lenses too.
    remarks : tuple of str
        What a user should know of how the file was read: rows without a position, another unit than degrees.
    unit_stated : bool
        Whether the file or the user states the unit.
    sha256 : str
        Of the file's bytes, as they were read.
    """

    spec: CatalogSpec
    rows: int
    selected: int
    without_position: int
    others: Positions
    remarks: tuple[str, ...]
    unit_stated: bool
    sha256: str


def read_catalog(spec: CatalogSpec, with_others: bool = False) -> Catalog:
    """Read a catalogue.

    Parameters
    ----------
    spec : CatalogSpec
        The file, its columns and a selection of its rows.
    with_others : bool
        Whether the rows that ``spec.where`` does not select are read too, as known lenses. They are not if
        ``spec.others`` is ``ignore``.

    Returns
    -------
    Catalog
        The selected rows that have a position, in the order of the file.

    Raises
    ------
    CatalogError
        If the file is missing, unreadable or empty, if a column is missing, if no row has a value that
        ``spec.where`` selects, or if a coordinate is not a number or out of range. The message names the
        file, the row and the remedy.
    """
    data = read_file(spec.uri)
    table, ra_column, dec_column = _table_with_positions(parse_tables(data, spec.uri), spec)
    name_column = _find(table, spec, "name")
    keep = np.ones(table.rows, dtype=bool)
    for column, values in spec.where.items():
        keep &= _selected(table, column, values, spec)
    if not keep.any():
        reason = f"none of its {table.rows:,} rows is selected" if spec.where else "it has no rows"
        raise CatalogError(reason, where=spec.uri, remedy="check the file and its where.COLUMN=VALUE")
    rows = np.arange(table.rows) if with_others and spec.others == "exclude" else np.flatnonzero(keep)
    ra, ra_remark, ra_stated = _coordinates("ra", ra_column, rows, spec)
    dec, dec_remark, dec_stated = _coordinates("dec", dec_column, rows, spec)
    placed = np.isfinite(ra) & np.isfinite(dec)
    there = rows[placed]
    if name_column:
        names = _texts(name_column, spec).take(pa.array(there)).to_pylist()
    else:
        names = [f"{storage.basename(spec.uri)}:{i}" for i in there.tolist()]
    grade_column = _find(table, spec, "grade")
    grades = (
        _texts(grade_column, spec).take(pa.array(there)).to_pylist() if grade_column else [""] * len(there)
    )
    positions = Positions(np.where(ra[placed] == 360.0, 0.0, ra[placed]), dec[placed], names, grades)
    chosen, others = _some(positions, keep[there]), _some(positions, ~keep[there])
    without, lacking = int(keep.sum()) - len(chosen.ra), len(rows) - len(there)
    remarks = (
        table.title and f"read from {table.title}",
        ra_remark,
        dec_remark,
        f"rows without a position: {lacking:,}" if lacking else "",
        f"not selected, but excluded as known lenses: {len(others.ra):,}" if len(others.ra) else "",
    )
    catalog = Catalog(
        **vars(chosen),
        spec=spec,
        rows=table.rows,
        selected=int(keep.sum()),
        without_position=without,
        others=others,
        remarks=tuple(filter(None, remarks)),
        unit_stated=ra_stated and dec_stated,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    said = "; ".join((f"columns {ra_column.name}, {dec_column.name}", *catalog.remarks))
    _log.info("%s: %d positions in %d rows, %s", spec.uri, len(catalog.ra), table.rows, said)
    return catalog


def _some(positions: Positions, mask: BoolArray) -> Positions:
    names, grades = (list(compress(texts, mask)) for texts in (positions.names, positions.grades))
    return Positions(positions.ra[mask], positions.dec[mask], names, grades)


def _table_with_positions(
    tables: list[CatalogTable], spec: CatalogSpec
) -> tuple[CatalogTable, Column, Column]:
    """Return the first table that has positions, with their columns."""
    for last, table in enumerate(tables, 1):
        try:
            ra, dec = _find(table, spec, "ra"), _find(table, spec, "dec")
        except CatalogError:
            if last == len(tables):
                raise
            continue
        if ra and dec:
            return table, ra, dec
    raise AssertionError("a column of positions is found, or refused")


def _find(table: CatalogTable, spec: CatalogSpec, role: ColumnRole) -> Column | None:
    """Return the column of a role. None where a catalogue has no names or no grades."""
    given = getattr(spec, role)
    if given:
        return _named(table, given, spec, role)
    by_name: dict[str, Column] = {}
    for column in reversed(table.columns):
        if not column.holds:
            by_name[_base(column.name)] = column
    for name in COLUMN_ALIASES[role]:
        if name in by_name:
            _check_single(table, by_name[name].name, spec)
            return by_name[name]
    if role in ("name", "grade"):
        return None
    wanted = " or ".join(repr(name) for name in COLUMN_ALIASES[role][:3])
    raise CatalogError(
        f"no column {wanted} among {_names(table)}",
        where=spec.uri,
        remedy=f"name it: '{spec.uri}?{role}=COLUMN'",
    )


def _base(name: str) -> str:
    """Return a column's name in lower case, without a unit in brackets."""
    match = _UNIT_IN_NAME.fullmatch(name)
    return (match[1] if match else name).strip().lower().replace(" ", "_")


def _named(table: CatalogTable, name: str, spec: CatalogSpec, use: str) -> Column:
    """Return the column of a name, with or without regard to case."""
    exact = [column for column in table.columns if column.name.strip() == name]
    # A blank may be written as a plus sign, as in the query of a URL.
    spellings = (name.lower(), name.lower().replace("+", " "))
    found = exact or [column for column in table.columns if column.name.strip().lower() in spellings]
    if not found:
        raise CatalogError(
            f"no column {name!r} among {_names(table)}",
            where=spec.uri,
            remedy=f"correct {use}=, or name another",
        )
    _check_single(table, found[0].name, spec)
    if found[0].holds:
        what = f"column {name!r} holds {found[0].holds}; expected text or numbers"
        raise CatalogError(what, where=spec.uri, remedy=f"correct {use}=, or name another")
    return found[0]


def _names(table: CatalogTable) -> str:
    return brief([column.name[:40] for column in table.columns], 40)


def _check_single(table: CatalogTable, name: str, spec: CatalogSpec) -> None:
    if sum(column.name == name for column in table.columns) > 1:
        raise CatalogError(f"there are two columns {name!r}", where=spec.uri, remedy="rename one of them")


def _values(column: Column, spec: CatalogSpec) -> pa.Array:
    try:
        return column.read()
    except LensnegError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds about damaged bytes
        raise unreadable(error, spec.uri, f"column {column.name!r}") from error


def _texts(column: Column, spec: CatalogSpec) -> pa.Array:
    return pc.utf8_trim_whitespace(pc.fill_null(_values(column, spec).cast(pa.string()), ""))


def _selected(table: CatalogTable, name: str, wanted: tuple[str, ...], spec: CatalogSpec) -> BoolArray:
    column = _named(table, name, spec, f"where.{name}")
    mask, unmatched, there = rows_with(_values(column, spec), wanted)
    if unmatched and table.rows:
        values = brief([value[:40] for value in there], 12)
        raise CatalogError(
            f"no row has {name} {' or '.join(map(repr, unmatched))}; there are {values}",
            where=spec.uri,
            remedy=f"correct where.{name}=; a comma in a value is written %2C",
        )
    return mask


def _coordinates(
    axis: Axis, column: Column, rows: IntArray, spec: CatalogSpec
) -> tuple[FloatArray, str, bool]:
    """Return a coordinate of some rows, NaN where it is missing, with how it was read."""
    in_name = _UNIT_IN_NAME.fullmatch(column.name)
    stated = spec.unit or column.unit or (in_name[2] if in_name else "")
    if spec.unit == "hour" and axis == "dec":
        stated = "deg"
    try:
        unit, sexagesimal = angle_unit(stated, axis)
    except ValueError as error:
        what = f"the unit of {column.name} is {stated!r}; expected a unit of {axis.upper()}, such as deg"
        remedy = "if the values are degrees, hours or radians, say so: '?unit=deg', hour or rad"
        raise CatalogError(what, where=spec.uri, remedy=remedy) from error
    values = _values(column, spec).take(pa.array(rows))
    try:
        found: Degrees = to_degrees(values, axis, unit, sexagesimal, bool(stated))
    except NotACoordinateError as error:
        raise CatalogError(
            f"row {rows[error.row] + 1}: {column.name} is {error.what}",
            where=spec.uri,
            remedy="correct it, or name the column of degrees",
        ) from error
    degrees, remark = found.values, f"{column.name} read as {found.unit}" if found.unit else ""
    low, high = _RANGES[axis]
    finite = np.isfinite(degrees)
    if axis == "ra" and (degrees[finite] < 0).any() and degrees[finite].max() <= 180:
        # Right ascension from -180 to 180. A lone -99 is how some catalogues write a missing value.
        signed = finite & (degrees < 0) & (degrees >= -180) & (degrees != -99)
        degrees = np.where(signed, degrees + 360.0, degrees)
        remark = "; ".join(filter(None, (remark, f"{column.name} read as -180 to 180")))
    outside = finite & ~((degrees >= low) & (degrees <= high))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise CatalogError(
            f"row {rows[i] + 1}: {column.name} is {values[i].as_py() if found.unit else degrees[i]}; "
            f"expected degrees from {low:g} to {high:g}",
            where=spec.uri,
            remedy="are the columns swapped, or named wrongly? A missing value must be empty",
        )
    return degrees, remark, bool(stated or found.unit)
