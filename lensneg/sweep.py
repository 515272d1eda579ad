"""Reading sweep files: the header once, then chunks of rows into one buffer that is used again.

A sweep file is an empty primary HDU and one binary table, row-major and big-endian. astropy parses the
headers. The rows are ours: every byte must pass through memory once anyway, so a chunk is viewed as a
structured array and columns are gathered from it only for the rows that are still wanted.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from lensneg import storage
from lensneg.datamodel import (
    SOURCE_TYPES,
    SWEEP_COLUMNS,
    SWEEP_EXTNAME,
    Cell,
    sweep_cell,
    tform_dtype,
)
from lensneg.errors import SweepError
from lensneg.manifest import COLUMNS

IntArray = npt.NDArray[np.int64]

#: FITS files come in blocks of this many bytes (FITS standard 4.0, section 3.1).
_BLOCK: Final = 2880
_CARD: Final = 80
#: A sweep header has about 17 blocks. One that is longer than this is not a sweep's.
_MAX_HEADER_BLOCKS: Final = 40
#: Both headers and the first row are within this many bytes: all that is read to look at a file.
_PROBE_BYTES: Final = 256 << 10

#: A row of DR10 has 505 bytes. One that is longer than this would only fill the memory.
_MAX_ROW_BYTES: Final = 16 << 10

#: So much of what follows the rows is looked at: their padding, and how the next HDU begins, if there is one.
_REST_BYTES: Final = 2 * _BLOCK

#: Rows read at once: 2 MB. The kernel's copy, the sieve and the gathering all find them in a processor's
#: cache; with 16 MB the same read alone takes half as long again.
CHUNK_ROWS: Final = 4_096

#: Gathered rows are put into columns so many at a time, 1 MB: what costs is the call, not the row.
_SETTLED_AT_ONCE: Final = 2_048

#: The columns that selection, pools and the manifest need, by upper-case name.
NEEDED_COLUMNS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(["RELEASE", "BRICKID", "NOBS_G", "NOBS_R", *(c.sweep for c in COLUMNS if c.sweep)])
)


class SweepRows:
    """Rows of a sweep table: native arrays by upper-case column name, gathered when asked for.

    Parameters
    ----------
    table : structured ndarray, shape (n,)
        Big-endian, with upper-case field names.
    index : ndarray of int64, optional
        Only these rows.
    """

    def __init__(self, table: npt.NDArray[np.void], index: IntArray | None = None) -> None:
        self._table, self._index = table, index

    @property
    def dtype(self) -> np.dtype[np.void]:
        """One row of the file."""
        return self._table.dtype

    def __len__(self) -> int:
        return len(self._table) if self._index is None else len(self._index)

    def raw(self, column: str) -> npt.NDArray[Any]:
        """Return a column as it stands in the file: text with its padding, numbers big-endian."""
        values = self._table[column]
        return values if self._index is None else values[self._index]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column; text is stripped of padding, and TYPE is in upper case."""
        values = self.raw(column)
        if values.dtype.kind == "S":
            return _read_text(values, column)
        return values.astype(values.dtype.newbyteorder("="))

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        values = self._table["TYPE"]
        assert self.dtype.fields is not None
        place = self.dtype.fields["TYPE"][1]
        has_three = values.dtype.itemsize == 3 and place + 4 <= self.dtype.itemsize
        if has_three:
            # The fourth byte is the next column's: it is cheaper to take it along and to blank it.
            values = self._table.getfield(_FOUR_BYTES, place)
        values = values.copy() if self._index is None else values[self._index]
        if has_three:
            return _type_of_number(values.view(np.uint32), _THREE_OF_FOUR)
        return _type_index(values)

    def take(self, index: IntArray) -> SweepRows:
        """Return some of the rows."""
        return SweepRows(self._table, index if self._index is None else self._index[index])

    def pack(self, part: slice, out: npt.NDArray[np.void]) -> None:
        """Copy a part of the rows into ``out`` as plain bytes: numpy copies structures field by field."""
        rows = self._table.view(out.dtype)
        if self._index is None:
            out[:] = rows[part]
        else:
            # Every other mode of numpy's makes a buffer for its output first.
            rows.take(self._index[part], out=out, mode="clip")


