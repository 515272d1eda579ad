"""Rows of a manifest as CSV and as ECSV."""

import io
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from astropy.table import Table
from pyarrow import csv

from lensneg.page.exported_rows import ExportedRows, describe


def csv_chunks(tables: Iterable[pa.Table], *, header: bool = True) -> Iterator[bytes]:
    """Yield tables of the same columns as one CSV file. A missing value is an empty field."""
    for rows in tables:
        sink = pa.BufferOutputStream()
        csv.write_csv(_with_words(rows), sink, csv.WriteOptions(include_header=header))
        yield sink.getvalue().to_pybytes()
        header = False


def _with_words(rows: pa.Table) -> pa.Table:
    """Return rows with truth values as the words that astropy reads."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_boolean(field.type):
            words = pc.if_else(rows[field.name], "True", "False")
            rows = rows.set_column(i, field.name, words)
    return rows


def columns_chunks(rows: ExportedRows) -> Iterator[bytes]:
    """Yield a CSV file that describes the columns."""
    names = ("name", "type", "unit", "description")
    yield from csv_chunks([pa.table({n: [getattr(column, n) for column in rows.columns] for n in names})])


def ecsv_chunks(rows: ExportedRows) -> Iterator[bytes]:
    """Yield an ECSV file: a head with types, units and descriptions, and then the lines of CSV."""
    head = Table(meta=dict(rows.meta))
    for column in rows.columns:
        kind = pa.type_for_alias(column.type) if not column.type.startswith("timestamp") else pa.string()
        head[column.name] = (
            pa.array([], kind)
            .to_numpy(zero_copy_only=False)
            .astype(str if pa.types.is_string(kind) else kind.to_pandas_dtype())
        )
        describe(head[column.name], column)
    sink = io.StringIO()
    head.write(sink, format="ascii.ecsv", delimiter=",")
    yield sink.getvalue().encode()
    yield from csv_chunks(rows.batches(), header=False)
