"""Exports of a published manifest as FITS, VOTable, CSV or ECSV, for tools that do not read Parquet.

Names, units and descriptions are those of :data:`lensneg.schema.columns.COLUMNS`.
"""

import io
import warnings
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits, votable
from astropy.table import MaskedColumn, Table
from astropy.units import UnitsWarning, UnrecognizedUnit

from lensneg.schema.columns import COLUMNS
from lensneg.schema.manifest import ColumnRecord, Manifest, Part

Format = Literal["fits", "votable", "csv", "ecsv"]

#: The suffix of a file of each format.
SUFFIXES: Final[dict[Format, str]] = {"fits": "fits", "votable": "vot", "csv": "csv", "ecsv": "ecsv"}


def astropy_table(rows: pa.Table, meta: dict[str, Any] | None = None, *, text: Any = str) -> Table:
    """Return rows of a manifest as an astropy table.

    Parameters
    ----------
    rows : pyarrow.Table
        With the manifest's columns.
    meta : dict, optional
        The table's metadata.
    text : type
        ``str``, or ``bytes`` for formats that hold ASCII.

    Returns
    -------
    astropy.table.Table
        Every column has its unit and description. Nulls are masked. A time is ISO 8601 text.
    """
    table = Table(meta=meta or {})
    for column in _columns(rows):
        values, missing = _values(rows[column.name], text)
        table[column.name] = MaskedColumn(values, mask=missing) if missing.any() else values
        table[column.name].description = column.description
        if column.unit:
            table[column.name].unit = column.unit
    return table


def _columns(rows: pa.Table) -> list[ColumnRecord]:
    """Return the manifest's columns, and those of the lenses that the positives have after them."""
    ours = [ColumnRecord.model_validate(column, from_attributes=True) for column in COLUMNS]
    return ours + [ColumnRecord.of_field(field) for field in list(rows.schema)[len(ours) :]]


def _values(column: pa.ChunkedArray, text: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return a column's values with a placeholder for nulls, and where the nulls are."""
    array = column.combine_chunks()
    missing = np.asarray(array.is_null())
    if pa.types.is_timestamp(array.type):
        array = pc.strftime(array.cast(pa.timestamp("s", tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_string(array.type):
        return np.array(array.fill_null("").to_pylist(), dtype=np.dtype(text)), missing
    fill = np.nan if pa.types.is_floating(array.type) else False if pa.types.is_boolean(array.type) else 0
    return array.fill_null(fill).to_numpy(zero_copy_only=False), missing


def export_part(manifest: Manifest, part: Part, to: Format) -> dict[str, bytes]:
    """Return a part of a manifest in another format.

    Parameters
    ----------
    manifest : Manifest
        The manifest.
    part : str
        ``negatives`` or ``positives``.
    to : str
        ``fits``, ``votable``, ``csv`` or ``ecsv``.

    Returns
    -------
    dict of str to bytes
        The content of each file by its name. A CSV file holds no metadata, so a second file describes its
        columns.

    Raises
    ------
    InputError
        If a file of the manifest is missing, or has other bytes than were published.
    """
    rows = manifest.table(part)
    meta = {"RUN_ID": manifest.run_id, "CONTENT": manifest.record.part(part).content_sha256}
    name = f"{part}.{SUFFIXES[to]}"
    if to == "fits":
        return {name: _fits(astropy_table(rows, text=bytes), _columns(rows), meta, part)}
    if to == "votable":
        return {name: _votable(astropy_table(rows, text=bytes), _columns(rows), meta, part)}
    if to == "ecsv":
        return {name: _text(astropy_table(rows, meta), "ascii.ecsv", delimiter=",")}
    plain = _text(astropy_table(rows), "ascii.csv")
    columns = Table(
        rows=[(c.name, c.type, c.unit, c.description) for c in _columns(rows)],
        names=("name", "type", "unit", "description"),
    )
    return {name: plain, f"{part}-columns.csv": _text(columns, "ascii.csv")}


def _text(table: Table, form: str, **options: Any) -> bytes:
    sink = io.StringIO()
    table.write(sink, format=form, **options)
    return sink.getvalue().encode()


def _fits(table: Table, columns: list[ColumnRecord], meta: dict[str, str], part: str) -> bytes:
    for name in table.colnames:  # astropy drops units that are not of the FITS standard
        table[name].unit = None
    hdu = fits.table_to_hdu(table)
    for number, column in enumerate(columns, start=1):
        if column.unit:
            hdu.header.set(f"TUNIT{number}", column.unit, after=f"TFORM{number}")
        hdu.header.set(f"TCOMM{number}", column.description, after=f"TFORM{number}")
    hdu.header["EXTNAME"] = part.upper()
    hdu.header.update(meta)
    sink = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(sink)
    return sink.getvalue()


def _votable(table: Table, columns: list[ColumnRecord], meta: dict[str, str], part: str) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # The survey's units are not of the VOUnit standard. Tools show them as they are.
        warnings.simplefilter("ignore", UnitsWarning)
        warnings.simplefilter("ignore", votable.exceptions.W50)
        document = votable.from_table(table, table_id=part)
        document.description = "; ".join(f"{key} {value}" for key, value in meta.items())
        for field, column in zip(document.get_first_table().fields, columns, strict=True):
            if column.unit:
                field.unit = UnrecognizedUnit(column.unit)
        document.to_xml(sink, tabledata_format="binary2")
    return sink.getvalue()