class GatheredRows:
    """Rows gathered from many chunks: one native array a column, with room to grow.

    Only :data:`NEEDED_COLUMNS` are kept, so a row takes a third of what it takes in the file.

    Parameters
    ----------
    dtype : numpy.dtype
        One row of the file.
    room : int
        Rows that are expected. Room that is not used takes no memory; room that is missing, a copy.
    """

    def __init__(self, dtype: np.dtype[np.void], room: int = 0) -> None:
        self._dtype = dtype
        self._size = 0
        self._columns = {name: np.empty(room, dtype[name].newbyteorder("=")) for name in NEEDED_COLUMNS}
        self._row_index = np.empty(room, np.int64)
        self._waiting = np.empty(_SETTLED_AT_ONCE, f"V{dtype.itemsize}")
        self._waiting_index = np.empty(_SETTLED_AT_ONCE, np.int64)
        self._n_waiting = 0

    def append(self, rows: SweepRows, row_index: IntArray) -> None:
        """Add rows; they are copied."""
        done, count = 0, len(row_index)
        while done < count:
            first = self._n_waiting
            last = min(first + count - done, _SETTLED_AT_ONCE)
            part = slice(done, done + last - first)
            rows.pack(part, self._waiting[first:last])
            self._waiting_index[first:last] = row_index[part]
            self._n_waiting, done = last, part.stop
            if last == _SETTLED_AT_ONCE:
                self._settle()

    def _settle(self) -> None:
        """Move the waiting rows into the columns."""
        if not self._n_waiting:
            return
        records = self._waiting[: self._n_waiting].view(self._dtype)
        first, last = self._size, self._size + self._n_waiting
        room = len(self._row_index)
        if last > room:
            room = max(last, room + room // 2)
            for name, column in self._columns.items():
                self._columns[name] = _with_room(column, first, room)
            self._row_index = _with_room(self._row_index, first, room)
        for name, column in self._columns.items():
            column[first:last] = records[name]
        self._row_index[first:last] = self._waiting_index[: self._n_waiting]
        self._n_waiting, self._size = 0, last

    def __len__(self) -> int:
        return self._size + self._n_waiting

    def raw(self, column: str) -> npt.NDArray[Any]:
        """Return a column as it stands in the file, text with its padding."""
        self._settle()
        return self._columns[column][: self._size]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column as :class:`SweepRows` does."""
        return _read_text(self.raw(column), column)

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        return _type_index(self.raw("TYPE"))

    @property
    def row_index(self) -> IntArray:
        """Each row's place in its file."""
        self._settle()
        return self._row_index[: self._size]

    def take(self, index: IntArray) -> TakenRows:
        """Return some of the rows; a column is copied only when it is asked for."""
        return TakenRows(self, index)


class TakenRows:
    """Some rows of :class:`GatheredRows`: an index, by which each column is taken when it is asked for."""

    def __init__(self, rows: GatheredRows, index: IntArray) -> None:
        self._rows, self._index = rows, index

    def __len__(self) -> int:
        return len(self._index)

    def raw(self, column: str) -> npt.NDArray[Any]:
        """Return a column as it stands in the file, text with its padding."""
        return self._rows.raw(column)[self._index]

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column as :class:`SweepRows` does."""
        return _read_text(self.raw(column), column)

    @cached_property
    def _source_type(self) -> npt.NDArray[np.intp]:
        return _type_index(self.raw("TYPE"))

    def source_type(self) -> npt.NDArray[np.intp]:
        """Return the type of each row as an index into ``SOURCE_TYPES``; -1 for any other."""
        return self._source_type

    @property
    def row_index(self) -> IntArray:
        """Each row's place in its file."""
        return self._rows.row_index[self._index]

    def take(self, index: IntArray) -> TakenRows:
        """Return some of the rows."""
        return TakenRows(self._rows, self._index[index])


#: Rows that outlive their chunk.
KeptRows = GatheredRows | TakenRows


def _with_room(values: npt.NDArray[Any], used: int, room: int) -> npt.NDArray[Any]:
    larger = np.empty(room, values.dtype)
    larger[:used] = values[:used]
    return larger


def _read_text(values: npt.NDArray[Any], column: str) -> npt.NDArray[Any]:
    """Return a column's text stripped of padding, TYPE in upper case; other values as they are."""
    if values.dtype.kind != "S":
        return values
    text = _text(values)
    return np.char.upper(text) if column == "TYPE" else text


def _text(values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.str_]:
    """Return fixed-width text without its padding."""
    try:
        return np.char.strip(values.astype(np.str_))
    except UnicodeDecodeError as error:
        raise ValueError("text that is not ASCII") from error


#: Each type's four bytes, padded with NUL, as one number; and where that number's hash finds it again.
_TYPE_NUMBERS: Final = np.array([*SOURCE_TYPES, ""]).astype("S4").view(np.uint32)
_HASH_FACTOR: Final = np.uint32(0x5498EE97)
_HASH_SHIFT: Final = np.uint32(28)
_FOUR_BYTES: Final = np.dtype("S4")
#: Without the bit 0x20 a small letter is its capital, and a space is NUL.
_ALL_CAPITALS: Final = np.frombuffer(b"\xdf\xdf\xdf\xdf", np.uint32)[0]
_THREE_OF_FOUR: Final = np.frombuffer(b"\xdf\xdf\xdf\0", np.uint32)[0]
_TYPE_OF_HASH: Final = np.full(16, -1, dtype=np.intp)
_TYPE_OF_HASH[(_TYPE_NUMBERS[:-1] * _HASH_FACTOR) >> _HASH_SHIFT] = np.arange(len(SOURCE_TYPES))


def _type_index(values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
    """Return the index of each type in ``SOURCE_TYPES``, whatever its padding and case; -1 for others."""
    if values.dtype.itemsize > 4:
        values = np.char.strip(values)
    return _type_of_number(values.astype("S4").view(np.uint32))


def _type_of_number(
    numbers: npt.NDArray[np.uint32], its_bits: np.uint32 = _ALL_CAPITALS
) -> npt.NDArray[np.intp]:
    """Return the index of each type in ``SOURCE_TYPES`` by its four bytes; -1 for others.

    Looking up four bytes as one number is many times faster than comparing text, and this is done for
    every bright source.
    """
    numbers = numbers & its_bits
    index = _TYPE_OF_HASH.take((numbers * _HASH_FACTOR) >> _HASH_SHIFT)
    index[_TYPE_NUMBERS.take(index) != numbers] = -1
    return index


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
            raise SweepError(f"{self.uri}: the name is not one of a sweep file")
        return cell

    @property
    def is_compressed(self) -> bool:
        """Whether the file is gzipped, and so can only be read from its start."""
        return self.uri.endswith(".gz")


class SweepProbe(NamedTuple):
    """What a look at a file's beginning tells."""

    file: SweepFile
    release: int


class _Gunzip:
    """A gzipped file as a stream of its uncompressed bytes from ``start`` on."""

    def __init__(self, raw: storage.Reader, start: int, source: str) -> None:
        self._raw, self._source = raw, source
        self._file = gzip.GzipFile(fileobj=io.BufferedReader(_AsRaw(raw), 1 << 20))
        left = start
        while left > 0:
            skipped = len(self._read(min(left, 1 << 20)))
            if skipped == 0:
                break
            left -= skipped

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, OSError, zlib.error) as error:
            raise SweepError(
                f"{self._source}: the gzip stream is damaged or cut short ({error}); fetch the file again"
            ) from error

    def readinto(self, buffer: memoryview, /) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def finish(self) -> bytes:
        """Read to the end, where the checksum is: before it, damage can pass for other values.

        Returns
        -------
        bytes
            What comes first after what was read before.
        """
        rest = self._read(_REST_BYTES)
        while self._read(1 << 20):
            pass
        return rest

    def close(self) -> None:
        self._file.close()
        self._raw.close()


class _AsRaw(io.RawIOBase):
    """The standard library's kind of stream over ours."""

    def __init__(self, raw: storage.Reader) -> None:
        self._inner = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return self._inner.readinto(memoryview(buffer))


def _open(uri: str, size: int, start: int, length: int) -> storage.Reader:
    """Open a file's uncompressed bytes from ``start`` on; ``size`` is that of the stored file."""
    if uri.endswith(".gz"):
        return _Gunzip(storage.open_range(uri, 0, size), start, uri)
    return storage.open_range(uri, start, length)


def _fill(stream: storage.Reader, buffer: memoryview) -> int:
    """Read until the buffer is full or the stream ends; return the bytes read."""
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def _read_header(stream: storage.Reader, uri: str, hdu: int) -> list[bytes]:
    """Read one header unit; return its cards, padding included."""
    text = bytearray()
    block = memoryview(bytearray(_BLOCK))
    for _ in range(_MAX_HEADER_BLOCKS):
        if _fill(stream, block) < _BLOCK:
            raise SweepError(
                f"{uri}: the file ends within the header of HDU {hdu}: it is truncated, or not a "
                "FITS file; fetch it again"
            )
        if not text and not bytes(block).startswith((b"SIMPLE  =", b"XTENSION=")):
            raise SweepError(
                f"{uri}: HDU {hdu} does not start with a FITS header: this is not a sweep file; "
                "remove it from the folder, or fetch it again"
            )
        text += block
        if b"END" in (bytes(block[i : i + _CARD]).rstrip() for i in range(0, _BLOCK, _CARD)):
            return [bytes(text[i : i + _CARD]) for i in range(0, len(text), _CARD)]
    raise SweepError(f"{uri}: the header of HDU {hdu} has no END card; fetch the file again")


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


def _layout(stream: storage.Reader, uri: str) -> SweepFile:
    """Read both headers of a sweep file from the start of its bytes."""
    primary = _read_header(stream, uri, 0)
    try:
        if _value(_parse_cards(primary), "NAXIS", 0) != 0:
            raise ValueError("the primary HDU holds data; a sweep file's is empty")
        cards = _read_header(stream, uri, 1)
        dtype, n_rows = _table_layout(cards)
    except ValueError as error:
        remedy = "" if "fetch" in str(error) else "; fetch the file again"
        raise SweepError(f"{uri}: {error}{remedy}") from error
    return SweepFile(uri, dtype, n_rows, (len(primary) + len(cards)) * _CARD)


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


def probe_sweep(info: storage.FileInfo) -> SweepProbe:
    """Read a sweep file's headers and first row, and check them.

    Parameters
    ----------
    info : FileInfo

    Returns
    -------
    SweepProbe
        ``release`` is that of the first row, 0 in a file without rows.

    Raises
    ------
    SweepError
        If the file is not a sweep file, is truncated, or lacks a needed column.
    """
    if info.size == 0:
        raise SweepError(f"{info.uri}: the file is empty; fetch it again")
    first_bytes = min(info.size, _PROBE_BYTES)
    stream = _open(info.uri, first_bytes, 0, first_bytes)
    try:
        file = _layout(stream, info.uri)
        needed = file.data_start + file.n_rows * file.dtype.itemsize
        if not file.is_compressed and info.size < needed:
            raise SweepError(
                f"{info.uri}: truncated: its header promises {file.n_rows:,} rows, so at least "
                f"{needed:,} bytes, and it has {info.size:,}; fetch it again"
            )
        if file.n_rows and not file.is_compressed:
            last = needed - file.dtype.itemsize
            end = storage.read_bytes(info.uri, last, file.dtype.itemsize + _REST_BYTES)
            _check_last_row(end[: file.dtype.itemsize], file)
            _check_rest(end[file.dtype.itemsize :], file)
        release = 0
        if not file.n_rows:
            rest = bytearray(_REST_BYTES)
            _check_rest(bytes(rest[: _fill(stream, memoryview(rest))]), file)
        else:
            row = bytearray(file.dtype.itemsize)
            if _fill(stream, memoryview(row)) < len(row):
                raise SweepError(f"{info.uri}: the file ends within its first row; fetch it again")
            release = int(np.frombuffer(row, file.dtype)["RELEASE"][0])
    finally:
        stream.close()
    return SweepProbe(file, release)


def _check_rest(rest: bytes, file: SweepFile) -> None:
    """Refuse a file that goes on after the rows that its header promises: a lower number would lose rows."""
    padding = -(file.data_start + file.n_rows * file.dtype.itemsize) % _BLOCK
    beyond = rest[padding:]
    if any(rest[:padding]) or (beyond and not beyond.startswith(b"XTENSION=")):
        raise SweepError(
            f"{file.uri}: there are more data than the {file.n_rows:,} rows that its header (NAXIS2) "
            "promises; fetch it again"
        )


def _check_last_row(row: Any, file: SweepFile) -> None:
    """Refuse a file whose padding would be taken for a row: a higher number in its header does that."""
    if not any(row):
        raise SweepError(
            f"{file.uri}: the last of the {file.n_rows:,} rows that its header (NAXIS2) promises is empty; "
            "fetch it again"
        )


def iter_rows(
    file: SweepFile, size: int, first_row: int = 0, n_rows: int | None = None
) -> Iterator[tuple[int, SweepRows]]:
    """Iterate over a sweep file's rows in chunks.

    Parameters
    ----------
    file : SweepFile
    size : int
        Bytes of the stored file.
    first_row, n_rows : int
        A slice of the rows; all by default.

    Yields
    ------
    start : int
        Row index of the chunk's first row.
    rows : SweepRows
        Valid until the next chunk is asked for: the buffer behind it is used again.

    Raises
    ------
    SweepError
        If the file ends before its last row, or is gzipped and fails its checksum; the latter is
        known only after the last row.
    """
    row_bytes = file.dtype.itemsize
    left = file.n_rows - first_row if n_rows is None else n_rows
    if left <= 0:
        return
    buffer = memoryview(bytearray(min(left, CHUNK_ROWS) * row_bytes))
    stream = _open(file.uri, size, file.data_start + first_row * row_bytes, left * row_bytes)
    try:
        row = first_row
        while left > 0:
            count = min(left, CHUNK_ROWS)
            chunk = buffer[: count * row_bytes]
            if _fill(stream, chunk) < len(chunk):
                raise SweepError(
                    f"{file.uri}: the file ends between rows {row:,} and {row + count:,} of "
                    f"{file.n_rows:,}: it is truncated; fetch it again"
                )
            yield row, SweepRows(np.frombuffer(chunk, dtype=file.dtype))
            row += count
            left -= count
        if row == file.n_rows:
            _check_last_row(chunk[-row_bytes:], file)
        if isinstance(stream, _Gunzip) and row == file.n_rows:
            _check_rest(stream.finish(), file)
    finally:
        stream.close()
