"""Lens catalogues: positions and names of known lenses and candidates."""

import hashlib
import logging
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

import numpy as np
import pyarrow as pa

from lensneg import storage
from lensneg.catalogs.angles import Axis, Degrees, NotACoordinateError, angle_unit, to_degrees
from lensneg.catalogs.facts import Facts, read_facts
from lensneg.catalogs.find_columns import (
    UNIT_IN_NAME,
    find,
    named,
    texts_of,
    values_of,
    with_coordinates_in_parts,
)
from lensneg.catalogs.formats import parse_tables, read_file
from lensneg.catalogs.frames import FK4, ICRS, Frame, names_fk4, to_icrs
from lensneg.catalogs.kinds import check_is_no_sweep, check_name_is_no_sweep
from lensneg.catalogs.selection import rows_with
from lensneg.catalogs.table import CatalogTable, Column
from lensneg.errors import CatalogError
from lensneg.schema.arrays import BoolArray, FloatArray, IntArray
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.check import brief

_log = logging.getLogger(__name__)

_RANGES: Final[dict[Axis, tuple[float, float]]] = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0)}


@dataclass(frozen=True)
class Positions:
    """Positions, names and facts of a catalogue's entries.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    names : list of str, length n
        The names of the entries.
    radius_arcsec : ndarray of float64, shape (n,)
        The exclusion radius of the entries. NaN for that of the config.
    facts : pyarrow.Table
        With the columns of :func:`~lensneg.schema.lens_facts.facts_schema`.
    """

    ra: FloatArray
    dec: FloatArray
    names: list[str] = field(repr=False)
    radius_arcsec: FloatArray = field(repr=False)
    facts: pa.Table = field(repr=False)

    @property
    def grades(self) -> list[str]:
        """The grades of the entries.

        Returns
        -------
        list of str
            Empty where there is none.
        """
        return [grade or "" for grade in self.facts["grade"].to_pylist()]


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
    recognised : str
        The format of the file, and the columns that were read, with the unit of the positions.
    remarks : tuple of str
        What a user should know of how the file was read: rows without a position, another unit than degrees.
    columns : frozenset of str
        The names of the file's columns, in lower case.
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
    recognised: str
    remarks: tuple[str, ...]
    columns: frozenset[str]
    unit_stated: bool
    sha256: str

    @property
    def summary(self) -> str:
        """What was recognised.

        Returns
        -------
        str
            One line: format, columns, units, rows, missing positions, remarks.
        """
        counts = f"{len(self.ra):,} positions in {self.rows:,} rows"
        return "; ".join((self.recognised, counts, *self.remarks))


