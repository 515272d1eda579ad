"""Lens catalogues: positions and names of known lenses and candidates."""

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.catalogs.formats import parse_table, read_file
from lensneg.errors import CatalogError
from lensneg.schema.arrays import FloatArray, IntArray
from lensneg.schema.catalog_spec import COLUMN_ROLES, CatalogSpec, ColumnRole

_log = logging.getLogger(__name__)

#: The usual names of the columns of right ascension, declination and name, in lower case. The first one that
#: a catalogue has is read. A catalogue without any needs a mapping.
COLUMN_ALIASES: Final[dict[ColumnRole, tuple[str, ...]]] = {
    "ra": ("ra", "ra [deg]", "target_ra", "ra_deg", "raj2000", "ra_j2000", "_raj2000"),
    "dec": ("dec", "dec [deg]", "target_dec", "dec_deg", "dej2000", "dec_j2000", "_dej2000"),
    "name": ("name", "id", "targetid", "object", "lens_name"),
}

#: Missing values in catalogues that are text, in lower case.
_MISSING: Final = frozenset({"", "-", "--", "nan", "null", "none", "n/a"})


@dataclass(frozen=True)
class Catalog:
    """The positions and names in a catalogue.

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
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    names : list of str, length n
        The names of the entries.
    sha256 : str
        Of the file's bytes, as they were read.
    """

    spec: CatalogSpec
    rows: int
    selected: int
    without_position: int
    ra: FloatArray
    dec: FloatArray
    names: list[str] = field(repr=False)
    sha256: str


def read_catalog(spec: CatalogSpec) -> Catalog:
    """Read a catalogue.

    Parameters
    ----------
    spec : CatalogSpec
        The file, its columns and a selection of its rows.

    Returns
    -------
    Catalog
        The selected rows that have a position, in the order of the file.

    Raises
    ------
    CatalogError
        If the file is missing, unreadable or empty, if a column is missing, or if a coordinate is not
        a number or out of range. The message names the file, the row and the remedy.
    """
    data = read_file(spec.uri)
    table = parse_table(data, spec.uri)
    ra_column, dec_column, name_column = (_find_column(table, spec, role) for role in COLUMN_ROLES)
    keep = np.ones(len(table), dtype=bool)
    for column, values in spec.where.items():
        keep &= np.asarray(pc.is_in(_texts(table, column, spec), pa.array(values, pa.string())))
    if not keep.any():
        reason = f"none of its {len(table):,} rows is selected" if spec.where else "it has no rows"
        raise CatalogError(reason, where=spec.uri, remedy="check the file and its where.COLUMN=VALUE")
    row = np.flatnonzero(keep)
    ra = _coordinates(table, ra_column, row, 0.0, 360.0, spec)
    dec = _coordinates(table, dec_column, row, -90.0, 90.0, spec)
    placed = np.isfinite(ra) & np.isfinite(dec)
    chosen = pa.array(row[placed])
    names = _texts(table, name_column, spec).take(chosen).to_pylist() if name_column else []
    columns = f"{ra_column}, {dec_column}"
    _log.info("%s: %d positions in %d rows, columns %s", spec.uri, placed.sum(), len(table), columns)
    return Catalog(
        spec=spec,
        rows=len(table),
        selected=len(row),
        without_position=int((~placed).sum()),
        ra=np.where(ra[placed] == 360.0, 0.0, ra[placed]),
        dec=dec[placed],
        names=names or [f"{storage.basename(spec.uri)}:{i}" for i in row[placed].tolist()],
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _find_column(table: pa.Table, spec: CatalogSpec, role: ColumnRole) -> str:
    """Return the column of a role; empty where a catalogue has no names."""
    given = getattr(spec, role)
    wanted = (given,) if given else COLUMN_ALIASES[role]
    by_name: dict[str, str] = {name.strip().lower(): name for name in reversed(table.column_names)}
    for name in wanted:
        found = by_name.get(name.strip().lower())
        if found is not None:
            _check_single(table, found, spec)
            return found
    if role == "name" and not given:
        return ""
    raise CatalogError(
        f"no column {' or '.join(repr(name) for name in wanted)} among {', '.join(table.column_names)}",
        where=spec.uri,
        remedy=f"name it: '{spec.uri}?{role}=COLUMN'",
    )


def _check_single(table: pa.Table, column: str, spec: CatalogSpec) -> None:
    if table.column_names.count(column) > 1:
        raise CatalogError(f"there are two columns {column!r}", where=spec.uri, remedy="rename one of them")


def _texts(table: pa.Table, column: str, spec: CatalogSpec) -> pa.ChunkedArray:
    if column not in table.column_names:
        what = f"no column {column!r} to select by; it has {', '.join(table.column_names)}"
        raise CatalogError(what, where=spec.uri)
    _check_single(table, column, spec)
    return pc.utf8_trim_whitespace(pc.fill_null(table[column].cast(pa.string()), ""))


def _coordinates(
    table: pa.Table, column: str, row: IntArray, low: float, high: float, spec: CatalogSpec
) -> FloatArray:
    """Return a coordinate of some rows, NaN where it is missing."""
    chosen = table[column].take(pa.array(row))
    if pa.types.is_string(chosen.type) or pa.types.is_large_string(chosen.type):
        text = pc.utf8_trim_whitespace(chosen)
        missing = pc.is_in(pc.utf8_lower(text), pa.array(sorted(_MISSING), text.type))
        chosen = pc.if_else(missing, None, text)
    try:
        numbers = np.asarray(pc.fill_null(chosen.cast(pa.float64()), np.nan))
    except pa.ArrowException:
        # Arrow does not name the row, and refuses signs that Python accepts.
        numbers = np.array(
            [_number(v, i, column, spec) for i, v in zip(row, chosen.to_pylist(), strict=True)]
        )
    outside = np.isfinite(numbers) & ~((numbers >= low) & (numbers <= high))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise CatalogError(
            f"row {row[i] + 1}: {column} is {numbers[i]}; expected degrees from {low:g} to {high:g}",
            where=spec.uri,
            remedy="are the columns swapped, or named wrongly?",
        )
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _number(value: Any, row: int, column: str, spec: CatalogSpec) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError) as error:
        what = f"row {row + 1}: {column} is {value!r}; expected degrees as a decimal number"
        raise CatalogError(what, where=spec.uri) from error
