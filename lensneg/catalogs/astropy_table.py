"""The tables of the formats that astropy.table reads whole: VOTable, ECSV, CDS and AAS tables, and others."""

import io
import re
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lensneg.catalogs.frames import FK4, Frame, frame_of, names_fk4
from lensneg.catalogs.table import CatalogTable, Column, text_of

#: A VOTable whose rows are in another file, which astropy would fetch.
_ROWS_ELSEWHERE: Final = re.compile(rb"STREAM\b[^>]*\bhref", re.IGNORECASE)

#: The names of formats in words. Others have astropy's name.
_IN_WORDS: Final = {
    "votable": "VOTable",
    "ascii.ecsv": "ECSV",
    "ascii.mrt": "machine-readable table (CDS)",
    "ascii.ipac": "IPAC table",
    "ascii.latex": "LaTeX table",
    "ascii.aastex": "AASTeX table",
    "ascii.fixed_width_two_line": "fixed-width text",
    "ascii.rst": "reStructuredText table",
    "ascii.sextractor": "SExtractor catalogue",
}

#: A line of dashes below the names of a table whose columns have fixed widths.
_RULED: Final = re.compile(rb"[^\n]*[A-Za-z][^\n]*\n[ \t]*-+(?: +-+)+[ \t\r]*\n")


def astropy_format(data: bytes) -> str:
    """Return astropy's name of a file's format.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    str
        ``votable``, ``ascii.ecsv``, ``ascii.mrt`` and the like. Empty for text with a delimiter.

    Examples
    --------
    >>> astropy_format(b"# %ECSV 1.0"), astropy_format(b"name,ra,dec")
    ('ascii.ecsv', '')
    """
    head = data[: 1 << 16].removeprefix(b"\xef\xbb\xbf").lstrip()
    first, second = (line.rstrip() for line in (head + b"\n\n").split(b"\n")[:2])
    if head.startswith(b"<") and b"VOTABLE" in head:
        return "votable"
    if re.match(rb"#\s*%ECSV", head):
        return "ascii.ecsv"
    if b"\nByte-by-byte Description of file" in head:
        return "ascii.mrt"
    if re.search(rb"\\begin\{deluxetable", head):
        return "ascii.aastex"
    if re.search(rb"\\begin\{(?:tabular|longtable)", head):
        return "ascii.latex"
    if re.match(rb"#\s*1\s+[A-Z]\w*", first) and re.match(rb"#\s*\d+\s+[A-Z]\w*", second):
        return "ascii.sextractor"
    if re.match(rb"=+( +=+)+$", first):
        return "ascii.rst"
    if _RULED.match(head):
        return "ascii.fixed_width_two_line"
    # An IPAC table has types below its names. In other tables with bars the rows follow, with numbers.
    has_bars = re.match(rb"\|.*\|$", first) and second.startswith(b"|")
    is_ipac = first.startswith(b"\\") or (has_bars and not re.search(rb"\|\s*[+-]?\d+\.?\d*\s*\|", second))
    return "ascii.ipac" if is_ipac else ""


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
        from astropy.io.votable.exceptions import E10, W46  # a FIELD without datatype; a value is cut off

        if _ROWS_ELSEWHERE.search(data):
            raise ValueError("its rows are in another file (STREAM href): save them in this one")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for cut_off in (E10, W46):
                warnings.simplefilter("error", cut_off)
            try:
                votable = parse(io.BytesIO(data), verify="warn")
            except W46 as error:
                raise ValueError(str(error)) from error
        frames = {system.ID: _frame_of_system(system) for system in _systems(votable)}
        found = [t.to_table() for t in votable.iter_tables()]
        references = [{f.name: f.ref for f in t.fields} for t in votable.iter_tables()]
        only = next(iter(frames.values())) if len(frames) == 1 else None
        of_columns = [{n: frames.get(ref, only) for n, ref in refs.items()} for refs in references]
    else:
        from astropy.table import Table

        source: Any = io.BytesIO(data)
        if name.startswith("ascii"):
            source = data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        marks = re.findall(rb"\\(begin|end)\{(?:tabular|longtable|deluxetable)", data)
        if name in ("ascii.latex", "ascii.aastex") and marks.count(b"begin") != marks.count(b"end"):
            raise ValueError("a table begins or ends twice, so that rows may be lost")
        if name == "ascii.ecsv":
            _check_comments(source)
        if name in ("ascii.fixed_width_two_line", "ascii.ipac", "ascii.rst"):
            _check_gaps(source, name)
        options = {"guess": False} if name.startswith("ascii") else {}
        found, of_columns = [Table.read(source, format=name, **options)], [{}]
    if not found:
        raise ValueError("it holds no table")
    titles = [f"table {i + 1}" if len(found) > 1 else "" for i in range(len(found))]
    return [
        CatalogTable(
            len(table),
            tuple(_column(table, column, frames.get(column)) for column in table.colnames),
            title,
            _IN_WORDS.get(name, name),
        )
        for table, title, frames in zip(found, titles, of_columns, strict=True)
    ]


def _systems(part: Any) -> Iterator[Any]:
    """Yield the coordinate systems of a VOTable."""
    yield from part.coordinate_systems
    for resource in part.resources:
        yield from _systems(resource)


def _frame_of_system(system: Any) -> Frame:
    return frame_of(str(system.system or ""), str(system.equinox or ""))


def _check_comments(lines: list[str]) -> None:
    """Refuse a row that begins with a hash: astropy writes such a row, and takes it for a comment."""
    is_header = True
    for number, line in enumerate(lines, 1):
        is_header = is_header and line.startswith("#")
        if not is_header and line.startswith("#"):
            raise ValueError(f"line {number} begins with #, as a comment does: remove it, or quote its value")


def _check_gaps(lines: list[str], name: str) -> None:
    """Refuse a row with text between the columns of fixed widths: astropy would cut it off."""
    if name == "ascii.ipac":
        marks = next(line for line in lines if line.startswith("|"))
        gaps, rows = "|", [line[:1] not in ("|", "\\") for line in lines]
    else:
        marks = next(line for line in lines if re.fullmatch(r"[ \t]*[-=]+( +[-=]+)*[ \t]*", line))
        gaps, rows = " ", [True] * len(lines)
    for number, (line, is_row) in enumerate(zip(lines, rows, strict=True), 1):
        beyond = line[len(marks.rstrip()) :].strip()
        if is_row and (
            beyond or any(mark == gaps and letter != " " for mark, letter in zip(marks, line, strict=False))
        ):
            raise ValueError(f"line {number} has text between the columns that the header marks")


def _column(table: Any, name: str, frame: Frame | None) -> Column:
    column = table[name]
    unit = str(getattr(column, "unit", None) or "")
    if frame is None and names_fk4(str(getattr(column, "description", None) or "")):
        frame = FK4
    return Column(name, partial(_values, column), unit, _holds(column), frame)


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
