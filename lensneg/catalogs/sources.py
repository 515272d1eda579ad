"""Catalogues of sources, by position or TARGETID: suspects, and hard negatives."""

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from lensneg import storage
from lensneg.catalogs.angles import MISSING
from lensneg.catalogs.catalog import Catalog, coordinates, frame_of_positions, read_catalog, with_value
from lensneg.catalogs.find_columns import find, texts_of, values_of, with_coordinates_in_parts
from lensneg.catalogs.formats import parse_tables, read_file
from lensneg.catalogs.frames import ICRS, to_icrs
from lensneg.catalogs.kinds import check_name_is_no_sweep
from lensneg.catalogs.table import CatalogTable, Column
from lensneg.errors import CatalogError
from lensneg.schema.arrays import FloatArray, IntArray
from lensneg.schema.catalog_spec import SOURCE_ROLES, CatalogSpec, Role

_log = logging.getLogger(__name__)

#: Options that say something of lenses.
_OF_LENSES: Final = ("grade", "redshift", "einstein_radius", "radius", "radius_arcsec")


@dataclass(frozen=True)
class SourceCatalog:
    """The entries of a catalogue of sources, in the order of the file.

    Attributes
    ----------
    spec : CatalogSpec
        The catalogue as the user named it.
    rows : int
        Rows of the file.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS. NaN for an entry without a position.
    targetid : ndarray of int64, shape (n,)
        0 for an entry without one.
    names : list of str, length n
        The names of the entries.
    recognised : str
        The format of the file, the columns that were read, and the entries that were taken.
    unit_stated : bool
        Whether the file or the user states the unit of the positions.
    sha256 : str
        Of the file's bytes.
    """

    spec: CatalogSpec
    rows: int
    ra: FloatArray
    dec: FloatArray
    targetid: IntArray
    names: list[str] = field(repr=False)
    recognised: str
    unit_stated: bool
    sha256: str

    @property
    def summary(self) -> str:
        """What was recognised.

        Returns
        -------
        str
            One line.
        """
        return self.recognised


