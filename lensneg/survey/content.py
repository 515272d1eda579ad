"""The SHA-256 of what a stored sweep file holds."""

import hashlib
import zlib
from collections.abc import Callable, Iterator

from lensneg import storage
from lensneg.errors import InputError
from lensneg.survey.fetch import CHUNK_BYTES


def content_sha256(uri: str, size: int, on_bytes: Callable[[int], None] | None = None) -> tuple[str, int]:
    """Return the SHA-256 and the bytes of a stored file, of its content where it is gzipped.

    Parameters
    ----------
    uri : str
    size : int
        Bytes as it is stored.
    on_bytes : callable, optional
        Told how many of these were read.

    Raises
    ------
    InputError
        If a gzip stream is damaged or cut short.
    """
    digest, total = hashlib.sha256(), 0
    try:
        for chunk in _content(uri, size, on_bytes):
            digest.update(chunk)
            total += len(chunk)
    except (EOFError, zlib.error) as error:
        raise InputError(
            f"the gzip stream is damaged or cut short ({error})", where=uri, remedy="fetch it again"
        ) from error
    return digest.hexdigest(), total


def _content(uri: str, size: int, on_bytes: Callable[[int], None] | None) -> Iterator[bytes]:
    if size == 0:
        return
    buffer = memoryview(bytearray(CHUNK_BYTES))
    stream = storage.open_range(uri, 0, size)
    unpack = zlib.decompressobj(wbits=31) if uri.endswith(".gz") else None
    try:
        while count := stream.readinto(buffer):
            data: bytes | memoryview = buffer[:count]
            if on_bytes is not None:
                on_bytes(count)
            if unpack is None:
                yield bytes(data)
                continue
            while data:
                yield unpack.decompress(data)
                data = unpack.unused_data
                if data:  # a gzip file may have several members
                    unpack = zlib.decompressobj(wbits=31)
        if unpack is not None and not unpack.eof:
            raise EOFError("it ends early")
    finally:
        stream.close()
