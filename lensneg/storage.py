"""Files by URI: ``s3://bucket/key``, or a path on this machine. The one module that knows the difference.

Every write is atomic: a reader sees the old bytes or the new ones, never a part.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lensneg.errors import InputError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
_DENIED = {"403", "AccessDenied", "AllAccessDisabled"}


#: An object is read in parts of this size, so many at once: 64 MiB on their way at most.
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 8
_PART_ATTEMPTS = 5

#: Whatever has the buffer protocol: bytes, a view, an Arrow buffer.
Buffer = Any


class FileInfo(NamedTuple):
    """A file or object: its size in bytes, and a tag that changes when its bytes do."""

    uri: str
    size: int
    etag: str


class Reader(Protocol):
    """A stream of bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill some of the buffer; 0 at the end."""

    def close(self) -> None:
        """Release what the stream holds."""


def is_s3(uri: str) -> bool:
    """Return whether a URI names an object in S3."""
    return uri.startswith("s3://")


def normalize(uri: str) -> str:
    """Return a URI without trailing slash; a local path becomes absolute.

    Raises
    ------
    InputError
        If the scheme is neither ``s3`` nor ``file``, or an S3 URI names no bucket.
    """
    if is_s3(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise InputError(f"{uri!r}: expected s3://bucket/prefix")
        return f"s3://{bucket}/{key}".rstrip("/")
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri:
        raise InputError(f"{uri!r}: expected a local path or s3://bucket/prefix")
    return os.path.abspath(os.path.expanduser(uri))


def join(uri: str, *parts: str) -> str:
    """Return the URI of something below another."""
    return "/".join([uri.rstrip("/"), *parts])


def basename(uri: str) -> str:
    """Return the last part of a URI."""
    return uri.rstrip("/").rpartition("/")[2]


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return a URI as Step Functions' S3 readers want it.

    A local path becomes a key in the bucket ``local``, which the one-machine run serves.
    """
    if is_s3(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bucket, key
    return "local", uri.lstrip("/")


@lru_cache(maxsize=1)
def s3_client() -> S3Client:
    """Return the process's S3 client: retries with full jitter, connections for parallel reads."""
    # Imported here: a run on local files should not wait for it.
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=64)
    return boto3.client("s3", config=config)


@contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    """Turn botocore's errors into ones that say what to do."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            raise FileNotFoundError(uri) from error
        if code in _DENIED:
            raise InputError(f"{uri}: access denied; grant this role access to it") from error
        raise TransientError(f"{uri}: {error}") from error
    except BotoCoreError as error:
        raise TransientError(f"{uri}: {error}") from error


def _local_info(path: Path) -> FileInfo:
    status = path.stat()
    return FileInfo(str(path), status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")


def stat(uri: str) -> FileInfo:
    """Return size and ETag of a file. A local file's tag is made of its size and time of change.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not is_s3(uri):
        return _local_info(Path(uri))
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        head = s3_client().head_object(Bucket=bucket, Key=key)
    return FileInfo(uri, head["ContentLength"], head["ETag"].strip('"'))


def exists(uri: str) -> bool:
    """Return whether there is a file at a URI."""
    try:
        stat(uri)
    except FileNotFoundError:
        return False
    return True


def list_files(uri: str) -> list[FileInfo]:
    """Return all files below a folder or prefix, at any depth, ordered by URI.

    Raises
    ------
    FileNotFoundError
        If a local folder does not exist.
    """
    if not is_s3(uri):
        root = Path(uri)
        if not root.is_dir():
            raise FileNotFoundError(uri)
        found = [
            _local_info(Path(folder) / name)
            for folder, _, names in os.walk(root, followlinks=True)
            for name in names
            if not name.startswith(".")
        ]
        return sorted(found)
    bucket, prefix = bucket_and_key(uri)
    infos = []
    with _s3_errors(uri):
        pages = s3_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""):
            for entry in page.get("Contents", []):
                object_uri = f"s3://{bucket}/{entry['Key']}"
                infos.append(FileInfo(object_uri, entry["Size"], entry["ETag"].strip('"')))
    return sorted(infos)


def read_bytes(uri: str, start: int = 0, size: int | None = None) -> bytes:
    """Return a file's bytes, or a range of them (shorter where the file ends before it).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not is_s3(uri):
        with open(uri, "rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        if start == 0 and size is None:
            response = s3_client().get_object(Bucket=bucket, Key=key)
        else:
            stop = "" if size is None else str(start + size - 1)
            try:
                response = s3_client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{stop}")
            except s3_client().exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") == "InvalidRange":
                    return b""  # the object ends before it
                raise
        return response["Body"].read()


def read_json(uri: str) -> Any:
    """Return a JSON file's value."""
    return json.loads(read_bytes(uri))


