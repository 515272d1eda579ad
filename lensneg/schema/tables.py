"""Parquet files in one piece."""

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
    schema : pyarrow.Schema, optional
        The columns that the file must have, by name and type.

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
        raise RunStateError(
            f"not a readable Parquet file: {error}", where=uri, remedy=Record.damaged_remedy
        ) from error
    for field in schema or ():
        found = table.schema.field(field.name).type if field.name in table.column_names else None
        if found != field.type:
            raise RunStateError(
                f"column {field.name} is {found or 'missing'}; expected {field.type}",
                where=uri,
                remedy=Record.damaged_remedy,
            )
    return table


def write_table(
    uri: str,
    table: pa.Table,
    *,
    codec: str = "zstd",
    dictionary: Collection[str] | None = None,
    durable: bool = True,
) -> int:
    """Write a Parquet file in one piece; return its bytes.

    Parameters
    ----------
    uri : str
    table : pyarrow.Table
    codec : str
    dictionary : collection of str, optional
        The columns that get a dictionary; by default Arrow tries with each.
    durable : bool
        See :func:`lensneg.storage.write_bytes`.
    """
    use = True if dictionary is None else [name for name in table.column_names if name in dictionary]
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=codec, use_dictionary=use)
    data = sink.getvalue()
    storage.write_bytes(uri, data, durable=durable)
    return int(data.size)
