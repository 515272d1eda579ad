"""The reader of tables in the place of sweep files: CSV and Parquet, for prototypes.

A table has the columns of a sweep that are needed, under their names in any case and in any order. Its rows
come as those of a sweep file do: chunks of a structured array, in the types of the data model.
"""

import io
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.rules.rows import Rows
from lensneg.rules.usable import has_identity
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.columns import BRICK_PRIMARY, NEEDED_COLUMNS, needed_for
from lensneg.schema.input_name import hats_pixel
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.survey.fits_layout import STACKED, SweepFile
from lensneg.survey.names import Cell, is_table_name
from lensneg.survey.parquet_footer import Bounds, read_footer
from lensneg.survey.parquet_rows import RowGroup, iter_batches, row_groups

#: Bytes of the largest CSV table. One task reads it whole, several times.
LARGEST_TABLE: Final = 10**9

#: Bytes of a CSV file that are read at once; from S3 each is a request. The first hold the line of names.
_BLOCK_BYTES: Final = 4 << 20

#: Of no positions.
_NOWHERE: Final = Bounds(math.inf, -math.inf)


def probe_table(info: storage.FileInfo, needed: tuple[str, ...] = NEEDED_COLUMNS) -> SweepFile:
    """Check a table: of a CSV file every value that is needed, of a Parquet file the footer.

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
    if not (is_table_name(name) or hats_pixel(info.uri)):
        remedy = (
            "rename it: begin with a letter or digit, and use letters, digits, dots, hyphens, underscores"
        )
        raise SweepError(f"got the name {name!r:.80} of a table", where=info.uri, remedy=remedy)
    model = sweep_dtype()
    dtype = np.dtype([(column, model[column]) for column in needed])
    nulls = {column: int(np.iinfo(dtype[column]).min) for column in needed if dtype[column].kind == "i"}
    file = SweepFile(info.uri, info.size, dtype, 0, 0, nulls=nulls)
    file, found = _look_through(file) if _is_csv(info.uri) else _look_at_footer(file)
    if not found.n_rows or not all(map(math.isfinite, (*found.ra, *found.dec))):
        what = f"none of its {found.n_rows:,} rows has a position"
        raise SweepError(what, where=info.uri, remedy="add rows")
    ends = (float(np.nextafter(high, np.inf)) for high in (found.ra[1], found.dec[1]))
    box = Cell(found.ra.low, next(ends), found.dec.low, next(ends))  # it does not hold its upper borders
    return replace(file, n_rows=found.n_rows, release=found.release, box=box)


class _Found(NamedTuple):
    """What a table holds: its rows, a RELEASE, and the lowest and the highest RA and Dec."""

    n_rows: int
    release: int
    ra: Bounds
    dec: Bounds


def _with_primary(file: SweepFile, names: list[str]) -> SweepFile:
    """Return the table with its column BRICK_PRIMARY, if it has one: its rows are those of stacked bricks."""
    if BRICK_PRIMARY not in [name.strip().upper() for name in names]:
        return file
    fields = [(name, file.dtype[name]) for name in file.dtype.names or ()]
    dtype = np.dtype([*fields, (BRICK_PRIMARY, np.dtype("S5"))])  # true or false
    return replace(file, dtype=dtype, oddities=(STACKED,))


def _look_through(file: SweepFile) -> tuple[SweepFile, _Found]:
    """Read a CSV table once, and check every value that is needed."""
    if file.size > LARGEST_TABLE:
        what = f"a table of {file.size:,} bytes; the largest that is read has {LARGEST_TABLE:,}"
        remedy = "give fewer rows or only the needed columns, write it as Parquet, or give sweep files"
        raise SweepError(what, where=file.uri, remedy=remedy)
    found = _Found(0, 0, _NOWHERE, _NOWHERE)
    with _arrow_errors(file, "at its first line"), closing(storage.open_file(file.uri, file.size)) as stream:
        file = _with_primary(file, _csv_names(stream))
    for _, chunk in iter_table(file):
        found = _joined(found, _found_in(chunk))
    return file, found


def _found_in(chunk: Mapping[str, npt.NDArray[Any]]) -> _Found:
    release = chunk["RELEASE"][chunk["RELEASE"] > 0]
    known = _on_the_sphere(chunk["RA"], chunk["DEC"])
    ra, dec = (
        Bounds(float(values.min(initial=np.inf)), float(values.max(initial=-np.inf)))
        for values in (chunk["RA"][known], chunk["DEC"][known])
    )
    return _Found(len(known), int(release[0]) if len(release) else 0, ra, dec)


def _on_the_sphere(ra: FloatArray, dec: FloatArray) -> BoolArray:
    """Return which positions are some; rows with others are bad rows, which the map counts and drops."""
    return has_identity(Rows({"RA": ra, "DEC": dec}))


def _joined(one: _Found, other: _Found) -> _Found:
    ra, dec = (
        Bounds(min(a.low, b.low), max(a.high, b.high)) for a, b in ((one.ra, other.ra), (one.dec, other.dec))
    )
    return _Found(one.n_rows + other.n_rows, one.release or other.release, ra, dec)


def _look_at_footer(file: SweepFile) -> tuple[SweepFile, _Found]:
    """Check a Parquet file's footer: its columns, their types, and the range of the positions.

    Rows are read only where the footer does not say what they hold.
    """
    info = storage.FileInfo(file.uri, file.size, "")
    with _arrow_errors(file, "at its footer"):
        footer = read_footer(file.size, partial(storage.read_bytes, file.uri))
    schema = footer.schema
    file = _with_primary(replace(file, footer=footer), schema.names)
    names = _find_columns(schema.names, file.dtype.names or (), file.uri)
    for name, own in zip(file.dtype.names or (), names, strict=True):
        if not _is_plain(schema.field(own).type):
            what = f"column {name} holds values of type {schema.field(own).type}"
            raise SweepError(what, where=file.uri, remedy="write it as plain numbers or text")
    if masked := [own for own in names if f"{own}.mask" in schema.names]:
        what = f"astropy wrote the missing values of {', '.join(masked)} as columns of their own (.mask)"
        remedy = "write it with nulls: table.to_pandas().to_parquet(FILE)"
        raise SweepError(what, where=file.uri, remedy=remedy)
    groups = row_groups(footer, tuple(names), info)
    places = {name.strip().upper(): i for i, name in enumerate(footer.names)}
    found = _Found(0, 0, _NOWHERE, _NOWHERE)
    for group in groups:
        chunks = [footer.places[group.number][places[name]].bounds for name in ("RELEASE", "RA", "DEC")]
        ends = [np.array(chunk) for chunk in chunks[1:] if chunk is not None]
        if None in chunks or not _on_the_sphere(*ends).all():
            rest = replace(file, dtype=file.dtype[["RELEASE", "RA", "DEC"]])
            for _, chunk in iter_table(rest, {g.number for g in groups if g is not group}):
                found = _joined(found, _found_in(chunk))
            continue
        release, ra, dec = (chunk for chunk in chunks if chunk is not None)
        found = _joined(found, _Found(group.n_rows, int(release.high), ra, dec))
    return file, found


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = (
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    )
    return pa.types.is_primitive(kind) or pa.types.is_null(kind) or any(is_text(kind) for is_text in texts)


def table_row_groups(file: SweepFile) -> list[RowGroup]:
    """Return the row groups of a table.

    Parameters
    ----------
    file : SweepFile
        The table, as :func:`probe_table` returned it.

    Returns
    -------
    list of RowGroup
        Of a CSV file none.
    """
    if file.footer is None:
        return []
    names = _find_columns(file.footer.schema.names, file.dtype.names or (), file.uri)
    return row_groups(file.footer, tuple(names), storage.FileInfo(file.uri, file.size, ""))


def iter_table(
    file: SweepFile, left_out: Collection[int] = ()
) -> Iterator[tuple[int, dict[str, npt.NDArray[Any]]]]:
    """Iterate over a table's rows in chunks.

    Parameters
    ----------
    file : SweepFile
        The table, as :func:`probe_table` returned it.
    left_out : collection of int
        Numbers of row groups that are not read.

    Yields
    ------
    start : int
        The chunk's first row.
    chunk : dict of str to ndarray, each of shape (n,)
        The needed columns. A missing float is NaN, a missing text is empty, and a missing integer is that of
        ``file.nulls``.

    Raises
    ------
    SweepError
        If a value does not fit its column, or the file is damaged.
    """
    needed = file.dtype.names or ()
    row = 0
    batches = _csv_batches(file, needed) if _is_csv(file.uri) else _parquet_batches(file, needed, left_out)
    while True:
        with _arrow_errors(file, f"behind row {row:,}"):
            start, batch = next(batches, (row, None))
            if batch is None:
                return
            columns = zip(needed, batch.columns, strict=True)
            chunk = {name: _fitted(name, column, start, file) for name, column in columns}
        yield start, chunk
        row = start + len(batch)


@contextmanager
def _arrow_errors(file: SweepFile, place: str) -> Iterator[None]:
    """Say of Arrow's errors which file they are of, and what to do."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        why = " ".join(str(error).split())[:300]
        kind = "CSV, in UTF-8 with commas and a line of names" if _is_csv(file.uri) else "Parquet"
        what = f"cannot be read {place}: {why}"
        raise SweepError(what, where=file.uri, remedy=f"write the file again, as {kind}") from error


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
            return _csv_names(stream) if _is_csv(info.uri) else pq.read_schema(stream).names
    except (pa.ArrowException, OSError, ValueError):
        return []


