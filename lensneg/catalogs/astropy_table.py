"""The tables of the formats that astropy.table reads whole: VOTable, ECSV, CDS and AAS tables, IPAC."""

import io
import re
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lensneg.catalogs.table import CatalogTable, Column, text_of

#: A VOTable whose rows are in another file, which astropy would fetch.
_ROWS_ELSEWHERE: Final = re.compile(rb"STREAM\b[^>]*\bhref", re.IGNORECASE)


def astropy_format(data: bytes) -> str:
    """Return astropy's name of a file's format.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    str
        ``votable``, ``ascii.ecsv``, ``ascii.mrt`` or ``ascii.ipac``. Empty for any other format.

    Examples
    --------
    >>> astropy_format(b"# %ECSV 1.0"), astropy_format(b"name,ra,dec")
    ('ascii.ecsv', '')
    """
    head = data[: 1 << 16].removeprefix(b"\xef\xbb\xbf").lstrip()
    first = head.split(b"\n", 1)[0].rstrip()
    if head.startswith(b"<") and b"VOTABLE" in head:
        return "votable"
    if re.match(rb"#\s*%ECSV", head):
        return "ascii.ecsv"
    if b"\nByte-by-byte Description of file" in head:
        return "ascii.mrt"
    return "ascii.ipac" if first.startswith(b"\\") or re.match(rb"\|.*\|$", first) else ""


def read_with_astropy(data: bytes, name: str) -> list[CatalogTable]:
    """Return the tables of a file.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        The format, as :func:`astropy_format` returns it.

    Returns
    -------
    list of CatalogTable
        In the file's order.

    Raises
    ------
    ValueError
        If there is no table, or the rows of a VOTable are in another file.
    """
    if name == "votable":
        from astropy.io.votable import parse

        if _ROWS_ELSEWHERE.search(data):
            raise ValueError("its rows are in another file (STREAM href): save them in this one")
        found = [t.to_table() for t in parse(io.BytesIO(data), verify="ignore").iter_tables()]
    else:
        from astropy.table import Table

        lines = data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        if name == "ascii.ecsv":
            _check_comments(lines)
        found = [Table.read(lines, format=name, guess=False)]
    if not found:
        raise ValueError("it holds no table")
    titles = [f"table {i + 1}" if len(found) > 1 else "" for i in range(len(found))]
    return [
        CatalogTable(len(table), tuple(_column(table, name) for name in table.colnames), title)
        for table, title in zip(found, titles, strict=True)
    ]


def _check_comments(lines: list[str]) -> None:
    """Refuse a row that begins with a hash: astropy writes such a row, and takes it for a comment."""
    is_header = True
    for number, line in enumerate(lines, 1):
        is_header = is_header and line.startswith("#")
        if not is_header and line.startswith("#"):
            raise ValueError(f"line {number} begins with #, as a comment does: remove it, or quote its value")


def _column(table: Any, name: str) -> Column:
    column = table[name]
    unit = str(getattr(column, "unit", None) or "")
    return Column(name, partial(_values, column), unit, _holds(column))


def _is_text(value: object) -> bool:
    return isinstance(value, str | bytes)


def _holds(column: Any) -> str:
    kind = getattr(getattr(column, "dtype", None), "kind", "V")
    if kind == "V":
        return "objects"
    if column.ndim > 1:
        return "arrays"
    if kind == "O":
        missing = np.ma.getmaskarray(column)
        return "" if all(map(_is_text, np.asarray(column)[~missing])) else "arrays or objects"
    return "" if kind in "USbiuf" else "complex numbers or times"


def _values(column: Any) -> pa.Array:
    missing, values = np.ma.getmaskarray(column), np.ma.getdata(column)
    if values.dtype.kind in "USO":
        texts = [
            v.strip() if isinstance(v, str) else text_of(v) if isinstance(v, bytes) else ""
            for v in values.tolist()
        ]
        return pa.array(np.array(texts, dtype=object), pa.string(), mask=missing)
    return pa.array(values.astype(values.dtype.newbyteorder("=")), mask=missing)
