"""A sweep file's headers: where its rows begin, and how a row is laid out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from astropy.io import fits

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SWEEP_COLUMNS, SWEEP_EXTNAME, tform_dtype
from lensneg.survey.names import Cell, sweep_cell

#: FITS files come in blocks of this many bytes (FITS standard 4.0, section 3.1).
FITS_BLOCK: Final = 2880

FITS_CARD: Final = 80

#: A sweep header has about 17 blocks. One that is longer than this is not a sweep's.
_MAX_HEADER_BLOCKS: Final = 40

#: A row of DR10 has 505 bytes. One that is longer than this would only fill the memory.
_MAX_ROW_BYTES: Final = 16 << 10


@dataclass(frozen=True)
class SweepFile:
    """A sweep file's place and layout.

    Attributes
    ----------
    uri : str
    dtype : numpy.dtype
        One row, with upper-case names.
    n_rows : int
    data_start : int
        Byte at which the first row starts (in the uncompressed file).
    """

    uri: str
    dtype: np.dtype[np.void]
    n_rows: int
    data_start: int

    @property
    def name(self) -> str:
        """The file's name."""
        return storage.basename(self.uri)

    @cached_property
    def cell(self) -> Cell:
        """The part of the sky that the file's name stands for."""
        cell = sweep_cell(self.name)
        if cell is None:
            raise SweepError("the name is not one of a sweep file", where=self.uri)
        return cell

    @property
    def is_compressed(self) -> bool:
        """Whether the file is gzipped, and so can only be read from its start."""
        return self.uri.endswith(".gz")


def fill(stream: storage.Reader, buffer: memoryview) -> int:
    """Read until the buffer is full or the stream ends; return the bytes read."""
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def read_header(stream: storage.Reader, uri: str, hdu: int) -> list[bytes]:
    """Read one header unit; return its cards, padding included."""
    text = bytearray()
    block = memoryview(bytearray(FITS_BLOCK))
    for _ in range(_MAX_HEADER_BLOCKS):
        if fill(stream, block) < FITS_BLOCK:
            raise SweepError(
                f"the file ends within the header of HDU {hdu}: it is truncated, or not a FITS file",
                where=uri,
                remedy="fetch it again",
            )
        if not text and not bytes(block).startswith((b"SIMPLE  =", b"XTENSION=")):
            raise SweepError(
                f"HDU {hdu} does not start with a FITS header: this is not a sweep file",
                where=uri,
                remedy="remove it from the folder, or fetch it again",
            )
        text += block
        if b"END" in (bytes(block[i : i + FITS_CARD]).rstrip() for i in range(0, FITS_BLOCK, FITS_CARD)):
            return [bytes(text[i : i + FITS_CARD]) for i in range(0, len(text), FITS_CARD)]
    raise SweepError(f"the header of HDU {hdu} has no END card", where=uri, remedy="fetch the file again")


def _parse_cards(cards: Iterable[bytes]) -> fits.Header:
    try:
        return fits.Header.fromstring(b"".join(cards).decode("ascii"))
    except Exception as error:  # astropy raises many kinds on a damaged header
        raise ValueError(f"a header is damaged ({error}); fetch the file again") from error


def _value(header: fits.Header, key: str, default: Any = None) -> Any:
    try:
        return header.get(key, default)
    except Exception as error:  # a damaged card raises only when it is read
        raise ValueError(f"the header's {key} is not readable; fetch the file again") from error


def _integer(header: fits.Header, key: str, low: int = 0) -> int:
    value = _value(header, key)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{key} is {value!r}; expected a whole number from {low} on")
    return value


#: The cards of a table's header that say how a row is laid out.
_LAYOUT_CARDS: Final = (b"TFIELDS", b"TTYPE", b"TFORM", b"TSCAL", b"TZERO")


