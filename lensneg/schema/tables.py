"""Parquet files: how they are opened, and how they are read and written in one piece."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.record import Record

#: Rows of a file that are held at once, where it is read in batches.
ROWS_AT_ONCE: Final = 1 << 15


class WrittenFile(NamedTuple):
    """The size of a written file in bytes, and its SHA-256."""

    bytes: int
    sha256: str


def open_for_arrow(uri: str, size: int) -> pa.NativeFile:
    """Open a file for Arrow's threads.

    They may still hold what they have read when the interpreter ends. If it is Python's, the process aborts.

    Parameters
    ----------
    uri : str
        The file.
    size : int
        Its bytes.

    Returns
    -------
    pyarrow.NativeFile
        To read from.
    """
    stream = storage.open_file(uri, size)
    if storage.is_s3(uri):
        return pa.PythonFile(stream, mode="r")
    with stream:  # which was opened, so it is there and a file
        return pa.OSFile(uri)


def read_batches(uri: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some columns of a Parquet file in batches, and verify the checksums of their pages.

    Parameters
    ----------
    uri : str
        The file.
    columns : sequence of str
        The columns.

    Yields
    ------
    pyarrow.Table
        The columns of at most :data:`ROWS_AT_ONCE` rows.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    KeyError
        If the file lacks a column.
    pyarrow.ArrowException, OSError
        If the file cannot be read.
    """
    in_s3 = storage.is_s3(uri)
    with open_for_arrow(uri, storage.stat(uri).size) as stream:
        # In S3 the columns of a row group, and of no more, are got by a few large requests.
        file = pq.ParquetFile(stream, pre_buffer=in_s3, page_checksum_verification=True)
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=list(columns)):
                yield pa.Table.from_batches([batch]).select(columns)


def count_rows(tables: Iterable[pa.Table], columns: Sequence[str]) -> Counter[tuple[Any, ...]]:
    """Count the rows of some tables by their values in some columns.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        One after the other, so that they need not all be in memory.
    columns : sequence of str
        The columns.

    Returns
    -------
    Counter of tuple
        The number of rows for each combination of values, None among them.
    """
    found = Counter[tuple[Any, ...]]()
    for table in tables:
        for group in table.group_by(list(columns)).aggregate([([], "count_all")]).to_pylist():
            found[tuple(group[name] for name in columns)] += group["count_all"]
    return found


def read_table(uri: str, schema: pa.Schema | None = None, sha256: str | None = None) -> pa.Table:
    """Read a Parquet file whole, and verify the checksums of its pages.

    Parameters
    ----------
    uri : str
        The file.
    schema : pyarrow.Schema, optional
        The columns that the file must have, by name and type.
    sha256 : str, optional
        The SHA-256 that the file must have.

    Returns
    -------
    pyarrow.Table
        All columns of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RunStateError
        If the file is truncated or no Parquet file, a column is missing or of another type, or it is not the
        file of this SHA-256.
    """
    data = storage.read_bytes(uri)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        what = "not the file that was written: its SHA-256 is another one"
        raise RunStateError(what, where=uri, remedy="start again with the same run id")
    try:
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        what = f"not a readable Parquet file: {error}"
        raise RunStateError(what, where=uri, remedy=Record.damaged_remedy) from error
    for field in schema or ():
        found = table.schema.field(field.name).type if field.name in table.column_names else None
        if found != field.type:
            what = f"column {field.name} is {found or 'missing'}; expected {field.type}"
            raise RunStateError(what, where=uri, remedy=Record.damaged_remedy)
    return table


def write_table(
    uri: str,
    table: pa.Table,
    *,
    codec: str = "zstd",
    dictionary: bool | Collection[str] = True,
    durable: bool = True,
) -> WrittenFile:
    """Write a Parquet file in one piece, with a checksum in each page.

    Parameters
    ----------
    uri : str
        The file.
    table : pyarrow.Table
        The rows.
    codec : str
        The compression, as Parquet names it.
    dictionary : bool or collection of str
        The columns that get a dictionary. If True, Arrow tries one for each column.
    durable : bool
        See :func:`lensneg.storage.write_bytes`.

    Returns
    -------
    WrittenFile
        Its size and SHA-256.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=codec, use_dictionary=dictionary, write_page_checksum=True)
    data = sink.getvalue()
    storage.write_bytes(uri, data, durable=durable)
    return WrittenFile(int(data.size), hashlib.sha256(data).hexdigest())
