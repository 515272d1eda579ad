"""The table of a Parquet file."""

import io
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg.catalogs.table import CatalogTable, Column, check_size, text_of
from lensneg.survey.parquet_footer import Footer, read_footer

#: Bytes and rows that are read at a time.
_BATCH_BYTES: Final = 16 << 20
_BATCH_ROWS: Final = 1 << 16


def read_parquet(data: bytes, uri: str) -> CatalogTable:
    """Return the table of a Parquet file.

    Parameters
    ----------
    data : bytes
        The file.
    uri : str
        The file, for error messages.

    Returns
    -------
    CatalogTable
        Its units are those of the fields' metadata, or those that astropy or VOParquet wrote into the file.

    Raises
    ------
    CatalogError
        If a column is larger in memory than a catalogue can be. Parquet may hold a value once for many rows.
    """
    footer = read_footer(len(data), lambda start, size: data[start : start + size])
    rows = sum(footer.n_rows)
    check_size(8 * rows, uri, f"{rows:,} rows")
    units = _units(footer.schema)
    columns = [
        Column(
            field.name,
            partial(_values, data, footer, field, uri),
            units.get(field.name, ""),
            _holds(field.type),
        )
        for field in footer.schema
    ]
    return CatalogTable(rows, tuple(columns))


def _units(schema: pa.Schema) -> dict[str, str]:
    metadata = schema.metadata or {}
    units: dict[str, str] = {}
    if b"table_meta_yaml" in metadata:
        from astropy.table.meta import get_header_from_yaml

        header = get_header_from_yaml(metadata[b"table_meta_yaml"].decode().split("\n"))
        units |= {column["name"]: str(column.get("unit") or "") for column in header["datatype"]}
    if b"IVOA.VOTable-Parquet.content" in metadata:
        from astropy.io.votable import parse

        votable = parse(io.BytesIO(metadata[b"IVOA.VOTable-Parquet.content"]), verify="ignore")
        units |= {f.name: str(f.unit or "") for table in votable.iter_tables() for f in table.fields}
    for field in schema:
        for key in (b"unit", b"units"):
            if field.metadata and key in field.metadata:
                units[field.name] = field.metadata[key].decode()
    return units


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    checks = [t.is_string, t.is_large_string, t.is_string_view, t.is_fixed_size_binary]
    return any(check(kind) for check in [*checks, t.is_binary, t.is_large_binary, t.is_binary_view])


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _holds(kind: pa.DataType) -> str:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return "" if _is_text(inner) or _is_plain(inner) else str(inner)


def _values(data: bytes, footer: Footer, field: pa.Field, uri: str) -> pa.Array:
    # Text stays a dictionary until its size is known.
    file = pq.ParquetFile(pa.BufferReader(data), metadata=footer.arrow, read_dictionary=[field.name])
    mask = f"{field.name}.mask"  # where astropy says which values are missing
    read, size = [], 0
    for batch in file.iter_batches(_batch_rows(footer), columns=[field.name, mask]):
        values = batch.column(field.name)
        size += _decoded_bytes(values)
        check_size(size, uri, f"column {field.name!r} unpacks to too many bytes")
        plain = _plain(values)
        if mask in footer.schema.names:
            plain = pc.if_else(batch.column(mask), None, plain)
        read.append(plain)
    if (found := sum(map(len, read))) != sum(footer.n_rows):
        raise ValueError(f"it has {found:,} of {sum(footer.n_rows):,} values")
    return pa.concat_arrays(read) if read else pa.array([], pa.string())


def _batch_rows(footer: Footer) -> int:
    unpacked = sum(place.unpacked for places in footer.places for place in places)
    row_bytes = unpacked // max(1, sum(footer.n_rows))
    return min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, row_bytes)))


def _decoded_bytes(values: Any) -> int:
    if not pa.types.is_dictionary(values.type):
        return int(values.nbytes)
    lengths = (
        pc.binary_length(values.dictionary.cast(pa.large_binary()))
        if _is_text(values.type.value_type)
        else None
    )
    return int(pc.sum(lengths.take(values.indices)).as_py() or 0) if lengths is not None else 8 * len(values)


def _plain(values: Any) -> pa.Array:
    """Return values as text, numbers or booleans."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if _is_text(kind):
        raw = values.cast(pa.large_binary()).to_pylist()
        return pa.array([None if value is None else text_of(value) for value in raw], pa.string())
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return values.cast(pa.float64())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return values
    return values.cast(pa.string())
