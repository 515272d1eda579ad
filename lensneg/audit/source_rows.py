"""Single rows of a sweep file, or of a table in its place, looked up again for a comparison with a manifest.

astropy tells how a row is laid out. The reader of the map (``lensneg.survey``) is not used, so that a fault
of it shows.
"""

import gzip
import io
import zlib
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy.io import fits

from lensneg import storage
from lensneg.audit.table_rows import read_table_rows
from lensneg.schema.check import brief
from lensneg.schema.columns import COLUMNS, READ_BY_NEED
from lensneg.schema.input_name import input_name
from lensneg.survey.names import is_table

#: Both headers of a sweep file are within this many bytes.
_HEADER_BYTES: Final = 256 << 10

#: A gzipped file is read in pieces of so many bytes; from S3 each is a request.
_GZIP_BYTES: Final = 4 << 20

#: The cards that say how a row is laid out.
_LAYOUT_KEYWORDS: Final = ("TFIELDS", "TTYPE", "TFORM", "TNULL")


def unlike_sweep(info: storage.FileInfo, rows: pa.Table, by_need: tuple[str, ...] = ()) -> list[str]:
    """Return how rows of a manifest differ from those of their sweep file at ``row_index``.

    Parameters
    ----------
    info : FileInfo
        The sweep file.
    rows : pyarrow.Table
        Rows of the manifest that name it.
    by_need : tuple of str
        Those of ``READ_BY_NEED`` that the manifest has from it.

    Returns
    -------
    list of str
        One entry a row that differs: its place and the columns.
    """
    index = rows["row_index"].to_pylist()
    try:
        source, nulls = (
            (read_table_rows(info, index, by_need), {}) if is_table(info.uri) else _read_rows(info, index)
        )
    except (OSError, EOFError, ValueError, KeyError, fits.VerifyError, zlib.error) as error:
        return [f"{input_name(info.uri)} row {i:,}: cannot be read ({error})" for i in index]
    compared = [
        (column.name, rows[column.name].to_pylist(), _values(source, column.sweep, nulls))
        for column in COLUMNS
        if column.sweep is not None and (column.sweep not in READ_BY_NEED or column.sweep in by_need)
    ]
    bricks = [targetid >> 22 & 0xFFFFF for targetid in rows["targetid"].to_pylist()]
    compared.append(("targetid", bricks, _values(source, "BRICKID", nulls)))
    differing: list[list[str]] = [[] for _ in index]
    for column_name, written, found in compared:
        for names, one, other in zip(differing, written, found, strict=True):
            if isinstance(other, bytes):
                other = other.decode("ascii", "replace").strip()
                other = other.upper() if column_name == "type" else other
            if one != (None if other != other else other):  # what is NaN in a sweep file is null
                names.append(column_name)
    file_name = input_name(info.uri)
    return [f"{file_name} row {i:,}: {brief(d)}" for i, d in zip(index, differing, strict=True) if d]


def unlike_pz(info: storage.FileInfo | None, rows: pa.Table) -> list[str]:
    """Return how rows of a manifest differ from those of the ``-pz`` file of their sweep file.

    Parameters
    ----------
    info : FileInfo or None
        The ``-pz`` file. None for one that is not at hand, which is passed over.
    rows : pyarrow.Table
        Rows of the manifest that name the sweep file.

    Returns
    -------
    list of str
        One entry a row that differs.
    """
    if info is None:
        return []
    name, index = storage.basename(info.uri), rows["row_index"].to_pylist()
    try:
        source, nulls = _read_rows(info, index)
    except (OSError, EOFError, ValueError, KeyError, fits.VerifyError, zlib.error) as error:
        return [f"{name} row {i:,}: cannot be read ({error})" for i in index]
    ids = zip(*(_values(source, column, nulls) for column in ("RELEASE", "BRICKID", "OBJID")), strict=True)
    written = [(t >> 42, t >> 22 & 0xFFFFF, t & 0x3FFFFF) for t in rows["targetid"].to_pylist()]
    faults = [
        f"{name} row {i:,}: another source"
        for i, one, other in zip(index, written, ids, strict=True)
        if one != other
    ]
    for column in (column for column in COLUMNS if column.pz is not None):
        found = [
            v if v is not None and 0 <= v < np.inf else None for v in _values(source, str(column.pz), nulls)
        ]
        for i, one, other in zip(index, rows[column.name].to_pylist(), found, strict=True):
            if one != other:
                faults.append(f"{name} row {i:,}: {column.name}")
    return faults


def has_photo_z(rows: pa.Table) -> list[str]:
    """Return the columns that hold photometric redshifts, of rows whose run read none."""
    names = [column.name for column in COLUMNS if column.pz is not None]
    return [f"{name}: there was no -pz file" for name in names if rows[name].null_count < len(rows)]


def _values(source: npt.NDArray[np.void], name: str, nulls: dict[str, int]) -> list[Any]:
    """Return the values of a column, None where one is missing."""
    return [None if value == nulls.get(name) else value for value in source[name].tolist()]


def _read_rows(info: storage.FileInfo, index: list[int]) -> tuple[npt.NDArray[np.void], dict[str, int]]:
    """Read single rows of a sweep file with astropy, whatever is around them, and each column's TNULL."""
    with storage.open_file(info.uri, info.size) as stored:
        file: Any = stored
        if info.uri.endswith(".gz"):
            file = gzip.GzipFile(fileobj=io.BufferedReader(file, _GZIP_BYTES))
        head = io.BytesIO(file.read(_HEADER_BYTES))
        try:
            _, header = fits.Header.fromfile(head), fits.Header.fromfile(head)
        except (OSError, EOFError, ValueError) as error:
            raise ValueError("a header has no END card") from error
        n_rows = int(header["NAXIS2"])
        if max(index) >= n_rows or min(index) < 0:
            raise ValueError(f"it has {n_rows:,} rows")
        layout = [str(card) for card in header.cards if card.keyword.startswith(_LAYOUT_KEYWORDS)]
        dtype, nulls = _row_layout("".join(layout))
        rows = np.empty(len(index), dtype)
        for i in np.argsort(index).tolist():  # Only the way forwards is short in a gzipped file.
            file.seek(head.tell() + index[i] * dtype.itemsize)
            row = file.read(dtype.itemsize)
            if len(row) < dtype.itemsize:
                raise ValueError("it ends before that row")
            rows[i] = np.frombuffer(row, dtype)[0]
    return rows, nulls


@lru_cache(maxsize=16)
def _row_layout(layout: str) -> tuple[np.dtype[np.void], dict[str, int]]:
    """Return the dtype of a row and each column's TNULL as astropy reads them; that takes astropy a while."""
    header = fits.Header.fromstring(layout)
    numbers = range(1, header["TFIELDS"] + 1)
    columns = [fits.Column(header[f"TTYPE{i}"].upper(), header[f"TFORM{i}"]) for i in numbers]
    nulls = {header[f"TTYPE{i}"].upper(): header[f"TNULL{i}"] for i in numbers if f"TNULL{i}" in header}
    dtype: np.dtype[np.void] = fits.ColDefs(columns).dtype.newbyteorder(">")
    return dtype, nulls
