"""Lens catalogues: CSV, TSV, FITS or Parquet files of known lenses and candidates."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tempfile
import zlib
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import fitsio
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from lensneg import storage
from lensneg.errors import CatalogError, InputError

#: Names under which catalogues carry right ascension, declination and a name, without case. The first
#: that is there is taken; a catalogue that has none needs a mapping.
COLUMN_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "ra": ("ra", "ra [deg]", "target_ra", "ra_deg", "raj2000", "ra_j2000", "_raj2000"),
    "dec": ("dec", "dec [deg]", "target_dec", "dec_deg", "dej2000", "dec_j2000", "_dej2000"),
    "name": ("name", "id", "targetid", "object", "lens_name"),
}

#: A catalogue is read whole. All lenses known in 2025 are a few megabytes.
_LARGEST_BYTES: Final = 256 << 20
_TOO_LARGE: Final = "a lens catalogue is much smaller: keep its positions and names only"

#: What stands for a missing value in text catalogues.
_MISSING: Final = frozenset({"", "-", "--", "nan", "null", "none", "n/a"})


class CatalogSpec(BaseModel):
    """A catalogue as the user names it: a file, and where its columns are not the usual ones, which.

    ``where`` keeps only the rows whose column holds one of the given values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    ra: str | None = None
    dec: str | None = None
    name: str | None = None
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CatalogSpec:
        """Read ``FILE`` or ``FILE?ra=COLUMN&dec=COLUMN&name=COLUMN&where.COLUMN=VALUE,VALUE``.

        Examples
        --------
        >>> CatalogSpec.parse("/data/c.csv?ra=ALPHA&where.grading=confident").where
        {'grading': ('confident',)}
        """
        uri, _, query = text.partition("?")
        columns: dict[str, str] = {}
        where: dict[str, tuple[str, ...]] = {}
        for key, value in parse_qsl(query, keep_blank_values=True):
            if key.startswith("where."):
                where[key.removeprefix("where.")] = tuple(value.split(","))
            elif key in COLUMN_ALIASES and value:
                columns[key] = value
            else:
                raise InputError(
                    f"{text!r}: {key!r} is not an option of a catalogue; expected ra=, dec=, name= "
                    "with a column's name, or where.COLUMN=VALUE,VALUE"
                )
        return cls(uri=storage.normalize(uri), where=where, **columns)


@dataclass(frozen=True)
class Catalog:
    """A catalogue's positions.

    Attributes
    ----------
    spec : CatalogSpec
    rows : int
        Rows of the file.
    selected : int
        Rows that ``spec.where`` keeps.
    without_position : int
        Of these, rows that have no coordinates.
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    names : list of str, length n
    sha256 : str
        Of the file's bytes, as they were read.
    """

    spec: CatalogSpec
    rows: int
    selected: int
    without_position: int
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    names: list[str] = field(repr=False)
    sha256: str = ""