@lru_cache(maxsize=16)
def _row_dtype(cards: bytes) -> np.dtype[np.void]:
    """Return the dtype of a row, checked against the data model.

    Kept by the cards' text: a run's files have the same ones, and parsing them takes as long as reading
    a hundred thousand rows.
    """
    header = _parse_cards([cards])
    names, formats = [], []
    for i in range(1, _integer(header, "TFIELDS", 1) + 1):
        name, tform = _value(header, f"TTYPE{i}"), _value(header, f"TFORM{i}")
        if not isinstance(name, str) or not isinstance(tform, str):
            raise ValueError(f"column {i} has no TTYPE{i} or no TFORM{i}")
        try:
            formats.append(tform_dtype(tform))
        except (ValueError, TypeError, MemoryError) as error:  # the latter for a repeat count of any size
            raise ValueError(f"column {i} ({name}): {error}") from error
        if sum(form.itemsize for form in formats) > _MAX_ROW_BYTES:
            raise ValueError(
                f"column {i} ({name}): TFORM {tform!r} makes a row of more than {_MAX_ROW_BYTES:,} bytes; "
                "fetch the file again"
            )
        names.append(name.strip().upper())
        scale, zero = _value(header, f"TSCAL{i}", 1), _value(header, f"TZERO{i}", 0)
        if names[-1] in NEEDED_COLUMNS and (scale, zero) != (1, 0):
            raise ValueError(
                f"column {i} ({name}) is stored scaled (TSCAL{i} {scale}, TZERO{i} {zero}); "
                "expected plain values, as in the survey's own file: fetch that"
            )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"columns named twice: {', '.join(doubled)}")
    missing = [name for name in NEEDED_COLUMNS if name not in names]
    if missing:
        older = " It is laid out as in DR8 or before." if "SHAPEDEV_R" in names else ""
        raise ValueError(
            f"{len(missing)} of the {len(NEEDED_COLUMNS)} columns that are needed are missing: "
            f"{', '.join(missing)}.{older} lensneg reads DR10 sweep files; fetch them from the "
            "survey's south/sweep/10.1 folder"
        )
    dtype = np.dtype(list(zip(names, formats, strict=True)))
    model = {column.name: tform_dtype(column.tform) for column in SWEEP_COLUMNS}
    for name in NEEDED_COLUMNS:
        found, expected = dtype[name], model[name]
        # Releases differ in the width of integers and of padded text, never in their kind.
        wide_enough = expected.kind in "iS" or found.itemsize == expected.itemsize
        if found.kind != expected.kind or found.shape or not wide_enough:
            raise ValueError(f"column {name} is of type {found}; expected {expected}")
    return dtype


def read_layout(stream: storage.Reader, uri: str) -> SweepFile:
    """Read both headers of a sweep file from the start of its bytes."""
    primary = read_header(stream, uri, 0)
    try:
        if _value(_parse_cards(primary), "NAXIS", 0) != 0:
            raise ValueError("the primary HDU holds data; a sweep file's is empty")
        cards = read_header(stream, uri, 1)
        dtype, n_rows = _table_layout(cards)
    except ValueError as error:
        remedy = "" if "fetch" in str(error) else "; fetch the file again"
        raise SweepError(f"{error}{remedy}", where=uri) from error
    return SweepFile(uri, dtype, n_rows, (len(primary) + len(cards)) * FITS_CARD)


def _table_layout(cards: list[bytes]) -> tuple[np.dtype[np.void], int]:
    """Return the dtype of a row and the number of rows of a table."""
    layout = [card for card in cards if card.startswith(_LAYOUT_CARDS)]
    header = _parse_cards(card for card in cards if not card.startswith(_LAYOUT_CARDS))
    kind = _value(header, "XTENSION")
    extname = str(_value(header, "EXTNAME", SWEEP_EXTNAME)).strip().upper()
    if kind != "BINTABLE" or _value(header, "ZTABLE") or extname != SWEEP_EXTNAME:
        raise ValueError(
            f"HDU 1 is {kind!r} named {extname!r}; expected a plain BINTABLE named {SWEEP_EXTNAME!r}"
        )
    dtype = _row_dtype(b"".join(layout))
    row_bytes = _integer(header, "NAXIS1", 1)
    if row_bytes != dtype.itemsize:
        raise ValueError(
            f"NAXIS1 says {row_bytes} bytes a row, its columns add up to {dtype.itemsize}; "
            "fetch the file again"
        )
    return dtype, _integer(header, "NAXIS2")
