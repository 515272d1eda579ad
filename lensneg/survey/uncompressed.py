"""The bytes of a stored file, uncompressed where it is gzipped."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.names import is_gzipped


@contextmanager
def open_uncompressed(
    uri: str, size: int, start: int, length: int, on_bytes: Callable[[int], None] | None = None
) -> Iterator[storage.Reader]:
    """Open a file's uncompressed bytes.

    Parameters
    ----------
    uri : str
        The file.
    size : int
        Bytes of the stored file.
    start, length : int
        The range of the uncompressed bytes. A gzipped file is read from its start, and can be read on
        beyond the range.
    on_bytes : callable, optional
        Called with the number of stored bytes after each read of them.

    Yields
    ------
    Reader
        A stream whose first byte is that at ``start``.

    Raises
    ------
    SweepError
        If the gzip stream is damaged or cut short, which may show only while it is read.
    """
    packed = is_gzipped(uri)
    first, count = (0, size) if packed else (start, length)
    with closing(storage.open_range(uri, first, count)) as reader:
        stored = _Stored(reader, on_bytes)
        if not packed:
            yield stored
            return
        try:
            file = gzip.GzipFile(fileobj=io.BufferedReader(stored, 1 << 20))
            file.seek(start)
            yield file
        except (EOFError, OSError, zlib.error) as error:
            what = f"the gzip stream is damaged or cut short ({error})"
            raise SweepError(what, where=uri, remedy="fetch the file again") from error


def content_sha256(info: storage.FileInfo, on_bytes: Callable[[int], None] | None = None) -> tuple[str, int]:
    """Return the SHA-256 and the bytes of a file, uncompressed where it is gzipped.

    Parameters
    ----------
    info : FileInfo
        The file.
    on_bytes : callable, optional
        Called with the number of stored bytes after each read of them.

    Returns
    -------
    sha256 : str
        The digest in hexadecimal.
    size : int
        Uncompressed bytes.

    Raises
    ------
    SweepError
        If the gzip stream is damaged or cut short.
    """
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(1 << 20))
    with open_uncompressed(info.uri, info.size, 0, info.size, on_bytes) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            size += count
    return digest.hexdigest(), size


class _Stored(io.RawIOBase):
    """The standard library's kind of stream over a reader of the storage."""

    def __init__(self, reader: storage.Reader, on_bytes: Callable[[int], None] | None) -> None:
        self._reader, self._on_bytes = reader, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._reader.readinto(memoryview(buffer)) or 0
        if self._on_bytes is not None:
            self._on_bytes(count)
        return count


def fill(buffer: memoryview, stream: storage.Reader) -> int:
    """Read until a buffer is full or a stream ends.

    Parameters
    ----------
    buffer : memoryview
        Takes the bytes.
    stream : Reader
        Where they come from.

    Returns
    -------
    int
        The bytes read.
    """
    filled = 0
    while filled < len(buffer) and (count := stream.readinto(buffer[filled:])):
        filled += count
    return filled


def read_up_to(size: int, stream: storage.Reader) -> bytes:
    """Read a number of bytes, or the rest of the stream if that is less.

    Parameters
    ----------
    size : int
        Bytes to read at most.
    stream : Reader
        Where they come from.

    Returns
    -------
    bytes
        The bytes read.
    """
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: fill(buffer, stream)])
