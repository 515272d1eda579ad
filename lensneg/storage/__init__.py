"""Files by URI: ``s3://bucket/key``, or a path on this machine. No other part distinguishes the two.

Files on a web server (``https://``) can be read, but not listed.

Every write is atomic: a reader sees the old bytes or the new ones, never a part.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from lensneg.errors import InputError
from lensneg.storage import http, local, multipart, s3
from lensneg.storage.errors import disk_errors
from lensneg.storage.s3 import metadata, put_file, s3_client, upload
from lensneg.storage.uri import (
    FileInfo,
    basename,
    bucket_and_key,
    common_folder,
    is_http,
    is_s3,
    join,
    normalize,
    normalize_readable,
)

__all__ = [
    "FileInfo",
    "basename",
    "bucket_and_key",
    "common_folder",
    "is_http",
    "is_s3",
    "join",
    "metadata",
    "normalize",
    "normalize_readable",
    "put_file",
    "s3_client",
    "upload",
]


class Reader(Protocol):
    """A stream of bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill some of the buffer; 0 at the end."""

    def close(self) -> None:
        """Release what the stream holds."""


def stat(uri: str) -> FileInfo:
    """Return size and ETag of a file. A local file's tag is made of its size and time of change.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if is_http(uri):
        return http.head(uri)
    return s3.head(uri) if is_s3(uri) else local.info(Path(uri))


def stat_all(uris: Iterable[str]) -> dict[str, FileInfo]:
    """Return size and ETag of each of many files that are there, by URI.

    In S3 a folder of several of them is listed: that is one request for a thousand files.
    """
    folders: dict[str, list[str]] = {}
    for uri in uris:
        folders.setdefault(uri.rpartition("/")[0], []).append(uri)
    found: dict[str, FileInfo] = {}
    for folder, files in folders.items():
        if is_s3(folder) and len(files) > 1:
            listed = {info.uri: info for info in s3.list_objects(folder, deep=False)}
            found |= {uri: listed[uri] for uri in files if uri in listed}
            continue
        for uri in files:
            with suppress(FileNotFoundError):
                found[uri] = stat(uri)
    return found


def exists(uri: str) -> bool:
    """Return whether there is a file at a URI."""
    try:
        stat(uri)
    except FileNotFoundError:
        return False
    return True


def is_file(uri: str) -> bool:
    """Return whether a local path is a file. Always False for S3, where a key may be a prefix too."""
    return not is_s3(uri) and os.path.isfile(uri)


def list_files(uri: str, *, missing_ok: bool = False, unreadable: list[str] | None = None) -> list[FileInfo]:
    """Return all files below a folder or prefix, at any depth, ordered by URI.

    Hidden files are left out, and those in hidden folders: their names begin with a dot.

    Parameters
    ----------
    uri : str
        A folder, or an ``s3://`` prefix.
    missing_ok : bool
        Whether there may be no such folder.
    unreadable : list of str, optional
        Takes the local folders and files that may not be looked at. Without it they are an error.

    Returns
    -------
    list of FileInfo

    Raises
    ------
    FileNotFoundError
        If a local folder does not exist, unless ``missing_ok``.
    StorageError
        If a folder may not be listed.
    """
    if not is_s3(uri):
        return local.list_files(uri, missing_ok, unreadable)
    return [info for info in s3.list_objects(uri) if "/." not in info.uri.removeprefix(uri)]


def list_non_files(uri: str, files: Iterable[FileInfo]) -> list[str]:
    """Return all folders and broken links below a folder, or folders below a prefix, ordered.

    ``files`` is what :func:`list_files` returned for it. The folders in S3 follow from that.
    """
    if not is_s3(uri):
        return local.list_non_files(uri)
    parts = (info.uri.removeprefix(f"{uri}/").split("/")[:-1] for info in files)
    return sorted({join(uri, *names[: i + 1]) for names in parts for i in range(len(names))})


