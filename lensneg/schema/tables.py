"""Parquet files in one piece."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage


def read_table(uri: str) -> pa.Table:
    """Read a Parquet file whole."""
    return pq.ParquetFile(pa.BufferReader(storage.read_bytes(uri))).read()


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
