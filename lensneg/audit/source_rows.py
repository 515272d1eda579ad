"""Single rows of a sweep file, looked up again: what a manifest's rows are compared with.

astropy tells how a row is laid out; the map's own reader (``sweep.py``) is not used,
so that a fault of it shows.
"""

from __future__ import annotations

import gzip
import io
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from astropy.io import fits

from lensneg import storage
from lensneg.schema.check import brief
from lensneg.schema.columns import COLUMNS

_CARD: Final = 80

_BLOCK: Final = 2880

#: The cards that say how a row is laid out.
_LAYOUT_CARDS: Final = (
    *(b"BITPIX", b"NAXIS", b"PCOUNT", b"GCOUNT", b"TFIELDS"),
    *(b"TTYPE", b"TFORM", b"TSCAL", b"TZERO"),
)

#: What stands for the number of rows where the layout is all that matters.
_ONE_ROW: Final = b"NAXIS2  =                    1".ljust(_CARD)

#: Both headers of a sweep file are within this many bytes.
_HEADER_BYTES: Final = 256 << 10


def unlike_sweep(info: storage.FileInfo, rows: pa.Table) -> list[str]:
    """Return how rows of a manifest differ from those of their sweep file at ``row_index``.

    Parameters
    ----------
    info : FileInfo
        The sweep file.
    rows : pyarrow.Table
        Rows of the manifest that name it.

    Returns
    -------
    list of str
        One entry a row that differs: its place and the columns.
    """
    index = rows["row_index"].to_pylist()
    try:
        source = _read_rows(info, index)
    except (OSError, EOFError, ValueError, KeyError) as error:
        return [f"{storage.basename(info.uri)} row {i:,}: cannot be read ({error})" for i in index]
    differing: list[list[str]] = [[] for _ in index]
    for column in COLUMNS:
        if column.sweep is None:
            continue
        written, found = rows[column.name].to_pylist(), source[column.sweep].tolist()
        for i, (one, other) in enumerate(zip(written, found, strict=True)):
            other = other.decode("ascii", "replace").strip() if isinstance(other, bytes) else other
            if one != other and not (one != one and other != other):  # NaN is found again as NaN
                differing[i].append(column.name)
    for i, (ids, brick) in enumerate(
        zip(rows["targetid"].to_pylist(), source["BRICKID"].tolist(), strict=True)
    ):
        if ids >> 22 & ((1 << 20) - 1) != brick:
            differing[i].append("targetid")
    name = storage.basename(info.uri)
    return [f"{name} row {i:,}: {brief(d)}" for i, d in zip(index, differing, strict=True) if d]


def _read_rows(info: storage.FileInfo, index: list[int]) -> Any:
    """Read single rows of a sweep file with astropy, whatever is around them."""
    compressed = info.uri.endswith(".gz")
    with _Unzipped(info) if compressed else _Ranges(info) as file:
        head = file.read(0, _HEADER_BYTES)
        first = _end_of_header(head, 0)
        start = _end_of_header(head, first)
        cards = [head[i : i + _CARD] for i in range(first, start, _CARD)]
        [n_rows] = [int(card[10:30]) for card in cards if card.startswith(b"NAXIS2 ")]
        layout = [_ONE_ROW if card.startswith(b"NAXIS2 ") else card for card in cards]
        dtype = _row_dtype(b"".join(card for card in layout if card.startswith(_LAYOUT_CARDS)))
        row_bytes = dtype.itemsize
        if max(index) >= n_rows or min(index) < 0:
            raise ValueError(f"it has {n_rows:,} rows")
        order = np.argsort(index, kind="stable")  # a gzipped file can only be read forwards
        rows = [b""] * len(index)
        for i in order.tolist():
            rows[i] = file.read(start + index[i] * row_bytes, row_bytes)
            if len(rows[i]) < row_bytes:
                raise ValueError("it ends before that row")
    return np.frombuffer(b"".join(rows), dtype)


def _end_of_header(data: bytes, start: int) -> int:
    """Return the byte behind a header unit that begins at ``start``."""
    for i in range(start, len(data), _CARD):
        if data[i : i + _CARD].rstrip() == b"END":
            return -(-(i + _CARD) // _BLOCK) * _BLOCK
    raise ValueError("a header has no END card")


@lru_cache(maxsize=16)
def _row_dtype(layout: bytes) -> np.dtype[np.void]:
    """Return the dtype of a row as astropy reads it; kept, as parsing a header takes astropy a while."""
    header = fits.Header.fromstring(b"XTENSION= 'BINTABLE'".ljust(_CARD) + layout + b"END".ljust(_CARD))
    width = header["NAXIS1"]
    text = header.tostring().encode("ascii")
    record = fits.BinTableHDU.fromstring(text + bytes(width) + bytes(-width % _BLOCK)).data.dtype
    names = [name.upper() for name in record.names]
    return np.dtype([(name, record[i]) for i, name in enumerate(names)])


class _Ranges:
    """A file, read by ranges."""

    def __init__(self, info: storage.FileInfo) -> None:
        self._uri = info.uri

    def __enter__(self) -> _Ranges:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, start: int, size: int) -> bytes:
        return storage.read_bytes(self._uri, start, size)


class _Unzipped:
    """A gzipped file's content, read by ascending ranges; what lies between them is not kept."""

    def __init__(self, info: storage.FileInfo) -> None:
        self._stored = storage.open_range(info.uri, 0, info.size)
        self._stream = gzip.GzipFile(fileobj=io.BufferedReader(_Stored(self._stored), 1 << 20))
        self._kept, self._at = b"", 0

    def __enter__(self) -> _Unzipped:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._stored.close()

    def read(self, start: int, size: int) -> bytes:
        while self._at + len(self._kept) < start + size:
            piece = self._stream.read(1 << 20)
            if not piece:
                break
            self._kept += piece
            drop = min(max(0, start - self._at), len(self._kept))
            self._kept, self._at = self._kept[drop:], self._at + drop
        offset = start - self._at
        return self._kept[offset : offset + size]


class _Stored(io.RawIOBase):
    """The standard library's kind of stream over storage's."""

    def __init__(self, inner: storage.Reader) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return self._inner.readinto(memoryview(buffer))
