"""The headers of a sweep file: where its rows begin, and how a row is laid out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import BRICK_PRIMARY, NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SWEEP_EXTNAME, sweep_dtype, tform_dtype
from lensneg.survey.names import Cell
from lensneg.survey.pixels import Area, area_of
from lensneg.survey.uncompressed import read_up_to

#: Bytes of a block of a FITS file (FITS standard 4.0, section 3.1).
FITS_BLOCK: Final = 2880

#: What is said of a file of stacked bricks.
STACKED: Final = f"it has a column {BRICK_PRIMARY}, as stacked bricks have: only primary sources are taken"

#: Bytes of a card, one line of a header.
_CARD: Final = 80

#: The header of a sweep file has about 17 blocks. A longer one than this is refused.
_MAX_HEADER_BLOCKS: Final = 40

#: A row of DR10 has 505 bytes. A longer one than this is refused, as it could fill the memory.
_MAX_ROW_BYTES: Final = 16 << 10

#: The cards of a table's header that describe the layout of a row.
_LAYOUT_CARDS: Final = (b"TFIELDS", b"TTYPE", b"TFORM", b"TSCAL", b"TZERO", b"TNULL")


@dataclass(frozen=True)
class SweepFile:
    """A sweep file's place and layout.

    Attributes
    ----------
    uri : str
        The file.
    size : int
        Bytes of the stored file.
    dtype : numpy.dtype
        One row, with upper-case names.
    n_rows : int
        Number of rows.
    data_start : int
        Byte at which the first row starts, in the uncompressed file.
    release : int
        RELEASE of the first row; 0 in a file without rows.
    nulls : mapping of str to int
        TNULL by name of the column: the value that stands for a missing one, of the needed columns of
        integers that have one.
    oddities : tuple of str
        How the file differs from the survey's own or breaks the FITS standard, without harm to its rows.
    box : Cell, optional
        That of the positions of a table; see :mod:`lensneg.survey.table_rows`.
    footer : lensneg.survey.parquet_footer.Footer, optional
        That of a Parquet file.
    """

    uri: str
    size: int
    dtype: np.dtype[np.void]
    n_rows: int
    data_start: int
    release: int = 0
    nulls: Mapping[str, int] = field(default_factory=dict)
    oddities: tuple[str, ...] = ()
    box: Cell | None = None
    footer: Any = field(default=None, compare=False)

    @property
    def cell(self) -> Area:
        """The area of the sky that the file covers."""
        return area_of(self.uri, self.box)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize

    @property
    def data_stop(self) -> int:
        """Byte behind the last row, in the uncompressed file."""
        return self.data_start + self.n_rows * self.row_bytes

    @property
    def padding(self) -> int:
        """Bytes from the last row to the end of its block."""
        return -self.data_stop % FITS_BLOCK


def read_layout(
    stream: storage.Reader,
    info: storage.FileInfo,
    needed: tuple[str, ...] = NEEDED_COLUMNS,
    model: np.dtype[np.void] | None = None,
) -> SweepFile:
    """Read both headers of a sweep file.

    Parameters
    ----------
    stream : Reader
        The uncompressed file, at its start.
    info : FileInfo
        The stored file.
    needed : tuple of str
        The columns that the table must have.
    model : numpy.dtype, optional
        Their types. Those of a sweep file by default. Another table may have any EXTNAME.

    Returns
    -------
    SweepFile
        The layout, with RELEASE not yet read.

    Raises
    ------
    SweepError
        If the headers are not those of a sweep file, are damaged, or lack a needed column.
    """
    try:
        primary = _read_header(stream, 0)
        if _value(_parse(primary), "NAXIS", 0) != 0:
            raise _refusal("the primary HDU holds data; a sweep file's is empty")
        cards = _read_header(stream, 1)
        dtype, nulls, n_rows = _table_layout(cards, needed, model)
    except SweepError as error:
        error.where = info.uri
        raise
    data_start = (len(primary) + len(cards)) * _CARD
    is_ascii = b"".join(primary + cards).isascii()
    odd = [] if is_ascii else ["a header has characters that are not ASCII"]
    odd += [STACKED] * (BRICK_PRIMARY in (dtype.names or ()))
    return SweepFile(info.uri, info.size, dtype, n_rows, data_start, nulls=nulls, oddities=tuple(odd))


def _refusal(what: str, remedy: str = "fetch the file again") -> SweepError:
    return SweepError(what, remedy=remedy)


def _read_header(stream: storage.Reader, hdu: int) -> list[bytes]:
    """Read one header unit; return its cards, padding included."""
    cards: list[bytes] = []
    for _ in range(_MAX_HEADER_BLOCKS):
        block = read_up_to(FITS_BLOCK, stream)
        if len(block) < FITS_BLOCK:
            what = f"the file ends within the header of HDU {hdu}: it is truncated, or not a FITS file"
            raise _refusal(what, "fetch it again")
        if not cards and not block.startswith((b"SIMPLE  =", b"XTENSION=")):
            what = f"HDU {hdu} does not start with a FITS header: this is not a sweep file"
            raise _refusal(what, "remove it from the folder, or fetch it again")
        in_block = [block[i : i + _CARD] for i in range(0, FITS_BLOCK, _CARD)]
        cards += in_block
        if b"END" in map(bytes.rstrip, in_block):
            return cards
    raise _refusal(f"the header of HDU {hdu} has no END card")


def _parse(cards: Iterable[bytes]) -> Any:
    """Return astropy's Header of some cards."""
    from astropy.io import fits  # takes a third of a second

    try:
        # As astropy decodes them: other bytes than ASCII, in a comment for example, break the standard only.
        return fits.Header.fromstring(b"".join(cards).decode("latin-1"))
    except Exception as error:  # astropy raises many kinds on a damaged header
        raise _refusal(f"a header is damaged ({error})") from error


