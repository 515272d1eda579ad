"""The rows of a part of a manifest, as all writers of other formats take them."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lensneg.page.links import viewer_links
from lensneg.schema.columns import COLUMNS
from lensneg.schema.manifest import ColumnRecord, Manifest, Part
from lensneg.schema.published_files import check_file
from lensneg.schema.tables import read_batches

#: The last column of an export, which no manifest has.
_VIEWER: Final = ColumnRecord(
    name="viewer", type="string", unit="", nullable=False, description="address in the survey's viewer"
)


def describe(filled: Any, column: ColumnRecord) -> None:
    """Give a column of an astropy table its unit and description."""
    filled.description = column.description
    if column.unit:
        filled.unit = column.unit


def columns_of(schema: pa.Schema) -> list[ColumnRecord]:
    """Return the manifest's columns, and those of the lenses that the positives have after them."""
    ours = [ColumnRecord.model_validate(column, from_attributes=True) for column in COLUMNS]
    return ours + [ColumnRecord.of_field(field) for field in list(schema)[len(ours) :]]


def as_plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece, with a time as ISO 8601 text."""
    array = column.combine_chunks()
    if pa.types.is_timestamp(array.type):
        return pc.strftime(array.cast(pa.timestamp("s", tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
    return array


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
        columns = [*columns_of(manifest.schema(part)), _VIEWER]
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
