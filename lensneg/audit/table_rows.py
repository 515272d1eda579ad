"""Single rows of a CSV or Parquet table that a run had in the place of sweep files.

The reader of the map is not used, so that a fault of it shows: Python's csv module reads CSV.
"""

import csv
import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.csv
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.schema.columns import COLUMNS, READ_BY_NEED
from lensneg.schema.sweep_columns import sweep_dtype

#: A file is read in pieces of so many bytes; from S3 each is a request.
_BUFFER_BYTES: Final = 4 << 20

_NULLS: Final = frozenset(pyarrow.csv.ConvertOptions().null_values)

_COMPARED: Final = (
    "BRICKID",
    *(c.sweep for c in COLUMNS if c.sweep is not None and c.sweep not in READ_BY_NEED),
)


def read_table_rows(
    info: storage.FileInfo, index: list[int], by_need: tuple[str, ...] = ()
) -> npt.NDArray[np.void]:
    """Read single rows of a table.

    Parameters
    ----------
    info : FileInfo
        The table.
    index : list of int
        Places of the rows, from 0.
    by_need : tuple of str
        Further columns to read, of ``READ_BY_NEED``.

    Returns
    -------
    structured ndarray, shape (n,)
        The columns that a manifest has, in the types of the data model; a missing float is NaN.

    Raises
    ------
    ValueError
        If the table has fewer rows, or a value is missing or is of another type.
    """
    wanted, compared = set(index), (*_COMPARED, *by_need)
    with storage.open_file(info.uri, info.size) as stream:
        is_csv = info.uri.lower().endswith(".csv")
        names, found = _csv_rows(stream, wanted) if is_csv else _parquet_rows(stream, wanted, compared)
        places = {name.strip().upper(): i for i, name in enumerate(names)}
    if wanted - found.keys():
        raise ValueError(f"it has no row {min(wanted - found.keys()):,}")
    model = sweep_dtype()
    rows = np.empty(len(index), [(name, model[name]) for name in compared])
    for name in compared:
        rows[name] = [_value(found[i][places[name]], model[name].kind) for i in index]
    return rows


def _csv_rows(stream: Any, wanted: set[int]) -> tuple[list[str], dict[int, list[Any]]]:
    """Return the names and some rows of a CSV file; lines without text are no rows."""
    buffered = io.BufferedReader(stream, _BUFFER_BYTES)
    lines = filter(None, csv.reader(io.TextIOWrapper(buffered, "utf-8-sig", newline="")))
    names = next(lines)
    return names, {i: row for i, row in enumerate(lines) if i in wanted}


def _parquet_rows(
    stream: Any, wanted: set[int], compared: tuple[str, ...]
) -> tuple[list[str], dict[int, list[Any]]]:
    """Return some columns of some rows of a Parquet file, and their names. Only their row groups are read."""
    file = pq.ParquetFile(stream, pre_buffer=True)
    names = [name for name in file.schema_arrow.names if name.strip().upper() in compared]
    found, first = dict[int, list[Any]](), 0
    for number in range(file.num_row_groups):
        stop = first + file.metadata.row_group(number).num_rows
        if here := sorted(i for i in wanted if first <= i < stop):
            rows = file.read_row_group(number, columns=names).take([i - first for i in here])
            values = [rows[name].to_pylist() for name in names]
            found |= {i: [column[k] for column in values] for k, i in enumerate(here)}
        first = stop
    return names, found


def _value(value: Any, kind: str) -> Any:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str) and value.strip() in _NULLS:
        value = None
    if kind == "S":
        return (value or "").strip()
    if kind == "f":
        return np.nan if value is None else float(value)
    if value is None:
        raise ValueError("a whole number is missing")
    return int(float(value))