def _is_csv(uri: str) -> bool:
    return uri.lower().endswith(".csv")


def _parquet_batches(
    file: SweepFile, needed: tuple[str, ...], left_out: Collection[int]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the needed columns, in their order, with text as dictionaries."""
    names = _find_columns(file.footer.schema.names, needed, file.uri)
    columns = zip(needed, names, strict=True)
    texts = [own for name, own in columns if file.dtype[name].kind == "S" and name != BRICK_PRIMARY]
    groups = row_groups(file.footer, tuple(names), storage.FileInfo(file.uri, file.size, ""))
    yield from iter_batches(file, names, texts, [group for group in groups if group.number not in left_out])


def _csv_names(stream: BinaryIO) -> list[str]:
    # From memory: a reader reads ahead, and would move the stream under the next one.
    head = stream.read(_BLOCK_BYTES)
    lines = io.BytesIO(head[: head.rfind(b"\n") + 1] or head)
    return list(pa.csv.open_csv(lines).schema.names)


def _csv_batches(file: SweepFile, needed: tuple[str, ...]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the needed columns, in their order, as text."""
    with closing(storage.open_file(file.uri, file.size)) as stream:
        names = _find_columns(_csv_names(stream), needed, file.uri)
        stream.seek(0)
        convert = pa.csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
        )
        row = 0
        with pa.csv.open_csv(
            stream, pa.csv.ReadOptions(block_size=_BLOCK_BYTES), convert_options=convert
        ) as reader:
            for batch in reader:
                yield row, batch
                row += len(batch)


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
    if pa.types.is_dictionary(column.type):
        try:
            column.validate(full=True)  # Arrow's reader does not compare the indices with the dictionary
        except pa.ArrowException as error:
            what = f"column {name}, in the rows from {first_row:,} on: {error}: it is damaged"
            raise SweepError(what, where=file.uri, remedy="copy the file again, or write it again") from error
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


