"""What a catalogue says of its lenses besides positions: grade, redshift, radii, other columns."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.catalogs.angles import MISSING
from lensneg.catalogs.find_columns import UNIT_IN_NAME, find, named, texts_of, values_of
from lensneg.catalogs.table import CatalogTable, Column
from lensneg.errors import CatalogError
from lensneg.schema.arrays import FloatArray, IntArray
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.lens_facts import facts_schema

#: The largest exclusion radius, as that of a config, in arcseconds.
_LARGEST_RADIUS: Final = 3600.0


class Facts(NamedTuple):
    """What a catalogue says of its lenses.

    Attributes
    ----------
    table : pyarrow.Table
        With the columns of :func:`~lensneg.schema.lens_facts.facts_schema`.
    radius_arcsec : ndarray of float64, shape (n,)
        The exclusion radius of each lens. NaN for that of the config.
    columns : tuple of str
        What was read from which column, in a few words each.
    remarks : tuple of str
        Values that were taken as missing.
    """

    table: pa.Table
    radius_arcsec: FloatArray
    columns: tuple[str, ...]
    remarks: tuple[str, ...]


def read_facts(table: CatalogTable, rows: IntArray, spec: CatalogSpec, extra: tuple[str, ...]) -> Facts:
    """Read what a catalogue says of some of its lenses.

    Parameters
    ----------
    table : CatalogTable
        The catalogue's table.
    rows : ndarray of int64, shape (n,)
        The rows of the lenses.
    spec : CatalogSpec
        The catalogue as the user named it.
    extra : tuple of str
        Further columns by name. One that the catalogue lacks is null.

    Returns
    -------
    Facts
        In the order of the rows.

    Raises
    ------
    CatalogError
        If a column that the user names is missing, or an exclusion radius is none.
    """
    schema = facts_schema(extra)
    grade, redshift, einstein = (find(table, spec, role) for role in ("grade", "redshift", "einstein_radius"))
    columns: list[pa.Array] = [_texts(grade, rows, spec)]
    said, remarks = [_said("grade", grade)], []
    for role, column, lowest in (
        ("redshift", redshift, 0.0),
        ("Einstein radius", einstein, np.nextafter(0, 1)),
    ):
        values, remark = _measured(role, column, rows, spec, lowest)
        columns.append(values)
        said.append(_said(role, column))
        remarks.append(remark)
    lower = {column.name.strip().lower() for column in table.columns}
    for name in extra:
        columns.append(_texts(named(table, name, spec, name) if name.lower() in lower else None, rows, spec))
    radius = np.full(len(rows), spec.radius_arcsec or np.nan)
    if (column := find(table, spec, "radius")) is not None:
        radii = _radii(column, rows, spec)
        radius = np.where(np.isnan(radii), radius, radii)
        said.append(_said("exclusion radius", column))
    return Facts(
        pa.table(columns, schema=schema),
        radius,
        tuple(filter(None, said)),
        tuple(filter(None, remarks)),
    )


def _said(role: str, column: Column | None) -> str:
    return f"{role} {column.name!r}" if column else ""


def _texts(column: Column | None, rows: IntArray, spec: CatalogSpec) -> pa.Array:
    if column is None:
        return pa.nulls(len(rows), pa.string())
    texts = texts_of(column, spec).take(pa.array(rows))
    return pc.if_else(pc.is_in(pc.utf8_lower(texts), pa.array(sorted(MISSING))), None, texts)


def _numbers(column: Column, rows: IntArray, spec: CatalogSpec) -> tuple[FloatArray, npt.NDArray[np.object_]]:
    """Return numbers, NaN where there is none, and the texts that are neither numbers nor missing."""
    values = values_of(column, spec).take(pa.array(rows))
    if not pa.types.is_string(values.type):
        return np.asarray(pc.fill_null(values.cast(pa.float64(), safe=False), np.nan)), np.full(
            len(rows), None
        )
    found, odd = np.full(len(rows), np.nan), np.full(len(rows), None)
    for i, text in enumerate(values.to_pylist()):
        text = (text or "").strip()
        if text.lower() not in MISSING:
            try:
                found[i] = float(text)
            except ValueError:
                odd[i] = text
    return found, odd


def _arcsec(column: Column) -> float | None:
    """Return a column's unit in arcseconds. Without a unit that is 1. None for what is no angle."""
    in_name = UNIT_IN_NAME.fullmatch(column.name)
    text = column.unit or (in_name[2] if in_name else "")
    if not text.strip():
        return 1.0
    from astropy import units as u  # takes a third of a second

    unit = u.Unit(text.strip(), parse_strict="silent")
    if isinstance(unit, u.UnrecognizedUnit) or not unit.is_equivalent(u.arcsec):
        return None
    return float(unit.to(u.arcsec))


def _measured(
    role: str, column: Column | None, rows: IntArray, spec: CatalogSpec, lowest: float
) -> tuple[pa.Array, str]:
    """Return a redshift or an Einstein radius. What is no number, or too small for one, is missing."""
    if column is None:
        return pa.nulls(len(rows), pa.float64()), ""
    factor = 1.0 if role == "redshift" else _arcsec(column)
    if factor is None:
        return pa.nulls(len(rows), pa.float64()), f"{role} not read: the unit of {column.name} is no angle"
    found, odd = _numbers(column, rows, spec)
    small = found < lowest
    missing = ~np.isfinite(found) | small
    strange = [*odd[odd != np.array(None)], *(f"{value:g}" for value in found[small])]
    remark = ""
    if strange:
        remark = (
            f"{role} taken as missing: {len(strange):,} values of {column.name}, such as {strange[0]!r:.40}"
        )
    return pa.array(np.where(missing, 0.0, found * factor), mask=missing), remark


def _radii(column: Column, rows: IntArray, spec: CatalogSpec) -> FloatArray:
    """Return exclusion radii in arcseconds, NaN where there is none."""
    found, odd = _numbers(column, rows, spec)
    factor = _arcsec(column)
    if factor is None:
        what = f"the unit of {column.name} is {column.unit!r}; expected an angle, such as arcsec"
        raise CatalogError(what, where=spec.uri, remedy="name another column in radius=")
    radii = found * factor
    wrong = (odd != np.array(None)) | (np.isfinite(found) & ~((radii > 0) & (radii <= _LARGEST_RADIUS)))
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        shown = repr(odd[i]) if odd[i] is not None else f"{radii[i]:g} arcsec"
        raise CatalogError(
            f"row {rows[i] + 1}: {column.name} is {shown}; expected an exclusion radius above 0, and at most "
            f"{_LARGEST_RADIUS:g} arcsec",
            where=spec.uri,
            remedy="correct it. A missing value must be empty",
        )
    return np.where(np.isfinite(radii), radii, np.nan)
