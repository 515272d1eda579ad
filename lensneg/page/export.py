"""Exports of a published manifest for tools that do not read Parquet, and lists of cutouts.

Names, units and descriptions are those of :data:`lensneg.schema.columns.COLUMNS`. A file is made piece by
piece, so memory holds a batch of rows.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy.table import MaskedColumn, Table

from lensneg.page import binary_export, hats_export, text_export
from lensneg.page.cutouts import cutouts
from lensneg.page.exported_rows import ExportedFile, ExportedRows, as_plain, columns_of, describe
from lensneg.schema.manifest import Manifest, Part

Format = Literal["fits", "votable", "csv", "ecsv", "cutouts", "hats"]


def astropy_table(rows: pa.Table, meta: dict[str, Any] | None = None) -> Table:
    """Return rows of a manifest as an astropy table.

    Parameters
    ----------
    rows : pyarrow.Table
        With the manifest's columns.
    meta : dict, optional
        The table's metadata.

    Returns
    -------
    astropy.table.Table
        Every column has its unit and description. Nulls are masked. A time is ISO 8601 text.
    """
    table = Table(meta=meta or {})
    for column in columns_of(rows.schema):
        values, missing = _values(as_plain(rows[column.name]))
        table[column.name] = MaskedColumn(values, mask=missing) if missing.any() else values
        describe(table[column.name], column)
    return table


def _values(array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return a column's values with a placeholder for nulls, and where the nulls are."""
    missing = np.asarray(array.is_null())
    if pa.types.is_string(array.type):
        return np.array(array.fill_null("").to_pylist(), dtype=np.dtype(str)), missing
    if pa.types.is_boolean(array.type):
        return array.fill_null(False).to_numpy(zero_copy_only=False), missing
    fill = np.nan if pa.types.is_floating(array.type) else 0
    return array.fill_null(fill).to_numpy(zero_copy_only=False), missing


def export_part(manifest: Manifest, part: Part, to: Format, size: int, bands: str) -> Iterator[ExportedFile]:
    """Yield a part of a manifest in another format.

    Parameters
    ----------
    manifest : Manifest
        The manifest.
    part : str
        ``negatives`` or ``positives``.
    to : str
        The format.
    size : int
        Pixels to a side of a cutout.
    bands : str
        Bands of a cutout, such as ``grz``.

    Yields
    ------
    ExportedFile
        Files of the format. A CSV file holds no metadata, so a second file describes its columns.

    Raises
    ------
    InputError
        If a file of the manifest is missing, or has other bytes than were published.
    """
    rows = ExportedRows.of(manifest, part)
    match to:
        case "fits":
            yield ExportedFile(f"{part}.fits", binary_export.fits_chunks(rows))
        case "votable":
            yield ExportedFile(f"{part}.vot", binary_export.votable_chunks(rows))
        case "csv":
            yield ExportedFile(f"{part}.csv", text_export.csv_chunks(rows.batches()))
            yield ExportedFile(f"{part}-columns.csv", text_export.columns_chunks(rows))
        case "ecsv":
            yield ExportedFile(f"{part}.ecsv", text_export.ecsv_chunks(rows))
        case "cutouts":
            lists = (cutouts(batch, size, bands) for batch in rows.batches())
            yield ExportedFile(f"{part}-cutouts.csv", text_export.csv_chunks(lists))
        case "hats":
            yield from hats_export.hats_files(rows)