def _value(header: Any, key: str, default: Any = None) -> Any:
    try:
        return header.get(key, default)
    except Exception as error:  # a damaged card raises only when it is read
        raise _refusal(f"the header's {key} is not readable") from error


def _integer(header: Any, key: str, low: int | None = 0) -> int:
    value = _value(header, key)
    if not isinstance(value, int) or isinstance(value, bool) or (low is not None and value < low):
        lowest = "" if low is None else f" from {low} on"
        raise _refusal(f"{key} is {value!r}; expected a whole number{lowest}")
    return value


def _table_layout(
    cards: list[bytes], needed: tuple[str, ...], model: np.dtype[np.void] | None
) -> tuple[np.dtype[np.void], dict[str, int], int]:
    """Return the dtype of a row, the TNULL of needed columns, and the number of rows of a table."""
    header = _parse(card for card in cards if not card.startswith(_LAYOUT_CARDS))
    kind = _value(header, "XTENSION")
    extname = str(_value(header, "EXTNAME", SWEEP_EXTNAME)).strip().upper()
    if kind != "BINTABLE" or _value(header, "ZTABLE") or (model is None and extname != SWEEP_EXTNAME):
        expected = f"a plain BINTABLE named {SWEEP_EXTNAME!r}"
        raise _refusal(f"HDU 1 is {kind!r} named {extname!r}; expected {expected}")
    layout_cards = b"".join(card for card in cards if card.startswith(_LAYOUT_CARDS))
    dtype, nulls = _row_layout(layout_cards, needed, model)
    row_bytes = _integer(header, "NAXIS1", 1)
    if row_bytes != dtype.itemsize:
        raise _refusal(f"NAXIS1 says {row_bytes} bytes a row, its columns add up to {dtype.itemsize}")
    return dtype, nulls, _integer(header, "NAXIS2")


@lru_cache(maxsize=16)
def _row_layout(
    cards: bytes, needed: tuple[str, ...], model: np.dtype[np.void] | None
) -> tuple[np.dtype[np.void], dict[str, int]]:
    """Return the dtype of a row, checked against the data model, and the TNULL of needed columns.

    The result is cached by the text of the cards: the files of a run have the same ones, and parsing them
    takes as long as reading a hundred thousand rows.
    """
    header = _parse([cards])
    fields: list[tuple[str, np.dtype[Any]]] = []
    nulls: dict[str, int] = {}
    width = 0
    for i in range(1, _integer(header, "TFIELDS", 1) + 1):
        name, tform = _value(header, f"TTYPE{i}"), _value(header, f"TFORM{i}")
        if not isinstance(name, str) or not isinstance(tform, str):
            raise _refusal(f"column {i} has no TTYPE{i} or no TFORM{i}")
        column = f"column {i} ({name})"
        try:
            fields.append((name.strip().upper(), tform_dtype(tform)))
        except (ValueError, TypeError, MemoryError) as error:  # MemoryError for a huge repeat count
            raise _refusal(f"{column}: {error}") from error
        width += fields[-1][1].itemsize
        if width > _MAX_ROW_BYTES:
            raise _refusal(f"{column}: TFORM {tform!r} makes a row of more than {_MAX_ROW_BYTES:,} bytes")
        scale, zero = _value(header, f"TSCAL{i}", 1), _value(header, f"TZERO{i}", 0)
        if fields[-1][0] in needed and (scale, zero) != (1, 0):
            what = f"{column} is stored scaled (TSCAL{i} {scale}, TZERO{i} {zero})"
            raise _refusal(what, "expected plain values, as in the survey's own file: fetch that")
        if fields[-1][0] in needed and fields[-1][1].kind == "i" and f"TNULL{i}" in header:
            nulls[fields[-1][0]] = _integer(header, f"TNULL{i}", low=None)
    _check_names([name for name, _ in fields], needed, is_sweep=model is None)
    dtype, model = np.dtype(fields), sweep_dtype() if model is None else model
    for name in needed:
        found, expected = dtype[name], model[name]
        # Releases differ in the width of integers and of padded text, but not in their kind.
        wide_enough = expected.kind in "iS" or found.itemsize == expected.itemsize
        if found.kind != expected.kind or found.shape or not wide_enough:
            raise _refusal(f"column {name} is of type {found}; expected {expected}")
    return dtype, nulls


def _check_names(names: list[str], needed: tuple[str, ...], is_sweep: bool) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise _refusal(f"columns named twice: {', '.join(doubled)}")
    missing = [name for name in needed if name not in names]
    if missing and not is_sweep:
        raise _refusal(f"it has no {', '.join(missing)}")
    if missing:
        older = " It is laid out as in DR8 or before." if "SHAPEDEV_R" in names else ""
        what = f"{len(missing)} of the {len(needed)} columns that are needed are missing: "
        what += f"{', '.join(missing)}.{older} lensneg reads sweep files of DR9 and later"
        raise _refusal(
            what, "fetch those of the config's release, as from the survey's south/sweep/10.1 folder"
        )