def write_bytes(uri: str, data: Buffer, *, if_absent: bool = False, durable: bool = True) -> bool:
    """Write a file in one piece.

    Parameters
    ----------
    uri : str
    data : bytes-like
    if_absent : bool
        Leave a file that is already there as it is.
    durable : bool
        Wait until a local file would survive a loss of power. Not needed where a later look at its size
        tells whether it did.

    Returns
    -------
    bool
        Whether the file was written.
    """
    if not is_s3(uri):
        return _write_local(Path(uri), data, if_absent, durable)
    bucket, key = bucket_and_key(uri)
    try:
        with _s3_errors(uri):
            if if_absent:
                s3_client().put_object(Bucket=bucket, Key=key, Body=bytes(data), IfNoneMatch="*")
            else:
                s3_client().put_object(Bucket=bucket, Key=key, Body=bytes(data))
    except TransientError as error:
        response = getattr(error.__cause__, "response", {})
        if response.get("Error", {}).get("Code") == "PreconditionFailed":
            return False
        raise
    return True


def _write_local(path: Path, data: Buffer, if_absent: bool, durable: bool) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        if not if_absent:
            os.replace(temporary, path)
            return True
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        Path(temporary).unlink(missing_ok=True)


def upload(path: str, uri: str) -> None:
    """Send a local file to S3, in one part and without holding it: its ETag is its MD5.

    Raises
    ------
    InputError
        If S3 refuses it.
    """
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri), open(path, "rb") as file:
        s3_client().put_object(Bucket=bucket, Key=key, Body=file)


def write_json(uri: str, value: Any, *, if_absent: bool = False) -> bool:
    """Write a value as JSON; see :func:`write_bytes`."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    return write_bytes(uri, text.encode() + b"\n", if_absent=if_absent)


def delete(uri: str) -> None:
    """Delete a file; one that is not there is no error."""
    if not is_s3(uri):
        Path(uri).unlink(missing_ok=True)
        return
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        s3_client().delete_object(Bucket=bucket, Key=key)


def copy(source: str, target: str) -> None:
    """Copy a file within one kind of storage."""
    if is_s3(source):
        bucket, key = bucket_and_key(target)
        source_bucket, source_key = bucket_and_key(source)
        with _s3_errors(source):
            s3_client().copy({"Bucket": source_bucket, "Key": source_key}, Bucket=bucket, Key=key)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _LocalReader:
    """A range of a local file, read without a buffer between the kernel and the caller's."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by close())
        self._file.seek(start)
        self._left = size

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._file.readinto(buffer[: self._left]) or 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()


class _S3Reader:
    """A range of an object in S3, in parts that are fetched in parallel and handed on in order.

    While a part is worked on the next ones are on their way: one connection to S3 is slower than the
    network, and than the work.
    """

    def __init__(self, uri: str, start: int, size: int) -> None:
        self._uri = uri
        stop = start + size
        self._ranges = iter(
            [(first, min(first + _PART_BYTES, stop)) for first in range(start, stop, _PART_BYTES)]
        )
        self._threads = ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="s3-part")
        self._coming: deque[Future[bytes]] = deque()
        self._part = memoryview(b"")
        for _ in range(_PARTS_AT_ONCE):
            self._ask()
        self._take()  # so that a file that is not there is an error at once

    def _ask(self) -> None:
        part = next(self._ranges, None)
        if part is not None:
            self._coming.append(self._threads.submit(_read_part, self._uri, *part))

    def _take(self) -> None:
        if self._coming:
            self._part = memoryview(self._coming.popleft().result())
            self._ask()

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._part:
            self._take()
        count = min(len(buffer), len(self._part))
        buffer[:count] = self._part[:count]
        self._part = self._part[count:]
        return count

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _read_part(uri: str, first: int, stop: int) -> bytes:
    """Read bytes [first, stop) of an object, or those of them that it has.

    Where the connection breaks within them they are asked for again: botocore retries a request that fails,
    but not a body that ends early, which it tells by its length.
    """
    for attempt in range(1, _PART_ATTEMPTS):
        try:
            return read_bytes(uri, first, stop - first)
        except TransientError:
            time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 (full jitter, no secret)
    return read_bytes(uri, first, stop - first)


def open_range(uri: str, start: int, size: int) -> Reader:
    """Open ``size`` bytes of a file from ``start`` on."""
    if size <= 0:
        raise ValueError(f"size {size}: expected at least one byte")
    return _S3Reader(uri, start, size) if is_s3(uri) else _LocalReader(uri, start, size)