def read_sources(spec: CatalogSpec, role: Role) -> SourceCatalog:
    """Read a catalogue of sources. An entry has a position, a TARGETID, or both.

    Parameters
    ----------
    spec : CatalogSpec
        The file, its columns and a selection of its rows.
    role : str
        ``suspects`` or ``hard_negatives``. Of the latter, ``spec.name`` is no column but a category.

    Returns
    -------
    SourceCatalog
        The selected rows with a position or a TARGETID, and with a score of at least ``spec.score_min``.

    Raises
    ------
    CatalogError
        If the file is missing, unreadable or a sweep file, if a column is missing, or if a value is none. The
        message names the file, the row and the remedy.
    """
    check_name_is_no_sweep(spec.uri)
    _check_options(spec)
    data = read_file(spec.uri)
    if role == "hard_negatives":
        spec, stated = spec.model_copy(update={"name": None}), spec
    else:
        stated = spec
    table, ra_column, dec_column, id_column = _table_with_sources(
        parse_tables(data, spec.uri, spec.format), spec
    )
    keep, said = np.ones(table.rows, dtype=bool), list[str]()
    for column, values in spec.where.items():
        keep &= with_value(table, column, values, spec, f"where.{column}")
    for column, values in spec.where_not.items():
        keep &= ~with_value(table, column, values, spec, f"where_not.{column}")
    if spec.score_min is not None:
        score = _scores(table, spec)
        keep &= score >= spec.score_min  # what has no score is not taken
        said.append(f"scores of at least {spec.score_min:g}")
    rows = np.flatnonzero(keep)
    ra, dec, unit_stated = np.full(len(rows), np.nan), np.full(len(rows), np.nan), True
    if ra_column and dec_column:
        ra, ra_remark, ra_stated = coordinates("ra", ra_column, rows, spec)
        dec, dec_remark, dec_stated = coordinates("dec", dec_column, rows, spec)
        frame = frame_of_positions(table, ra_column, dec_column, spec)
        ra, dec = to_icrs(ra, dec, frame)
        ra, unit_stated = np.where(ra == 360.0, 0.0, ra), ra_stated and dec_stated
        said += [f"RA {ra_column.name!r}, Dec {dec_column.name!r}", ra_remark, dec_remark]
        said.append(f"converted from {frame} to ICRS" if frame != ICRS else "")
    ids = np.zeros(len(rows), dtype=np.int64)
    if id_column:
        ids = _targetids(id_column, rows, spec)
        said.append(f"TARGETID {id_column.name!r}")
    known = (np.isfinite(ra) & np.isfinite(dec)) | (ids > 0)
    if not known.any():
        what = f"none of its {table.rows:,} rows is selected and has a position or a TARGETID"
        remedy = "check the file, its where.COLUMN=VALUE and its score_min="
        raise CatalogError(what, where=spec.uri, remedy=remedy)
    said.append(f"{int(known.sum()):,} sources in {table.rows:,} rows")
    there = rows[known]
    catalog = SourceCatalog(
        spec=stated,
        rows=table.rows,
        ra=ra[known],
        dec=dec[known],
        targetid=ids[known],
        names=_names(table, there, spec),
        recognised="; ".join(filter(None, (table.format, *said))),
        unit_stated=unit_stated,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    _log.info("%s: %s", spec.uri, catalog.summary)
    return catalog


def read_any(spec: CatalogSpec, role: Role, extra: tuple[str, ...] = ()) -> Catalog | SourceCatalog:
    """Read a catalogue of any role.

    Parameters
    ----------
    spec : CatalogSpec
        The catalogue as the user named it.
    role : str
        One of ``ROLES``. Of positives, the rows that are not selected are read too.
    extra : tuple of str
        ``positives.columns`` of the config.

    Returns
    -------
    Catalog or SourceCatalog
        As the role needs it.

    Raises
    ------
    CatalogError
        As for :func:`~lensneg.catalogs.catalog.read_catalog` and :func:`read_sources`.
    """
    if role in SOURCE_ROLES:
        return read_sources(spec, role)
    return read_catalog(spec, role == "positives", extra)


def _check_options(spec: CatalogSpec) -> None:
    given = [name for name in _OF_LENSES if getattr(spec, name)] + ["others"] * (spec.others != "exclude")
    if given:
        what = f"{given[0]}= is an option of lens catalogues"
        raise CatalogError(what, where=spec.uri, remedy="take it out")
    if spec.score and spec.score_min is None:
        what = "score= names a column, and no score_min= says which scores are taken"
        remedy = "add the least score, as in &score_min=0.5, or take score= out"
        raise CatalogError(what, where=spec.uri, remedy=remedy)


def _table_with_sources(
    tables: list[CatalogTable], spec: CatalogSpec
) -> tuple[CatalogTable, Column | None, Column | None, Column | None]:
    """Return the first table that has positions or TARGETIDs, with their columns."""
    for last, found in enumerate(tables, 1):
        table, refusal = with_coordinates_in_parts(found), None
        ra = dec = ids = None
        try:
            ra, dec = find(table, spec, "ra"), find(table, spec, "dec")
        except CatalogError as error:
            refusal = error
        try:
            ids = find(table, spec, "targetid")
        except CatalogError:
            if last == len(tables):
                raise
            continue
        if refusal and (ids is None or spec.ra or spec.dec):
            if last < len(tables):
                continue
            remedy = f"{refusal.remedy}; or name a column of TARGETIDs: '{spec.uri}?targetid=COLUMN'"
            raise CatalogError(refusal.what, where=refusal.where, remedy=remedy) from refusal
        return (table, None, None, ids) if refusal else (table, ra, dec, ids)
    raise AssertionError("a column of positions or TARGETIDs is found, or refused")


def _scores(table: CatalogTable, spec: CatalogSpec) -> FloatArray:
    """Return the score of each row, NaN where there is none."""
    column = find(table, spec, "score")
    if column is None:
        raise CatalogError("it has no column of scores", where=spec.uri, remedy="name it: &score=COLUMN")
    values = values_of(column, spec)
    if not pa.types.is_string(values.type):
        return np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan))
    found = np.full(len(values), np.nan)
    for i, text in enumerate(values.to_pylist()):
        if (text or "").strip().lower() not in MISSING:
            try:
                found[i] = float(text)
            except ValueError as error:
                what = f"row {i + 1}: {column.name} is {text!r:.40}; expected a number"
                remedy = "correct it, or name another column in score="
                raise CatalogError(what, where=spec.uri, remedy=remedy) from error
    return found


def _targetids(column: Column, rows: IntArray, spec: CatalogSpec) -> IntArray:
    """Return the TARGETIDs of some rows, 0 where one is missing."""
    values = values_of(column, spec)
    if pa.types.is_floating(values.type):
        what = f"{column.name} holds floating-point numbers, which have too few digits for a TARGETID"
        raise CatalogError(what, where=spec.uri, remedy="write the TARGETIDs as text or as int64")
    found = np.zeros(len(rows), dtype=np.int64)
    chosen = values.take(pa.array(rows)).to_pylist()
    for i, (row, value) in enumerate(zip(rows.tolist(), chosen, strict=True)):
        text = "" if value is None else str(value).strip()
        if text.lower() in MISSING:
            continue
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
            what = f"row {row + 1}: {column.name} is {text!r:.40}; expected a TARGETID, a number above 0"
            raise CatalogError(what, where=spec.uri, remedy="correct it. A missing value must be empty")
        found[i] = int(text)
    return found


def _names(table: CatalogTable, rows: IntArray, spec: CatalogSpec) -> list[str]:
    column = find(table, spec, "name")
    if column is not None:
        return list(texts_of(column, spec).take(pa.array(rows)).to_pylist())
    return [f"{storage.basename(spec.uri)}:{i}" for i in rows.tolist()]
