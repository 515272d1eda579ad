"""The hash of a manifest's rows."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.columns import MANIFEST_SCHEMA, NOT_CONTENT
from lensneg.schema.progress import Tell, tell_nobody

#: Rows that are hashed at once.
_ROWS_AT_ONCE: Final = 1 << 16

#: The characters that JSON writes as they are.
_PLAIN: Final = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')


def content_sha256(table: pa.Table, schema: pa.Schema = MANIFEST_SCHEMA) -> str:
    """Return a hash of a manifest's rows, which is the same for two runs of the same inputs.

    The hash covers every column except those of ``NOT_CONTENT``, which identify the run or name a file, in
    the order of the rows. It does not depend on the layout of the files or on their compression.

    Parameters
    ----------
    table : pyarrow.Table
        Rows with the columns of the schema.
    schema : pyarrow.Schema
        The columns of the part: that of the negatives by default.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return content_sha256_of(len(table), lambda name: table[name].chunks, schema)


def content_sha256_of(
    rows: int,
    read: Callable[[str], Iterable[pa.Array]],
    schema: pa.Schema = MANIFEST_SCHEMA,
    tell: Tell = tell_nobody,
) -> str:
    """Return the hash of :func:`content_sha256` for rows that are read column by column, in pieces.

    Parameters
    ----------
    rows : int
        The number of rows.
    read : callable
        Takes the name of a column, and returns its values in the order of the rows, in arrays of any length.
        It is called twice for a column with nulls.
    schema : pyarrow.Schema
        The columns of the part: that of the negatives by default.
    tell : callable, optional
        Is told how many columns are done.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for done, field in enumerate(schema):
        tell("columns", done, len(schema))
        if field.name not in NOT_CONTENT:
            digest.update(field.name.encode() + b"\0")
            digest = _with_column(digest, rows, field, read)
    return digest.hexdigest()


def _with_column(digest: Any, rows: int, field: pa.Field, read: Callable[[str], Iterable[pa.Array]]) -> Any:
    """Hash a column: a byte for each row, which says whether its value is null, and then the values.

    Most columns have no nulls. These are read once.
    """
    encoded = _texts if pa.types.is_string(field.type) else _numbers
    without_nulls, packed = digest.copy(), list[tuple[int, bytes]]()
    for start in range(0, rows, _ROWS_AT_ONCE):
        without_nulls.update(bytes(min(_ROWS_AT_ONCE, rows - start)))

    def noting_nulls() -> Iterator[pa.Array]:
        for array in _pieces(read(field.name)):
            nulls = np.packbits(_is_null(array)).tobytes() if array.null_count else b""
            packed.append((len(array), nulls))
            yield array

    for data in encoded(noting_nulls()):
        without_nulls.update(data)
    if not any(nulls for _, nulls in packed):
        return without_nulls
    for length, nulls in packed:
        bits = np.frombuffer(nulls or bytes(-(-length // 8)), np.uint8)
        digest.update(np.unpackbits(bits, count=length).tobytes())
    for data in encoded(_pieces(read(field.name))):
        digest.update(data)
    return digest


def _is_null(array: pa.Array) -> Any:
    return np.asarray(array.is_null(nan_is_null=False))


def _pieces(arrays: Iterable[pa.Array]) -> Iterator[pa.Array]:
    for array in arrays:
        for start in range(0, len(array), _ROWS_AT_ONCE):
            yield array.slice(start, _ROWS_AT_ONCE)


def _numbers(arrays: Iterable[pa.Array]) -> Iterator[bytes]:
    """Yield numbers and times as bytes, the lowest byte first. A null is a zero, and true a byte of one."""
    for array in arrays:
        if pa.types.is_boolean(array.type):
            array = array.cast(pa.uint8())
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        yield values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _texts(arrays: Iterable[pa.Array]) -> Iterator[bytes]:
    """Yield the bytes of one JSON array of all texts. A null is an empty text."""
    before = b"["
    for array in arrays:
        filled = array.fill_null("").cast(pa.binary())
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(filled)], filled), b'", "')[0].as_py()
        if joined.translate(None, _PLAIN) == b'""' * (len(filled) - 1):
            yield before + b'"' + joined + b'"'
        else:  # JSON changes a character
            yield before + json.dumps(filled.cast(pa.string()).to_pylist())[1:-1].encode()
        before = b", "
    yield b"]" if before == b", " else b"[]"
