"""The table of a text file: values separated by a comma, tab, semicolon, bar or blanks."""

import csv
import io
import re
from functools import partial
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.csv

from lensneg.catalogs.table import CatalogTable, Column

#: A field that no column is named like. A first line with one is a row, and its names are in a comment.
_NUMBER: Final = re.compile(r"\s*[+-]?\.?\d")

_LINES_OF_NAMES: Final = 20

#: The formats by what is between the values.
_IN_WORDS: Final = {
    ",": "CSV",
    "\t": "TSV",
    ";": "text with semicolons",
    "|": "text with bars",
    " ": "text with blanks",
}


class _Layout(NamedTuple):
    """How a text file is laid out: its names and units, and where its rows begin."""

    delimiter: str
    names: list[str]
    units: list[str]
    start: int
    comments: str


def read_text(data: bytes) -> CatalogTable:
    """Return the table of a text file.

    Parameters
    ----------
    data : bytes
        The file, in UTF-8. Blank lines and comment lines, which begin with ``#``, are left out. The names are
        in the first line that is left, or in the comment line before it. The two lines that VizieR puts
        after the names, units and dashes, are recognised.

    Returns
    -------
    CatalogTable
        Every value is text.

    Raises
    ------
    ValueError
        If the text is not UTF-8, or has no line of names.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    layout = _layout(data)
    if layout.delimiter == " ":
        return _blank_separated(layout, data)
    columns = [
        Column(name, partial(_values, data, layout, i), unit)
        for i, (name, unit) in enumerate(zip(layout.names, layout.units, strict=True))
    ]
    rows, form = len(columns[0].read()), _IN_WORDS[layout.delimiter]
    if any(layout.units) and "VizieR" in layout.comments:
        form = "VizieR's TSV"
    return CatalogTable(rows, tuple(columns), format=form, comments=layout.comments)


def _layout(data: bytes) -> _Layout:
    start, comment, comments = 0, b"", list[bytes]()
    while True:
        line, stop = _line(data, start)
        if line.lstrip().startswith(b"#"):
            comment = line
            comments.append(line)
        elif line.strip():
            break
        start = stop
        if start >= len(data):
            raise ValueError("it has no line of column names")
    for _ in range(_LINES_OF_NAMES):  # a quoted name may hold line breaks
        if line.count(b'"') % 2 == 0:
            break
        more, stop = _line(data, stop)
        line += more
    if line.count(b'"') % 2:
        raise ValueError("a quotation mark in its line of column names is not closed")
    header = line.decode("utf-8")
    delimiter = max("\t,;|", key=header.count)
    if delimiter not in header:
        delimiter = " "
    names = _split(header, delimiter)
    noted = _split(comment.decode("utf-8", "replace").strip().lstrip("#").strip(), delimiter)
    if len(noted) == len(names) and any(_NUMBER.match(name) for name in names):
        names, stop = noted, start
    names, noted_before = [name.strip() for name in names], b"".join(comments).decode("utf-8", "replace")
    units, after = _line(data, stop)
    dashes, after = _line(data, after)
    if re.fullmatch(rb"[-\t ,;|]*---[-\t ,;|]*", dashes.strip(b"\r\n")):
        found = _split(units.decode("utf-8").strip("\r\n"), delimiter)
        if len(found) == len(names) and not any(_NUMBER.match(unit) for unit in found):
            return _Layout(delimiter, names, [unit.strip() for unit in found], after, noted_before)
    return _Layout(delimiter, names, [""] * len(names), stop, noted_before)


def _line(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the line that begins at a byte, and where the next one begins."""
    stop = data.find(b"\n", start) + 1 or len(data)
    return data[start:stop], stop


def _split(line: str, delimiter: str) -> list[str]:
    text = io.StringIO(line.strip() if delimiter == " " else line.strip("\r\n"), newline="")
    return next(csv.reader(text, delimiter=delimiter, skipinitialspace=True), [])


def _comment_or_error(row: pa.csv.InvalidRow) -> str:
    return "skip" if row.text.startswith("#") else "error"


def _values(data: bytes, layout: _Layout, index: int) -> pa.Array:
    names = [str(i) for i in range(len(layout.names))]
    rows = pa.py_buffer(data).slice(layout.start)
    if not rows.size:
        return pa.array([], pa.string())
    table = pa.csv.read_csv(
        pa.BufferReader(rows),
        # One block: a block would have to end where a row does, and a quoted value may hold line breaks.
        read_options=pa.csv.ReadOptions(column_names=names, block_size=rows.size + 1, use_threads=False),
        parse_options=pa.csv.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=_comment_or_error
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types={names[index]: pa.string()},
            include_columns=[names[index]],
            strings_can_be_null=False,
        ),
    )
    return table[0].combine_chunks()


def _blank_separated(layout: _Layout, data: bytes) -> CatalogTable:
    rows = []
    for number, line in enumerate(data[layout.start :].decode("utf-8").split("\n"), 1):
        values = _split(line, " ")
        if len(values) == len(layout.names):
            rows.append(values)
        elif values and not values[0].startswith("#"):
            raise ValueError(f"row {number}: expected {len(layout.names)} values, got {len(values)}")
    columns = zip(*rows, strict=True) if rows else [()] * len(layout.names)
    named = zip(layout.names, columns, strict=True)
    made = tuple(Column(name, partial(pa.array, values, pa.string())) for name, values in named)
    return CatalogTable(len(rows), made, format=_IN_WORDS[" "], comments=layout.comments)