def read_catalog(spec: CatalogSpec, with_others: bool = False, extra: tuple[str, ...] = ()) -> Catalog:
    """Read a catalogue.

    Parameters
    ----------
    spec : CatalogSpec
        The file, its columns and a selection of its rows.
    with_others : bool
        Whether the rows that ``spec.where`` does not select are read too, as known lenses. They are not if
        ``spec.others`` is ``ignore``.
    extra : tuple of str
        Further columns to read, if the catalogue has them: ``positives.columns`` of the config.

    Returns
    -------
    Catalog
        The selected rows that have a position, in the order of the file.

    Raises
    ------
    CatalogError
        If the file is missing, unreadable, empty or a sweep file, if a column is missing, if no row has a
        value that ``spec.where`` names, if a coordinate is not a number or out of range, or if the frame is
        not known. The message names the file, the row and the remedy.
    """
    check_name_is_no_sweep(spec.uri)
    if spec.targetid or spec.score or spec.score_min is not None:
        what = "targetid=, score= and score_min= are options of suspects and hard negatives"
        raise CatalogError(what, where=spec.uri, remedy="where.COLUMN=VALUE selects lenses by a grade")
    data = read_file(spec.uri)
    table, ra_column, dec_column = _table_with_positions(parse_tables(data, spec.uri, spec.format), spec)
    check_is_no_sweep([column.name for column in table.columns], spec)
    name_column = find(table, spec, "name")
    keep = np.ones(table.rows, dtype=bool)
    for column, values in spec.where.items():
        keep &= with_value(table, column, values, spec, f"where.{column}")
    for column, values in spec.where_not.items():
        keep &= ~with_value(table, column, values, spec, f"where_not.{column}")
    if not keep.any():
        chosen_by = spec.where or spec.where_not
        reason = f"none of its {table.rows:,} rows is selected" if chosen_by else "it has no rows"
        raise CatalogError(reason, where=spec.uri, remedy="check the file and its where.COLUMN=VALUE")
    rows = np.arange(table.rows) if with_others and spec.others == "exclude" else np.flatnonzero(keep)
    frame = frame_of_positions(table, ra_column, dec_column, spec)
    ra, ra_remark, ra_stated = coordinates("ra", ra_column, rows, spec)
    dec, dec_remark, dec_stated = coordinates("dec", dec_column, rows, spec)
    ra, dec = to_icrs(ra, dec, frame)
    placed = np.isfinite(ra) & np.isfinite(dec)
    there = rows[placed]
    if name_column:
        names = texts_of(name_column, spec).take(pa.array(there)).to_pylist()
    else:
        names = [f"{storage.basename(spec.uri)}:{i}" for i in there.tolist()]
    facts = read_facts(table, there, spec, extra)
    positions = Positions(
        np.where(ra[placed] == 360.0, 0.0, ra[placed]), dec[placed], names, facts.radius_arcsec, facts.table
    )
    chosen, others = _some(positions, keep[there]), _some(positions, ~keep[there])
    without, lacking = int(keep.sum()) - len(chosen.ra), len(rows) - len(there)
    remarks = (
        table.title and f"read from {table.title}",
        ra_remark,
        dec_remark,
        f"converted from {frame} to ICRS" if frame != ICRS else "",
        *facts.remarks,
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
        recognised=_recognised(table, ra_column, dec_column, name_column, facts, ra_stated and dec_stated),
        remarks=tuple(filter(None, remarks)),
        columns=frozenset(column.name.strip().lower() for column in table.columns),
        unit_stated=ra_stated and dec_stated,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    _log.info("%s: %s", spec.uri, catalog.summary)
    return catalog


def _recognised(
    table: CatalogTable, ra: Column, dec: Column, name: Column | None, facts: Facts, is_stated: bool
) -> str:
    unit = "" if is_stated else ", in degrees as no unit is stated"
    columns = [f"RA {ra.name!r}, Dec {dec.name!r}{unit}", f"name {name.name!r}" if name else "no names"]
    return "; ".join((table.format, ", ".join((*columns, *facts.columns))))


def frame_of_positions(table: CatalogTable, ra: Column, dec: Column, spec: CatalogSpec) -> Frame:
    """Return the frame of the positions: as the user says, or else as the file says of the columns.

    Parameters
    ----------
    table : CatalogTable
        The table.
    ra, dec : Column
        Its columns of positions.
    spec : CatalogSpec
        The catalogue as the user named it.

    Returns
    -------
    Frame
        One that can be converted.

    Raises
    ------
    CatalogError
        If the frame is not known, or the columns are in two.
    """
    if spec.frame:
        return {"icrs": ICRS, "fk4": FK4}[spec.frame]
    remedy = "say which frame it is: '?frame=fk4' (B1950, which is converted) or '?frame=icrs'"
    frame = ra.frame or dec.frame or ICRS
    if (dec.frame or frame) != frame:
        what = f"{ra.name} and {dec.name} are in different frames, {frame} and {dec.frame}"
        raise CatalogError(what, where=spec.uri, remedy=remedy)
    if not frame.can_be_converted:
        what = f"the positions are in the frame {frame.name}; expected ICRS, FK5 or FK4"
        raise CatalogError(what, where=spec.uri, remedy=remedy)
    if ra.frame is None and names_fk4(table.comments):
        raise CatalogError("its comments speak of FK4 or B1950", where=spec.uri, remedy=remedy)
    return frame


def _some(positions: Positions, mask: BoolArray) -> Positions:
    return Positions(
        positions.ra[mask],
        positions.dec[mask],
        list(compress(positions.names, mask)),
        positions.radius_arcsec[mask],
        positions.facts.filter(pa.array(mask)),
    )


def _table_with_positions(
    tables: list[CatalogTable], spec: CatalogSpec
) -> tuple[CatalogTable, Column, Column]:
    """Return the first table that has positions, with their columns."""
    for last, found in enumerate(tables, 1):
        table = with_coordinates_in_parts(found)
        try:
            ra, dec = find(table, spec, "ra"), find(table, spec, "dec")
        except CatalogError:
            if last == len(tables):
                raise
            continue
        if ra and dec:
            return table, ra, dec
    raise AssertionError("a column of positions is found, or refused")


def with_value(
    table: CatalogTable, name: str, wanted: tuple[str, ...], spec: CatalogSpec, option: str
) -> BoolArray:
    """Return which rows have one of some values in a column.

    Parameters
    ----------
    table : CatalogTable
        The table.
    name : str
        The column's name as a user writes it.
    wanted : tuple of str
        The values.
    spec : CatalogSpec
        The catalogue as the user named it.
    option : str
        The option that gives the values, for error messages.

    Returns
    -------
    ndarray of bool, shape (n,)
        One for each row of the table.

    Raises
    ------
    CatalogError
        If there is no such column, or no row has one of the values.
    """
    column = named(table, name, spec, option)
    mask, unmatched, there = rows_with(values_of(column, spec), wanted)
    if unmatched and table.rows:
        values = brief([value[:40] for value in there], 12)
        raise CatalogError(
            f"no row has {name} {' or '.join(map(repr, unmatched))}; there are {values}",
            where=spec.uri,
            remedy=f"correct {option}=; a comma in a value is written %2C",
        )
    return mask


def coordinates(
    axis: Axis, column: Column, rows: IntArray, spec: CatalogSpec
) -> tuple[FloatArray, str, bool]:
    """Return a coordinate of some rows, NaN where it is missing, with how it was read.

    Parameters
    ----------
    axis : str
        ``ra`` or ``dec``.
    column : Column
        The column.
    rows : ndarray of int64
        The rows.
    spec : CatalogSpec
        The catalogue as the user named it.

    Returns
    -------
    (ndarray of float64, str, bool)
        Degrees, what was read if it was not decimal degrees, and whether the unit is stated.

    Raises
    ------
    CatalogError
        If a value is no coordinate, or out of range.
    """
    in_name = UNIT_IN_NAME.fullmatch(column.name)
    stated = spec.unit or column.unit or (in_name[2] if in_name else "")
    if spec.unit == "hour" and axis == "dec":
        stated = "deg"
    try:
        unit, sexagesimal = angle_unit(stated, axis)
    except ValueError as error:
        what = f"the unit of {column.name} is {stated!r}; expected a unit of {axis.upper()}, such as deg"
        remedy = "if the values are degrees, hours or radians, say so: '?unit=deg', hour or rad"
        raise CatalogError(what, where=spec.uri, remedy=remedy) from error
    values = values_of(column, spec).take(pa.array(rows))
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
