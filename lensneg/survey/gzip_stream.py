"""Gzipped sweep files as streams."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, Final

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.fits_layout import FITS_BLOCK

#: So much of what follows the rows is looked at: their padding, and how the next HDU begins, if there is one.
REST_BYTES: Final = 2 * FITS_BLOCK


class GzipStream:
    """A gzipped file as a stream of its uncompressed bytes from ``start`` on."""

    def __init__(self, raw: storage.Reader, start: int, source: str) -> None:
        self._raw, self._source = raw, source
        self._file = gzip.GzipFile(fileobj=io.BufferedReader(RawStream(raw), 1 << 20))
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
                f"the gzip stream is damaged or cut short ({error})",
                where=self._source,
                remedy="fetch the file again",
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
        rest = self._read(REST_BYTES)
        while self._read(1 << 20):
            pass
        return rest

    def close(self) -> None:
        self._file.close()
        self._raw.close()


class RawStream(io.RawIOBase):
    """The standard library's kind of stream over ours."""

    def __init__(self, raw: storage.Reader) -> None:
        self._inner = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return self._inner.readinto(memoryview(buffer))


def open_plain(uri: str, size: int, start: int, length: int) -> storage.Reader:
    """Open a file's uncompressed bytes from ``start`` on; ``size`` is that of the stored file."""
    if uri.endswith(".gz"):
        return GzipStream(storage.open_range(uri, 0, size), start, uri)
    return storage.open_range(uri, start, length)
