"""The tables of a FITS file, binary or ASCII."""

import io
import re
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lensneg.catalogs.frames import Frame, frame_of
from lensneg.catalogs.table import CatalogTable, Column, text_of

#: Bytes of a block of a FITS file. A file may lack the padding behind its last table.
_BLOCK: Final = 2880


def read_fits(data: bytes) -> list[CatalogTable]:
    """Return the tables of a FITS file.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    list of CatalogTable
        In the file's order. Values equal to TNULL, and blank fields of an ASCII table, are null.

    Raises
    ------
    ValueError
        If there is no table, if the file ends within one, if its size is none of a FITS file, or if the
        columns are not as wide as the rows.
    """
    from astropy.io import fits  # takes a third of a second

    hdus = fits.open(
        io.BytesIO(data), lazy_load_hdus=False, character_as_bytes=True, disable_image_compression=True
    )
    tables = [(i, hdu) for i, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    if not tables:
        raise ValueError("it holds no table")
    found = [
        _table(hdu, f"table {i} ({hdu.name})" if len(tables) > 1 else "", data, hdus[0].header)
        for i, hdu in tables
    ]
    if len(data) % _BLOCK and len(data) != max(hdu.fileinfo()["datLoc"] + hdu.size for hdu in hdus):
        what = f"its {len(data):,} bytes are no blocks of {_BLOCK:,}: bytes were lost or added"
        raise ValueError(f"{what}, which shifts the rows behind them")
    return found


def _frame(*headers: Any) -> Frame | None:
    """Return the frame that the first header with one names."""
    for header in headers:
        system = header.get("RADESYS", header.get("RADECSYS", ""))
        equinox = str(header.get("EQUINOX", ""))
        if not equinox and str(header.get("EPOCH", "")).startswith("1950"):  # EPOCH is also used for a date
            equinox = "1950"
        if system or equinox:
            return frame_of(str(system), equinox)
    return None


def _table(hdu: Any, title: str, data: bytes, primary: Any) -> CatalogTable:
    if hdu.fileinfo()["datLoc"] + hdu.size > len(data):
        raise ValueError("the file ends within its table")
    is_ascii = hdu.header["XTENSION"].strip() == "TABLE"
    read = _ascii_values if is_ascii else _binary_values
    described, width = hdu.columns.dtype.itemsize, int(hdu.header["NAXIS1"])
    if not is_ascii and described != width:  # astropy would read shifted rows
        raise ValueError(
            f"its columns take {described:,} bytes of a row (TFORM), and a row has {width:,} (NAXIS1)"
        )
    frame = _frame(hdu.header, primary)
    columns = [
        Column(str(column.name), partial(read, hdu, i), str(column.unit or ""), _holds(column), frame)
        for i, column in enumerate(hdu.columns)
    ]
    return CatalogTable(int(hdu.header["NAXIS2"]), tuple(columns), title)


def _code(column: Any) -> str:
    """Return the letter of a column's TFORM."""
    return str(column.format).lstrip("0123456789")[:1]


def _holds(column: Any) -> str:
    named = {"C": "complex numbers", "M": "complex numbers", "X": "bits", "P": "arrays", "Q": "arrays"}
    return named.get(_code(column), "arrays" if column.dtype is not None and column.dtype.subdtype else "")


def _raw(hdu: Any, index: int) -> Any:
    """Return a column's values as they are stored: not scaled, not decoded."""
    return hdu.data.view(np.ndarray)[hdu.data.dtype.names[index]]


def _binary_values(hdu: Any, index: int) -> pa.Array:
    raw, column = _raw(hdu, index), hdu.columns[index]
    code = _code(column)
    if code == "A":
        return pa.array([text_of(value) for value in raw.tolist()], pa.string())
    if code == "L":
        return pa.array(raw == ord("T"), mask=(raw != ord("T")) & (raw != ord("F")))
    values = np.asarray(hdu.data.field(index))
    is_null = raw == column.null if column.null is not None and raw.dtype.kind in "iu" else None
    return pa.array(values.astype(values.dtype.newbyteorder("=")), mask=is_null)


def _ascii_values(hdu: Any, index: int) -> pa.Array:
    column = hdu.columns[index]
    texts = [text_of(value) for value in _raw(hdu, index).tolist()]
    if _code(column) == "A":
        return pa.array(texts, pa.string())
    null = None if column.null is None else str(column.null).strip()
    missing = np.array([text in ("", null) for text in texts], dtype=bool)
    numbers = [float(re.sub("[dD]", "e", text)) for text in np.where(missing, "0", texts).tolist()]
    scale, zero = column.bscale or 1, column.bzero or 0
    return pa.array(np.array(numbers, dtype=float) * scale + zero, mask=missing)
