"""Rows of a manifest as FITS and as VOTable, whose rows are records of one width.

astropy writes the heads, from a table without rows. The records follow, a batch at a time.
"""

import base64
import io
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy.io import fits, votable
from astropy.table import Table
from astropy.units import UnitsWarning, UnrecognizedUnit

from lensneg.page.exported_rows import ExportedRows, describe
from lensneg.schema.manifest import ColumnRecord

#: FITS files are made of blocks of so many bytes.
_BLOCK: Final = 2880

#: What stands before and after the rows in a VOTable. astropy leaves it out where there are none.
_DATA: Final = (b'<DATA><BINARY2><STREAM encoding="base64">\n', b"</STREAM></BINARY2></DATA>\n  ")


def _kinds(rows: ExportedRows) -> dict[str, str]:
    """Return numpy's code of each column's type in both formats: big-endian, texts of the longest's width."""
    widths, kinds = rows.widths(), {}
    for column in rows.columns:
        if column.type == "string" or column.type.startswith("timestamp"):
            kinds[column.name] = f"S{widths.get(column.name, 1)}"
        elif column.type == "bool":
            kinds[column.name] = "?"
        else:
            kind = np.dtype(pa.type_for_alias(column.type).to_pandas_dtype())
            kinds[column.name] = kind.newbyteorder(">").str
    return kinds


def _empty_table(rows: ExportedRows, kinds: dict[str, str]) -> Table:
    """Return a table without rows."""
    table = Table({name: np.empty(0, kind) for name, kind in kinds.items()})
    for column in rows.columns:
        describe(table[column.name], column)
    return table


def _null_of(kind: str) -> int:
    """Return the integer that stands for a missing one."""
    return int(np.iinfo(kind).min)


def _records(batch: pa.Table, kinds: dict[str, str], flags: int = 0) -> npt.NDArray[np.void]:
    """Return rows as records; with ``flags`` bytes before each, VOTable's marks of missing values."""
    stored = {name: "S1" if kind == "?" else kind for name, kind in kinds.items()}
    front = [("", f"V{flags}")] if flags else []
    records = np.zeros(len(batch), np.dtype([*front, *stored.items()]))
    missing = np.zeros((len(batch), 8 * flags), dtype=bool)
    for number, (name, kind) in enumerate(kinds.items()):
        array = batch[name].combine_chunks()
        if flags:
            missing[:, number] = array.is_null()
        if kind == "?":
            letters = {True: b"T", False: b"F", None: b"?" if flags else b""}
            values: Any = [letters[value] for value in array.to_pylist()]
        elif kind.startswith("S"):
            values = [text.encode() for text in array.fill_null("").to_pylist()]
        else:
            fill = np.nan if np.dtype(kind).kind == "f" else _null_of(kind)
            values = array.fill_null(fill).to_numpy(zero_copy_only=False)
        records[name] = values
    if flags:
        records.view((np.uint8, records.itemsize))[:, :flags] = np.packbits(missing, axis=1)
    return records


def fits_chunks(rows: ExportedRows) -> Iterator[bytes]:
    """Yield a FITS file: a missing number is NaN or TNULLn, and a missing text is empty."""
    kinds = _kinds(rows)
    table = _empty_table(rows, kinds)
    for name in table.colnames:  # astropy drops units that are not of the FITS standard
        table[name].unit = None
    header = fits.table_to_hdu(table).header
    for number, column in enumerate(rows.columns, start=1):
        kind = np.dtype(kinds[column.name]).kind
        if column.unit:
            header.set(f"TUNIT{number}", column.unit, after=f"TFORM{number}")
        if column.nullable and kind == "i":
            header.set(f"TNULL{number}", _null_of(kinds[column.name]), after=f"TFORM{number}")
        header.set(f"TCOMM{number}", column.description, after=f"TFORM{number}")
    header["EXTNAME"] = rows.part.upper()
    header.update(rows.meta)
    header["NAXIS2"] = rows.rows
    yield fits.PrimaryHDU().header.tostring().encode("ascii")
    yield header.tostring().encode("ascii")
    for batch in rows.batches():
        yield _records(batch, kinds).tobytes()
    yield bytes(-header["NAXIS1"] * rows.rows % _BLOCK)


def votable_chunks(rows: ExportedRows) -> Iterator[bytes]:
    """Yield a VOTable whose rows are BINARY2, in which missing values are marked."""
    kinds = _kinds(rows)
    before, after = _votable_head(_empty_table(rows, kinds), rows.columns, rows)
    yield before
    left = b""
    for batch in rows.batches():
        left += _records(batch, kinds, flags=-(-len(kinds) // 8)).tobytes()
        whole = len(left) // 57 * 57  # three bytes are four characters; a line has 76
        yield base64.encodebytes(left[:whole])
        left = left[whole:]
    yield base64.encodebytes(left) + after


def _votable_head(table: Table, columns: list[ColumnRecord], rows: ExportedRows) -> tuple[bytes, bytes]:
    """Return what stands before and after the rows."""
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # The survey's units are not of the VOUnit standard. Tools show them as they are.
        warnings.simplefilter("ignore", UnitsWarning)
        warnings.simplefilter("ignore", votable.exceptions.W50)
        document = votable.from_table(table, table_id=rows.part)
        document.description = "; ".join(f"{key} {value}" for key, value in rows.meta.items())
        for field, column in zip(document.get_first_table().fields, columns, strict=True):
            if column.unit:
                field.unit = UnrecognizedUnit(column.unit)
            if column.type == "bool":
                field.datatype = "boolean"  # astropy has "bit", whose rows are written otherwise
        document.to_xml(sink, tabledata_format="binary2")
    before, end, after = sink.getvalue().rpartition(b"</TABLE>")
    return before + _DATA[0], _DATA[1] + end + after