@lru_cache(maxsize=32)
def _arrow_type(kind: np.dtype[Any]) -> pa.DataType:
    return pa.from_numpy_dtype(kind.newbyteorder("="))


def _converted(name: str, column: pa.Array, file: SweepFile) -> npt.NDArray[Any]:
    kind = file.dtype[name]
    if kind.kind == "S":
        return _texts(column, kind.itemsize)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_primitive(column.type):
        column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    target = _arrow_type(kind)
    if column.type == target and not column.null_count:
        found: npt.NDArray[Any] = column.to_numpy()  # as it is in memory: most columns of Parquet
        return found
    if kind.kind == "f":
        values: npt.NDArray[Any] = column.cast(target).to_numpy(False)
        return values
    if not pa.types.is_integer(column.type):
        # Through floats: programs write integers as 3.0 where others in the column are missing.
        floats = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(floats), None, floats)
    whole = column.cast(target)
    integers: npt.NDArray[Any] = (whole.fill_null(file.nulls[name]) if whole.null_count else whole).to_numpy()
    return integers


def _texts(column: pa.Array, width: int) -> npt.NDArray[Any]:
    """Return text as bytes of a fixed width; a missing one is empty."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    trimmed = pc.utf8_trim_whitespace(column.dictionary.cast(pa.string())).fill_null("").to_pylist()
    known = [*(text.encode() for text in trimmed), b""]
    if any(len(text) > width or b"\0" in text for text in known):
        raise ValueError(f"expected a text of at most {width} characters")
    # A missing text has the place of the last one.
    place = column.indices.fill_null(len(trimmed)).to_numpy()
    return np.asarray(np.array(known, f"S{width}")[place])
