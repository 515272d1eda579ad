"""The bytes of a stored file, uncompressed where it is gzipped."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from lensneg import storage
from lensneg.errors import SweepError


@contextmanager
def open_uncompressed(uri: str, size: int, start: int, length: int) -> Iterator[storage.Reader]:
    """Open a file's uncompressed bytes.

    Parameters
    ----------
    uri : str
    size : int
        Bytes of the stored file.
    start, length : int
        The range of the uncompressed bytes. Of a gzipped file, which is read from its start, all that
        follows can be read, too.

    Raises
    ------
    SweepError
        While it is open, if the gzip stream is damaged or cut short.
    """
    if not uri.endswith(".gz"):
        with closing(storage.open_range(uri, start, length)) as stream:
            yield stream
        return
    with closing(storage.open_range(uri, 0, size)) as stored:
        try:
            file = gzip.GzipFile(fileobj=io.BufferedReader(_RawStream(stored), 1 << 20))
            file.seek(start)
            yield file
        except (EOFError, OSError, zlib.error) as error:
            raise SweepError(
                f"the gzip stream is damaged or cut short ({error})",
                where=uri,
                remedy="fetch the file again",
            ) from error


class _RawStream(io.RawIOBase):
    """The standard library's kind of stream over storage's."""

    def __init__(self, stored: storage.Reader) -> None:
        self._stored = stored

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return self._stored.readinto(memoryview(buffer))


def fill(buffer: memoryview, stream: storage.Reader) -> int:
    """Read until the buffer is full or the stream ends; return the bytes read."""
    filled = 0
    while filled < len(buffer) and (count := stream.readinto(buffer[filled:])):
        filled += count
    return filled


def read_up_to(size: int, stream: storage.Reader) -> bytes:
    """Read so many bytes, or what is left of the stream where that is less."""
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: fill(buffer, stream)])
