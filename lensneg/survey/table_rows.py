"""The reader of tables in the place of sweep files: CSV and Parquet, for prototypes.

A table has the columns of a sweep that are needed, under their names in any case and in any order. Its rows
come as those of a sweep file do: chunks of a structured array, in the types of the data model.
"""

import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS, needed_for
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.names import Cell, is_table_name

#: Bytes of the largest table. One task reads a table whole, several times.
LARGEST_TABLE: Final = 10**9

#: Rows of a Parquet file that are read at once: about 10 MB of the needed columns.
_BATCH_ROWS: Final = 1 << 16

#: Bytes of a CSV file that are read at once; from S3 each is a request. The first hold the line of names.
_BLOCK_BYTES: Final = 4 << 20

#: The lowest and the highest position, in degrees.
_LIMITS: Final = {"RA": (0.0, 360.0), "DEC": (-90.0, 90.0)}


def probe_table(info: storage.FileInfo, needed: tuple[str, ...] = NEEDED_COLUMNS) -> SweepFile:
    """Read a table once, and check every value that is needed.

    Parameters
    ----------
    info : FileInfo
        The stored file.
    needed : tuple of str
        The columns that the table must have, by upper-case name.

    Returns
    -------
    SweepFile
        Its ``box`` is that of the positions, and its ``nulls`` are the lowest values of the integer types.

    Raises
    ------
    SweepError
        If the table is too large or damaged, lacks a needed column, has no row with a position, or holds a
        value that does not fit its column.
    """
    name = storage.basename(info.uri)
    if not is_table_name(name):
        remedy = (
            "rename it: begin with a letter or digit, and use letters, digits, dots, hyphens, underscores"
        )
        raise SweepError(f"got the name {name!r:.80} of a table", where=info.uri, remedy=remedy)
    if info.size > LARGEST_TABLE:
        what = f"a table of {info.size:,} bytes; the largest that is read has {LARGEST_TABLE:,}"
        remedy = "give fewer rows or only the needed columns, or the survey's sweep files"
        raise SweepError(what, where=info.uri, remedy=remedy)
    model = sweep_dtype()
    dtype = np.dtype([(column, model[column]) for column in needed])
    nulls = {column: int(np.iinfo(dtype[column]).min) for column in needed if dtype[column].kind == "i"}
    n_rows, release, lowest, highest = 0, 0, np.full(2, np.inf), np.full(2, -np.inf)
    for _, chunk in iter_table(SweepFile(info.uri, info.size, dtype, 0, 0, nulls=nulls)):
        n_rows += len(chunk)
        known = chunk["RELEASE"][chunk["RELEASE"] != nulls["RELEASE"]]
        release = release or int(known[0] if len(known) else 0)
        positions = np.stack([chunk["RA"], chunk["DEC"]]).astype(np.float64)
        positions = positions[:, np.isfinite(positions).all(axis=0)]
        lowest = np.minimum(lowest, positions.min(axis=1, initial=np.inf))
        highest = np.maximum(highest, positions.max(axis=1, initial=-np.inf))
    if not (lowest <= highest).all():
        raise SweepError(f"none of its {n_rows:,} rows has a position", where=info.uri, remedy="add rows")
    ends = np.nextafter(highest, np.inf)  # as a cell does not hold its upper borders
    box = Cell(float(lowest[0]), float(ends[0]), float(lowest[1]), float(ends[1]))
    return SweepFile(info.uri, info.size, dtype, n_rows, 0, release, nulls, box=box)


def iter_table(file: SweepFile) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
    """Iterate over a table's rows in chunks.

    Parameters
    ----------
    file : SweepFile
        The table, as :func:`probe_table` returned it.

    Yields
    ------
    start : int
        The chunk's first row.
    chunk : structured ndarray, shape (n,)
        The needed columns. A missing float is NaN, a missing text is empty, and a missing integer is that of
        ``file.nulls``.

    Raises
    ------
    SweepError
        As for :func:`probe_table`.
    """
    needed, row = file.dtype.names or (), 0
    try:
        for batch in _batches(file, needed):
            chunk = np.empty(len(batch), file.dtype)
            for name, column in zip(needed, batch.columns, strict=True):
                chunk[name] = _fitted(name, column, row, file)
            yield row, chunk
            row += len(chunk)
    except (pa.ArrowException, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:300]
        kind = "CSV, in UTF-8 with commas and a line of names" if _is_csv(file.uri) else "Parquet"
        remedy = f"write the file again, as {kind}"
        raise SweepError(
            f"cannot be read behind row {row:,}: {why}", where=file.uri, remedy=remedy
        ) from error