def read_catalog(spec: CatalogSpec) -> Catalog:
    """Read a catalogue.

    Parameters
    ----------
    spec : CatalogSpec

    Returns
    -------
    Catalog

    Raises
    ------
    CatalogError
        If the file is missing, unreadable or empty, if a column is missing, or if a coordinate is not
        a number or out of range. The message names the file, the row and the remedy.
    """
    data = _read(spec.uri)
    table = _parse(data, spec.uri)
    ra_column = _find_column(table, spec, "ra")
    dec_column = _find_column(table, spec, "dec")
    name_column = _find_column(table, spec, "name")
    assert ra_column is not None
    assert dec_column is not None
    keep = np.ones(len(table), dtype=bool)
    for column, values in spec.where.items():
        keep &= np.asarray(pc.is_in(_texts(table, column, spec), pa.array(values, pa.string())))
    if not keep.any():
        reason = f"none of its {len(table):,} rows is selected" if spec.where else "it has no rows"
        raise CatalogError(f"{spec.uri}: {reason}; check the file and its where.COLUMN=VALUE")
    row = np.flatnonzero(keep)
    ra = _coordinates(table, ra_column, row, 0.0, 360.0, spec)
    dec = _coordinates(table, dec_column, row, -90.0, 90.0, spec)
    placed = np.isfinite(ra) & np.isfinite(dec)
    chosen = pa.array(row[placed])
    names = _texts(table, name_column, spec).take(chosen).to_pylist() if name_column else []
    return Catalog(
        spec=spec,
        rows=len(table),
        selected=len(row),
        without_position=int((~placed).sum()),
        ra=np.where(ra[placed] == 360.0, 0.0, ra[placed]),
        dec=dec[placed],
        names=names or [f"{storage.basename(spec.uri)}:{i}" for i in row[placed].tolist()],
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _read(uri: str) -> bytes:
    try:
        size = storage.stat(uri).size
        if size > _LARGEST_BYTES:
            raise CatalogError(f"{uri}: {size:,} bytes; {_TOO_LARGE}")
        return storage.read_bytes(uri)
    except FileNotFoundError as error:
        raise CatalogError(
            f"{uri}: no such file; check the path, or put it there (lensneg aws upload)"
        ) from error
    except IsADirectoryError as error:
        raise CatalogError(f"{uri}: this is a folder; name a catalogue file in it") from error


def _parse(data: bytes, uri: str) -> pa.Table:
    suffix = uri.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if data.startswith(b"\x1f\x8b"):
            data = _gunzip(data)
        if data.startswith(b"SIMPLE  =") or suffix in ("fits", "fit"):
            return _read_fits(data)
        if data.startswith(b"PAR1"):
            return pq.read_table(pa.BufferReader(data))
        return _read_text(data)
    except (pa.ArrowException, OSError, ValueError, EOFError, zlib.error) as error:
        raise CatalogError(
            f"{uri}: cannot be read as CSV, TSV, FITS or Parquet: {error}; text must be UTF-8, with a "
            "line of column names"
        ) from error


def _gunzip(data: bytes) -> bytes:
    """Return what a gzipped file holds, if it is not far more than it seems."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        plain = file.read(_LARGEST_BYTES + 1)
    if len(plain) > _LARGEST_BYTES:
        raise ValueError(f"it unpacks to more than {_LARGEST_BYTES:,} bytes; {_TOO_LARGE}")
    return plain


def _read_text(data: bytes) -> pa.Table:
    """Read CSV or TSV with every value as text, so that each number is checked by us."""
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
    """Read the first table of a FITS file; cfitsio reads files, so the bytes go through one."""
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


def _find_column(table: pa.Table, spec: CatalogSpec, role: str) -> str | None:
    given = getattr(spec, role)
    wanted = (given,) if given else COLUMN_ALIASES[role]
    by_name: dict[str, str] = {name.strip().lower(): name for name in reversed(table.column_names)}
    for name in wanted:
        found = by_name.get(name.strip().lower())
        if found is not None:
            _check_single(table, found, spec)
            return found
    if role == "name" and not given:
        return None
    raise CatalogError(
        f"{spec.uri}: no column {' or '.join(repr(name) for name in wanted)} among "
        f"{', '.join(table.column_names)}; name it: '{spec.uri}?{role}=COLUMN'"
    )


def _check_single(table: pa.Table, column: str, spec: CatalogSpec) -> None:
    if table.column_names.count(column) > 1:
        raise CatalogError(f"{spec.uri}: there are two columns {column!r}; rename one of them")


def _texts(table: pa.Table, column: str, spec: CatalogSpec) -> pa.ChunkedArray:
    if column not in table.column_names:
        raise CatalogError(
            f"{spec.uri}: no column {column!r} to select by; it has {', '.join(table.column_names)}"
        )
    _check_single(table, column, spec)
    return pc.utf8_trim_whitespace(pc.fill_null(table[column].cast(pa.string()), ""))


def _coordinates(
    table: pa.Table,
    column: str,
    row: npt.NDArray[np.int64],
    low: float,
    high: float,
    spec: CatalogSpec,
) -> npt.NDArray[np.float64]:
    """Return a coordinate of some rows; NaN where it is missing."""
    chosen = table[column].take(pa.array(row))
    if pa.types.is_string(chosen.type) or pa.types.is_large_string(chosen.type):
        text = pc.utf8_trim_whitespace(chosen)
        missing = pc.is_in(pc.utf8_lower(text), pa.array(sorted(_MISSING), text.type))
        chosen = pc.if_else(missing, None, text)
    try:
        numbers = np.asarray(pc.fill_null(chosen.cast(pa.float64()), np.nan))
    except pa.ArrowException:
        # Arrow does not say which row it is, and is stricter than we are about signs.
        numbers = np.array(
            [_number(v, i, column, spec) for i, v in zip(row, chosen.to_pylist(), strict=True)]
        )
    outside = np.isfinite(numbers) & ~((numbers >= low) & (numbers <= high))
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise CatalogError(
            f"{spec.uri}: row {row[i] + 1}: {column} is {numbers[i]}; expected degrees from {low:g} "
            f"to {high:g}; are the columns swapped, or named wrongly?"
        )
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _number(value: Any, row: int, column: str, spec: CatalogSpec) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise CatalogError(
            f"{spec.uri}: row {row + 1}: {column} is {value!r}; expected degrees as a decimal number"
        ) from error
