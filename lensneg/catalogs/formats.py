"""The file formats of lens catalogues: CSV, TSV, FITS and Parquet, also gzipped."""

import gzip
import io
import os
import tempfile
import zlib
from typing import Any, Final

import fitsio
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import CatalogError

#: A larger file is refused, because a catalogue is read whole. All lenses known in 2025 are a few megabytes.
LARGEST_BYTES: Final = 256 << 20

_TOO_LARGE: Final = "a lens catalogue is much smaller: keep its positions and names only"


def read_file(uri: str) -> bytes:
    """Read a catalogue's file.

    Parameters
    ----------
    uri : str
        The file.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    CatalogError
        If there is no such file, or it is larger than a catalogue can be.
    """
    try:
        size = storage.stat(uri).size
        if size > LARGEST_BYTES:
            raise CatalogError(f"{size:,} bytes", where=uri, remedy=_TOO_LARGE)
        return storage.read_bytes(uri)
    except FileNotFoundError as error:
        remedy = "check the path, or put it there (lensneg aws upload)"
        raise CatalogError("no such file", where=uri, remedy=remedy) from error
    except IsADirectoryError as error:
        raise CatalogError("this is a folder", where=uri, remedy="name a catalogue file in it") from error


def parse_table(data: bytes, uri: str) -> pa.Table:
    """Read a table from a file's bytes.

    Parameters
    ----------
    data : bytes
        The content of a CSV, TSV, FITS or Parquet file, also gzipped.
    uri : str
        The file, for error messages.

    Returns
    -------
    pyarrow.Table
        If the file is CSV or TSV, every column is text. Vector columns of a FITS file are left out.

    Raises
    ------
    CatalogError
        If the bytes are of none of these formats.
    """
    suffix = uri.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if data.startswith(b"\x1f\x8b"):
            data = _gunzip(data, uri)
        if data.startswith(b"SIMPLE  =") or suffix in ("fits", "fit"):
            return _read_fits(data)
        if data.startswith(b"PAR1"):
            return pq.read_table(pa.BufferReader(data))
        return _read_text(data)
    except (pa.ArrowException, OSError, ValueError, EOFError, zlib.error) as error:
        raise CatalogError(
            f"cannot be read as CSV, TSV, FITS or Parquet: {error}",
            where=uri,
            remedy="text must be UTF-8, with a line of column names",
        ) from error


def _gunzip(data: bytes, uri: str) -> bytes:
    """Return the content of a gzipped file, if it is not too large."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        plain = file.read(LARGEST_BYTES + 1)
    if len(plain) > LARGEST_BYTES:
        what = f"it unpacks to more than {LARGEST_BYTES:,} bytes"
        raise CatalogError(what, where=uri, remedy=_TOO_LARGE)
    return plain


def _read_text(data: bytes) -> pa.Table:
    """Read CSV or TSV with every value as text, because ``catalog.py`` converts and checks the numbers."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    header = data.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")
    delimiter = max("\t,;|", key=header.count)
    columns = [name.strip().strip('"') for name in header.split(delimiter)]
    return pa.csv.read_csv(
        pa.BufferReader(data),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in columns}, strings_can_be_null=False
        ),
    )


def _read_fits(data: bytes) -> pa.Table:
    """Read the first table of a FITS file. The bytes go through a file, because cfitsio reads only files."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "catalog.fits")
        with open(path, "wb") as file:
            file.write(data)
        with fitsio.FITS(path) as hdus:
            tables = [hdu for hdu in hdus if hdu.get_exttype() in ("BINARY_TBL", "ASCII_TBL")]
            if not tables:
                raise ValueError("it holds no table")
            table = tables[0].read()
    columns = {}
    for name in table.dtype.names:
        values = table[name]
        if values.ndim == 1:  # a vector column is neither a coordinate nor a name
            native: Any = values.astype(values.dtype.newbyteorder("="))
            columns[name] = pa.array(
                [v.decode("latin-1").strip() for v in values] if values.dtype.kind == "S" else native
            )
    return pa.table(columns)
