"""The file formats of lens catalogues, told by their content, also gzipped."""

import gzip
import io
import warnings
from dataclasses import replace

from lensneg import storage
from lensneg.catalogs import table
from lensneg.catalogs.astropy_table import astropy_format, read_with_astropy
from lensneg.catalogs.fits_table import read_fits
from lensneg.catalogs.parquet_table import read_parquet
from lensneg.catalogs.table import CatalogTable, check_size
from lensneg.catalogs.text_table import read_text
from lensneg.errors import CatalogError, LensnegError


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
        check_size(storage.stat(uri).size, uri)
        return storage.read_bytes(uri)
    except FileNotFoundError as error:
        remedy = "check the path" + ", or put it there: lensneg aws upload" * storage.is_s3(uri)
        raise CatalogError("no such file", where=uri, remedy=remedy) from error
    except IsADirectoryError as error:
        raise CatalogError("this is a folder", where=uri, remedy="name a catalogue file in it") from error


def parse_tables(data: bytes, uri: str, fmt: str | None = None) -> list[CatalogTable]:
    """Return the tables of a file.

    Parameters
    ----------
    data : bytes
        The content of a file in one of the formats of docs/cli.md, also gzipped.
    uri : str
        The file, for error messages.
    fmt : str, optional
        The name that astropy.table has for the format. By default the content shows it.

    Returns
    -------
    list of CatalogTable
        At least one.

    Raises
    ------
    CatalogError
        If the bytes are of none of these formats.
    """
    suffix = uri.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        # Libraries warn of what is odd in a file and does not matter here, in its own words.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if data.startswith(b"\x1f\x8b"):
                data = _gunzip(data, uri)
            if fmt in (None, "fits") and (data.startswith(b"SIMPLE  =") or suffix in ("fits", "fit")):
                return [replace(table, format="FITS") for table in read_fits(data)]
            if fmt in (None, "parquet") and data.startswith(b"PAR1"):
                return [replace(read_parquet(data, uri), format="Parquet")]
            name = fmt or astropy_format(data)
            return read_with_astropy(data, name) if name else [read_text(data)]
    except LensnegError:
        raise
    except Exception as error:  # the libraries raise errors of many kinds about damaged bytes
        raise unreadable(error, uri, fmt=fmt) from error


def unreadable(error: Exception, uri: str, part: str = "", fmt: str | None = None) -> CatalogError:
    """Return the error for a file that a library cannot read.

    Parameters
    ----------
    error : Exception
        What the library raised.
    uri : str
        The file.
    part : str
        The part that cannot be read, such as a column. By default the file.
    fmt : str, optional
        The format that the user named.

    Returns
    -------
    CatalogError
        It says why, and what to do.
    """
    why = " ".join(str(error).split())[:300] or type(error).__name__
    return CatalogError(
        f"{part} cannot be read as {fmt or 'CSV, TSV, FITS, Parquet, VOTable or ECSV'}: {why}".strip(),
        where=uri,
        remedy="text must be UTF-8, with a line of column names; ?format=NAME names another format of "
        "astropy.table, such as ascii.latex",
    )


def _gunzip(data: bytes, uri: str) -> bytes:
    """Return the content of a gzipped file, if it is not too large."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        plain = file.read(table.LARGEST_BYTES + 1)
    check_size(len(plain), uri, f"it unpacks to more than {table.LARGEST_BYTES:,} bytes")
    return plain
