"""Which column of a catalogue is which: by its usual name, or as the user says."""

import re
from dataclasses import replace
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lensneg.catalogs.formats import unreadable
from lensneg.catalogs.frames import FK4
from lensneg.catalogs.table import CatalogTable, Column
from lensneg.errors import CatalogError, LensnegError
from lensneg.schema.catalog_spec import CatalogSpec, ColumnRole
from lensneg.schema.check import brief

#: The usual names of the columns of each role, in lower case. The first one that a catalogue has is read. A
#: unit in brackets may follow. One without positions needs a mapping.
COLUMN_ALIASES: Final[dict[ColumnRole, tuple[str, ...]]] = {
    "ra": (
        "ra", "target_ra", "ra_deg", "radeg", "raj2000", "ra_j2000", "_raj2000", "ra_icrs", "_ra_icrs", "_ra",
        "raj2000_deg", "ra2000", "ra_2000", "alpha_j2000", "alphawin_j2000", "right_ascension", "s_ra",
        "rah_ram_ras", "rab1950", "_rab1950", "ra_b1950", "ra1950", "ra_1950",
    ),
    "dec": (
        "dec", "target_dec", "dec_deg", "decdeg", "dedeg", "de_deg", "dej2000", "decj2000", "dec_j2000",
        "_dej2000", "de_icrs", "dec_icrs", "_de_icrs", "_de", "dec2000", "dec_2000", "delta_j2000",
        "deltawin_j2000", "declination", "decl", "s_dec",
        "de-_ded_dem_des", "deb1950", "_deb1950", "dec_b1950", "dec1950", "dec_1950", "de1950", "de_1950",
    ),
    "name": ("name", "id", "targetid", "object", "lens_name"),
    "grade": ("grade", "grading"),
    "redshift": ("redshift", "zlens", "z_lens", "lens_redshift", "zl", "z_l", "z_spec", "zspec"),
    "einstein_radius": (
        "einstein_radius", "theta_e", "thetae", "theta_ein", "r_ein", "rein", "r_e_arcsec", "einstein_rad",
    ),
    "targetid": ("targetid", "target_id"),
    "score": ("score", "probability", "prob"),
    "radius": (),
}  # fmt: skip

#: A column's name with a unit in brackets.
UNIT_IN_NAME: Final = re.compile(r"\s*(.*?)\s*[\[(]([^\[\]()]*)[\])]\s*")

#: The columns of CDS that hold a sexagesimal coordinate in parts, and the name of the coordinate.
_IN_PARTS: Final = (
    ("RAh RAm RAs", ("rah", "ram", "ras"), "h:m:s"),
    ("DE- DEd DEm DEs", ("de-", "ded", "dem", "des"), "d:m:s"),
)


def with_coordinates_in_parts(table: CatalogTable) -> CatalogTable:
    """Return a table with a column for each coordinate that CDS's columns hold in parts.

    Parameters
    ----------
    table : CatalogTable
        A table, which has ``RAh``, ``RAm`` and ``RAs``, and ``DE-``, ``DEd``, ``DEm`` and ``DEs``, or not.
        Seconds may be lacking.

    Returns
    -------
    CatalogTable
        The coordinates are columns of sexagesimal text, before the others.
    """
    there = {column.name.strip().lower(): column for column in table.columns}
    made = []
    for name, parts, unit in _IN_PARTS:
        columns = [there[part] for part in parts if part in there and not there[part].holds]
        if [column.name.strip().lower() for column in columns] in ([*parts], [*parts[:-1]]):
            frame = next((column.frame for column in columns if column.frame), None)
            made.append(Column(name, partial(_joined, columns), unit, frame=frame))
    return replace(table, columns=(*made, *table.columns)) if made else table


def _joined(columns: list[Column]) -> pa.Array:
    """Return sexagesimal text from its parts: perhaps a sign, degrees or hours, minutes and seconds."""
    parts = [column.read() for column in columns]
    has_sign = columns[0].name.strip().lower() == "de-"
    texts = [pc.utf8_trim_whitespace(part.cast(pa.string())) for part in parts]
    sign = pc.fill_null(texts.pop(0), "") if has_sign else pa.scalar("")
    texts = [pc.if_else(pc.equal(text, ""), None, text) for text in texts]
    return pc.binary_join_element_wise(sign, pc.binary_join_element_wise(*texts, ":"), "")


def find(table: CatalogTable, spec: CatalogSpec, role: ColumnRole) -> Column | None:
    """Return the column of a role.

    Parameters
    ----------
    table : CatalogTable
        The table.
    spec : CatalogSpec
        The catalogue as the user named it.
    role : str
        One of ``COLUMN_ROLES``.

    Returns
    -------
    Column or None
        None where a catalogue has no names, grades or other facts.

    Raises
    ------
    CatalogError
        If there is no column of positions, or none of the name that the user gave.
    """
    given = getattr(spec, role)
    if given:
        return named(table, given, spec, role)
    by_name: dict[str, Column] = {}
    for column in reversed(table.columns):
        if not column.holds:
            by_name[_base(column.name)] = column
    for name in COLUMN_ALIASES[role]:
        if name in by_name:
            _check_single(table, by_name[name].name, spec)
            found = by_name[name]
            return replace(found, frame=FK4) if "1950" in name and role in ("ra", "dec") else found
    if role not in ("ra", "dec"):
        return None
    wanted = " or ".join(repr(name) for name in COLUMN_ALIASES[role][:3])
    raise CatalogError(
        f"no column {wanted} among {_names(table)}",
        where=spec.uri,
        remedy=f"name it: '{spec.uri}?{role}=COLUMN'",
    )


def _base(name: str) -> str:
    """Return a column's name in lower case, without a unit in brackets."""
    match = UNIT_IN_NAME.fullmatch(name)
    return (match[1] if match else name).strip().lower().replace(" ", "_")


def named(table: CatalogTable, name: str, spec: CatalogSpec, use: str) -> Column:
    """Return the column of a name, with or without regard to case.

    Parameters
    ----------
    table : CatalogTable
        The table.
    name : str
        The name as a user writes it.
    spec : CatalogSpec
        The catalogue as the user named it.
    use : str
        The option that names the column, for error messages.

    Returns
    -------
    Column
        The column.

    Raises
    ------
    CatalogError
        If there is none, or two, or it holds neither text nor numbers.
    """
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


def values_of(column: Column, spec: CatalogSpec) -> pa.Array:
    """Return a column's values.

    Parameters
    ----------
    column : Column
        The column.
    spec : CatalogSpec
        The catalogue as the user named it, for error messages.

    Returns
    -------
    pyarrow.Array
        Text, numbers or booleans.

    Raises
    ------
    CatalogError
        If they cannot be read.
    """
    try:
        return column.read()
    except LensnegError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds about damaged bytes
        raise unreadable(error, spec.uri, f"column {column.name!r}") from error


def texts_of(column: Column, spec: CatalogSpec) -> pa.Array:
    """Return a column's values as text without the blanks around them.

    Parameters
    ----------
    column : Column
        The column.
    spec : CatalogSpec
        The catalogue as the user named it, for error messages.

    Returns
    -------
    pyarrow.Array
        Of strings. A missing value is empty.
    """
    return pc.utf8_trim_whitespace(pc.fill_null(values_of(column, spec).cast(pa.string()), ""))