def read_text(uri: str, option: str) -> str:
    """Return the text of a file that a person named in an option.

    Parameters
    ----------
    uri : str
        A path, or ``s3://bucket/key``.
    option : str
        For example ``--listing``; named in errors.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If there is no such file, or it is not text.
    """
    try:
        return read_bytes(normalize(uri)).decode()
    except FileNotFoundError as error:
        raise InputError("no such file", where=f"{option} {uri}", remedy="check the path") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError("not a text file", where=f"{option} {uri}", remedy="name a text file") from error


def read_bytes(uri: str, start: int = 0, size: int | None = None) -> bytes:
    """Return a file's bytes, or a range of them (shorter where the file ends before it).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if is_s3(uri):
        return s3.get_object(uri, start, size)
    if is_http(uri):
        return http.get_range(uri, start, size)
    with disk_errors(uri), local.open_plain(uri, -1) as file:
        file.seek(start)
        return bytes(file.read(-1 if size is None else size))


def sha256(uri: str, size: int) -> str:
    """Return the SHA-256 of a file of a known size, in hexadecimal. The file is read in pieces."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
    reader = open_range(uri, 0, size)
    try:
        while count := reader.readinto(buffer):
            digest.update(buffer[:count])
    finally:
        reader.close()
    return digest.hexdigest()


def read_json(uri: str) -> Any:
    """Return a JSON file's value."""
    return json.loads(read_bytes(uri))


def write_bytes(uri: str, data: bytes | memoryview, *, if_absent: bool = False, durable: bool = True) -> bool:
    """Write a file in one piece.

    Parameters
    ----------
    uri : str
        Where to write.
    data : bytes-like
        The file's content.
    if_absent : bool
        Leave an existing file as it is.
    durable : bool
        Wait until a local file would survive a loss of power. Not needed where a later check of the file's
        size finds out.

    Returns
    -------
    bool
        Whether the file was written.
    """
    if is_s3(uri):
        return s3.put_object(uri, data, if_absent)
    return local.write(Path(uri), [data], if_absent, durable)


def write_chunks(uri: str, chunks: Iterable[bytes]) -> int:
    """Write a file that is made piece by piece, and return its size in bytes.

    It appears when it is whole. If a piece cannot be made, an existing file is left as it is.

    Parameters
    ----------
    uri : str
        Where to write.
    chunks : iterable of bytes
        The file's content. Memory holds a piece; for S3 a part of the upload too.

    Returns
    -------
    int
    """
    sizes: list[int] = []

    def counted() -> Iterator[bytes]:
        for chunk in chunks:
            sizes.append(len(chunk))
            yield chunk

    if is_s3(uri):
        multipart.put_chunks(uri, counted())
    else:
        local.write(Path(uri), counted(), if_absent=False, durable=True)
    return sum(sizes)


def write_json(uri: str, value: Any, *, if_absent: bool = False, durable: bool = True) -> bool:
    """Write a value as JSON; see :func:`write_bytes`."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    return write_bytes(uri, text.encode() + b"\n", if_absent=if_absent, durable=durable)


def remove_temporary_files(folder: str) -> None:
    """Remove what writers that were killed left below a local folder. No writer may be active there."""
    if not is_s3(folder):  # S3 shows an object when it is whole
        local.remove_temporary_files(folder)


def delete(uri: str) -> None:
    """Delete a file. It is no error if there is none."""
    if is_s3(uri):
        s3.delete_object(uri)
    else:
        Path(uri).unlink(missing_ok=True)


def open_file(uri: str, size: int) -> BinaryIO:
    """Open a file of a known size, to read parts of it in any order."""
    if is_s3(uri):
        return cast(BinaryIO, s3.S3File(uri, size))
    if is_http(uri):
        return cast(BinaryIO, s3.S3File(uri, size, http.get_range))
    with disk_errors(uri):
        return cast(BinaryIO, local.open_plain(uri, 0))


def open_range(uri: str, start: int, size: int) -> Reader:
    """Open ``size`` bytes of a file, beginning at byte ``start``."""
    if size <= 0:
        raise ValueError(f"size {size}: expected at least one byte")
    if is_http(uri):
        return s3.S3Reader(uri, start, size, http.get_range)
    return s3.S3Reader(uri, start, size) if is_s3(uri) else local.LocalReader(uri, start, size)