def table_columns(info: storage.FileInfo) -> list[str]:
    """Return the names of a table's columns.

    Parameters
    ----------
    info : FileInfo
        The stored file, CSV or Parquet.

    Returns
    -------
    list of str
        In the order of the file. Empty if the file cannot be read.
    """
    try:
        with closing(storage.open_file(info.uri, info.size)) as stream:
            return _names_in_csv(stream) if _is_csv(info.uri) else pq.ParquetFile(stream).schema_arrow.names
    except (pa.ArrowException, OSError, ValueError):
        return []


def _is_csv(uri: str) -> bool:
    return uri.lower().endswith(".csv")


def _names_in_csv(stream: Any) -> list[str]:
    # From memory: a reader reads ahead, and would move the stream under the next one.
    head = stream.read(_BLOCK_BYTES)
    return list(pa.csv.open_csv(io.BytesIO(head[: head.rfind(b"\n") + 1] or head)).schema.names)


def _batches(file: SweepFile, needed: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Yield the needed columns, in their order; of a CSV file as text."""
    with closing(storage.open_file(file.uri, file.size)) as stream:
        if _is_csv(file.uri):
            names = _find_columns(_names_in_csv(stream), needed, file.uri)
            stream.seek(0)
            convert = pa.csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
            )
            with pa.csv.open_csv(
                stream, pa.csv.ReadOptions(block_size=_BLOCK_BYTES), convert_options=convert
            ) as reader:
                yield from reader
        else:
            table = pq.ParquetFile(stream)
            names = _find_columns(table.schema_arrow.names, needed, file.uri)
            for batch in table.iter_batches(_BATCH_ROWS, columns=names):
                yield batch.select(names)


def _find_columns(names: list[str], needed: tuple[str, ...], uri: str) -> list[str]:
    """Return the table's own names of the needed columns."""
    upper = [name.strip().upper() for name in names]
    if doubled := [name for name in needed if upper.count(name) > 1]:
        what = f"columns named twice, whatever their case: {', '.join(doubled)}"
        raise SweepError(what, where=uri, remedy="remove or rename one of each two")
    lacking: dict[str, list[str]] = {}
    for name in needed:
        if name not in upper:
            lacking.setdefault(needed_for(name), []).append(name)
    if lacking:
        found = "; ".join(f"{', '.join(columns)} ({purpose})" for purpose, columns in lacking.items())
        what = f"columns of a sweep are missing: {found}"
        raise SweepError(what, where=uri, remedy="add them; a value that is not known may be empty")
    return [names[upper.index(name)] for name in needed]


def _fitted(name: str, column: pa.Array, first_row: int, file: SweepFile) -> npt.NDArray[Any]:
    """Return a column in its type of the data model."""
    try:
        return _converted(name, column, file)
    except (pa.ArrowException, ValueError) as error:
        for i in range(len(column)):
            try:
                _converted(name, column.slice(i, 1), file)
            except (pa.ArrowException, ValueError):
                value = str(column[i].as_py())
                what = f"row {first_row + i:,}, column {name}: {value!r:.60} does not fit: {error}"
                raise SweepError(
                    what, where=file.uri, remedy="correct the value, or leave it empty"
                ) from error
        raise


def _converted(name: str, column: pa.Array, file: SweepFile) -> npt.NDArray[Any]:
    kind = file.dtype[name]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind.kind == "S" or not pa.types.is_primitive(column.type):
        column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    if kind.kind == "S":
        texts = np.array([text.encode() for text in column.fill_null("").to_pylist()], "S")
        if texts.itemsize > kind.itemsize:
            raise ValueError(f"expected a text of at most {kind.itemsize} characters")
        return texts
    if kind.kind == "f":
        values: npt.NDArray[Any] = column.cast(pa.from_numpy_dtype(kind.newbyteorder("="))).to_numpy(False)
        low, high = _LIMITS.get(name, (-np.inf, np.inf))
        if ((values < low) | (values > high)).any():
            raise ValueError(f"expected degrees from {low:g} to {high:g}")
        return values
    # Through floats: programs write integers as 3.0 where others in the column are missing.
    floats = column.cast(pa.float64())
    whole = pc.if_else(pc.is_nan(floats), None, floats).cast(pa.from_numpy_dtype(kind.newbyteorder("=")))
    integers: npt.NDArray[Any] = whole.fill_null(file.nulls[name]).to_numpy(False)
    return integers
