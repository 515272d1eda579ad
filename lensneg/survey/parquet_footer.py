"""The footer of a Parquet file, decoded and checked here.

Arrow ends the process where it is asked for some values of a damaged footer. So its own reader gets a footer
only when this one found nothing wrong with it, and what the footer says of columns is taken from here.

Source: the Parquet format 2.11, parquet.thrift, in the compact protocol of Thrift.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

#: What a Parquet file begins and ends with.
_MAGIC: Final = b"PAR1"

#: Bytes behind the footer: its length and the magic word.
_TAIL_BYTES: Final = 8

#: Bytes at the end of a file that are read at first, and hold most footers whole.
_END_BYTES: Final = 64 << 10

#: How deep the structures of a footer are at most; each is in one of the others.
_DEPTH: Final = 16

#: Physical types of numbers, as struct decodes their statistics.
_NUMBERS: Final = {1: "<i", 2: "<q", 4: "<f", 5: "<d"}

#: The repetition of a column with any number of values in a row.
_REPEATED: Final = 2

#: A structure of Thrift: its values by the number of the field.
_Struct = dict[int, Any]


class Bounds(NamedTuple):
    """The lowest and the highest value of a column in a row group."""

    low: float
    high: float


class ColumnPlace(NamedTuple):
    """A column of a row group.

    Attributes
    ----------
    start, size : int
        First byte and number of bytes.
    unpacked : int
        Bytes of its pages, unpacked.
    bounds : Bounds or None
        Of a column of numbers, if the file says so.
    """

    start: int
    size: int
    unpacked: int
    bounds: Bounds | None


class Footer(NamedTuple):
    """The footer of a Parquet file.

    Attributes
    ----------
    arrow : pyarrow.parquet.FileMetaData
        As Arrow reads it.
    schema : pyarrow.Schema
        The columns.
    names : tuple of str
        The columns that have a place: a nested one has that of each of its leaves, under its path.
    n_rows : tuple of int
        Rows of each row group.
    places : tuple of tuple of ColumnPlace
        Of each row group, in the order of ``names``.
    """

    arrow: pq.FileMetaData
    schema: pa.Schema
    names: tuple[str, ...]
    n_rows: tuple[int, ...]
    places: tuple[tuple[ColumnPlace, ...], ...]


def read_footer(size: int, read: Callable[[int, int], bytes]) -> Footer:
    """Read and check the footer of a Parquet file.

    Parameters
    ----------
    size : int
        Bytes of the file.
    read : callable
        Returns bytes of the file: from a first one on, a number of them.

    Returns
    -------
    Footer

    Raises
    ------
    ValueError
        If there is none, it is damaged, or what it says cannot be true of the file. Arrow's errors are of
        this kind too.
    """
    first = min(size, _END_BYTES)
    end = read(size - first, first)
    length = int.from_bytes(end[-_TAIL_BYTES:-4], "little")
    if (
        size < len(_MAGIC) + _TAIL_BYTES
        or not end.endswith(_MAGIC)
        or length > size - _TAIL_BYTES - len(_MAGIC)
    ):
        raise ValueError("it does not end as a Parquet file does: it is truncated, or none")
    if length + _TAIL_BYTES > len(end):
        end = read(size - length - _TAIL_BYTES, length + _TAIL_BYTES)
    data = end[-_TAIL_BYTES - length : -_TAIL_BYTES]
    try:
        names, n_rows, places = _checked(_Thrift(data).structure(), size - _TAIL_BYTES - length)
    except (IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError("its footer is damaged") from error
    arrow = pq.read_metadata(pa.BufferReader(_MAGIC + end[-_TAIL_BYTES - length :]))
    return Footer(arrow, arrow.schema.to_arrow_schema(), names, n_rows, places)


def _checked(
    footer: _Struct, stop: int
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[ColumnPlace, ...], ...]]:
    """Return names, rows and places of a footer whose columns end before a byte, if they can be true."""
    leaves = list(_leaves(iter(footer[2])))
    groups, taken = [], list[tuple[int, int]]()
    for number, group in enumerate(footer.get(4, [])):
        if len(group[1]) != len(leaves):
            raise ValueError(
                f"row group {number} has {len(group[1])} of {len(leaves)} columns: it is damaged"
            )
        rows, places = group[3], []
        for leaf, chunk in zip(leaves, group[1], strict=True):
            column = chunk[3]
            if 8 in chunk or 9 in chunk:
                raise ValueError("it is encrypted")
            if chunk.get(1):
                raise ValueError("its columns are in other files")
            path = tuple(name.decode() for name in column[3])
            fits = path == leaf.path and column[1] == leaf.type
            if not fits or not (column[5] == rows or leaf.repeated) or rows < 0:
                raise ValueError(f"what row group {number} says of column {'.'.join(leaf.path)!r} is damaged")
            start, size = min(column[9], column.get(11) or column[9]), column[7] if rows else 0
            if size < 0 or (size and not len(_MAGIC) <= start <= stop - size):
                raise ValueError(f"row group {number} is not within its {stop:,} bytes: it is damaged")
            places.append(ColumnPlace(start, size, column[6], _bounds(column.get(12, {}), leaf.type)))
            taken += [(start, size)] if size else []
        groups.append((rows, tuple(places)))
    if sum(rows for rows, _ in groups) != footer[3]:
        raise ValueError(f"its row groups do not add up to its {footer[3]:,} rows: it is damaged")
    if any(start + size > after for (start, size), (after, _) in pairwise(sorted(taken))):
        raise ValueError("some of its columns are in the place of others: it is damaged")
    names = tuple(".".join(leaf.path) for leaf in leaves)
    return names, tuple(rows for rows, _ in groups), tuple(places for _, places in groups)


class _Leaf(NamedTuple):
    """A column of the schema that holds values."""

    path: tuple[str, ...]
    type: int
    repeated: bool


def _leaves(elements: Iterator[_Struct]) -> Iterator[_Leaf]:
    """Yield the columns of a schema, which is a tree written from its root on."""
    for _ in range(next(elements, {})[5]):
        yield from _leaves_below(elements, (), False)
    if next(elements, None) is not None:
        raise ValueError("its schema is damaged")


def _leaves_below(elements: Iterator[_Struct], path: tuple[str, ...], repeated: bool) -> Iterator[_Leaf]:
    element = next(elements, None)
    if element is None or len(path) > _DEPTH:
        raise ValueError("its schema is damaged")
    path, repeated = (*path, element[4].decode()), repeated or element.get(3) == _REPEATED
    if not element.get(5):
        yield _Leaf(path, element[1], repeated)
    for _ in range(element.get(5, 0)):
        yield from _leaves_below(elements, path, repeated)


def _bounds(statistics: _Struct, kind: int) -> Bounds | None:
    """Return the lowest and the highest value that statistics give."""
    high, low = statistics.get(5, statistics.get(1)), statistics.get(6, statistics.get(2))
    if kind not in _NUMBERS or high is None or low is None:
        return None
    (lowest,), (highest,) = struct.unpack(_NUMBERS[kind], low), struct.unpack(_NUMBERS[kind], high)
    return Bounds(lowest, highest) if lowest <= highest else None


class _Thrift:
    """Bytes in the compact protocol of Thrift, and the place up to which they were read."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def structure(self, depth: int = _DEPTH) -> _Struct:
        found, field = _Struct(), 0
        while head := self._data[self._at]:
            self._at += 1
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._integer()
            # The value of a boolean is in its type.
            found[field] = kind == 1 if kind <= 2 else self._value(kind, depth)
        self._at += 1
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 8:
            return self._some(self._unsigned())
        if kind in (1, 2, 3):
            return self._some(1)[0]
        if kind == 7:
            return self._some(8)
        if depth and kind == 12:
            return self.structure(depth - 1)
        if depth and kind in (9, 10):
            head = self._some(1)[0]
            count = head >> 4 if head >> 4 < 15 else self._unsigned()
            return [self._value(head & 15, depth - 1) for _ in range(self._checked_count(count))]
        if depth and kind == 11 and (count := self._checked_count(self._unsigned())):
            kinds = self._some(1)[0]
            return [
                (self._value(kinds >> 4, depth - 1), self._value(kinds & 15, depth - 1)) for _ in range(count)
            ]
        if kind == 11:
            return []
        raise ValueError("its footer is damaged")

    def _checked_count(self, count: int) -> int:
        if count > len(self._data) - self._at:
            raise ValueError("its footer is damaged")
        return count

    def _some(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise ValueError("its footer is damaged")
        self._at += count
        return found

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._data[self._at]) & 128:
            value |= (byte & 127) << shift
            shift += 7
            self._at += 1
            if shift > 63:
                raise ValueError("its footer is damaged")
        self._at += 1
        return value | byte << shift

    def _integer(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
