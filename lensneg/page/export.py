"""Exports of a published manifest for tools that do not read Parquet, and lists of cutouts.

Names, units and descriptions are those of :data:`lensneg.schema.columns.COLUMNS`. A file is made piece by
piece, so memory holds a batch of rows.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from astropy.table import MaskedColumn, Table

from lensneg.page.links import viewer_links
from lensneg.schema.columns import COLUMNS
from lensneg.schema.manifest import ColumnRecord, Manifest, Part
from lensneg.schema.published_files import check_file
from lensneg.schema.tables import read_batches

Format = Literal["fits", "votable", "csv", "ecsv", "cutouts", "hats"]

#: The last column of an export, which no manifest has.
_VIEWER: Final = ColumnRecord(
    name="viewer", type="string", unit="", nullable=False, description="address in the survey's viewer"
)


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
    for column in _columns(rows.schema):
        values, missing = _values(as_plain(rows[column.name]))
        table[column.name] = MaskedColumn(values, mask=missing) if missing.any() else values
        describe(table[column.name], column)
    return table


def describe(filled: Any, column: ColumnRecord) -> None:
    """Give a column of an astropy table its unit and description."""
    filled.description = column.description
    if column.unit:
        filled.unit = column.unit


def _columns(schema: pa.Schema) -> list[ColumnRecord]:
    """Return the manifest's columns, and those of the lenses that the positives have after them."""
    ours = [ColumnRecord.model_validate(column, from_attributes=True) for column in COLUMNS]
    return ours + [ColumnRecord.of_field(field) for field in list(schema)[len(ours) :]]


def as_plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece, with a time as ISO 8601 text."""
    array = column.combine_chunks()
    if pa.types.is_timestamp(array.type):
        return pc.strftime(array.cast(pa.timestamp("s", tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    return array


def _values(array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return a column's values with a placeholder for nulls, and where the nulls are."""
    missing = np.asarray(array.is_null())
    if pa.types.is_string(array.type):
        return np.array(array.fill_null("").to_pylist(), dtype=np.dtype(str)), missing
    if pa.types.is_boolean(array.type):
        return array.fill_null(False).to_numpy(zero_copy_only=False), missing
    fill = np.nan if pa.types.is_floating(array.type) else 0
    return array.fill_null(fill).to_numpy(zero_copy_only=False), missing


class ExportedRows(NamedTuple):
    """The rows of a part, for a writer of some format.

    Attributes
    ----------
    part : str
        ``negatives`` or ``positives``.
    rows : int
        Their number.
    columns : list of ColumnRecord
        Those of the manifest, and the link to the viewer.
    meta : dict of str to str
        What identifies the rows.
    uris : list of str
        The files.
    """

    part: Part
    rows: int
    columns: list[ColumnRecord]
    meta: dict[str, str]
    uris: list[str]

    @classmethod
    def of(cls, manifest: Manifest, part: Part) -> "ExportedRows":
        """Take a part of a manifest.

        Raises
        ------
        InputError
            If a file of the manifest is missing, or has other bytes than were published.
        """
        meta = {"RUN_ID": manifest.run_id, "CONTENT": manifest.record.part(part).content_sha256}
        columns = [*_columns(manifest.schema(part)), _VIEWER]
        uris = manifest.files(part)
        for uri, file in zip(uris, manifest.record.part(part).files, strict=True):
            check_file(uri, file.sha256)
        return cls(part, getattr(manifest.counts, part), columns, meta, uris)

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows, with times as text and with the links."""
        names = [column.name for column in self.columns[:-1]]
        for uri in self.uris:
            for rows in read_batches(uri, names):
                plain = {name: as_plain(rows[name]) for name in names}
                yield pa.table({**plain, _VIEWER.name: viewer_links(rows)})

    def widths(self) -> dict[str, int]:
        """Return the bytes of the longest text of each column of text. The rows are read for it."""
        found: dict[str, int] = {}
        for rows in self.batches():
            for name in rows.column_names:
                if pa.types.is_string(rows[name].type):
                    longest = pc.max(pc.binary_length(rows[name])).as_py() or 0
                    found[name] = max(found.get(name, 1), longest)
        return found


class ExportedFile(NamedTuple):
    """A file to write: its name, and its content piece by piece."""

    name: str
    chunks: Iterator[bytes]


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
    from lensneg.page import binary_export, hats_export, text_export
    from lensneg.page.cutouts import cutouts

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
