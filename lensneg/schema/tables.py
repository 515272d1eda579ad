"""Parquet files that are read and written in one piece."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.record import Record


def read_table(uri: str, schema: pa.Schema | None = None) -> pa.Table:
    """Read a Parquet file whole.

    Parameters
    ----------
    uri : str
        The file.
    schema : pyarrow.Schema, optional
        The columns that the file must have, by name and type.

    Returns
    -------
    pyarrow.Table
        All columns of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RunStateError
        If the file is truncated or no Parquet file, or a column is missing or of another type.
    """
    data = storage.read_bytes(uri)
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
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
) -> int:
    """Write a Parquet file in one piece.

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
    int
        The size of the file in bytes.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=codec, use_dictionary=dictionary)
    data = sink.getvalue()
    storage.write_bytes(uri, data, durable=durable)
    return int(data.size)
