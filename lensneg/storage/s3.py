"""Objects in S3."""

from __future__ import annotations

import io
import os
import random
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lensneg.errors import StorageError, TransientError
from lensneg.storage.errors import aws_errors, error_code
from lensneg.storage.uri import Buffer, FileInfo, bucket_and_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: An object is read in parts of this size, so many at once: 64 MiB on their way at most.
PART_BYTES: Final = 8 << 20
_PARTS_AT_ONCE: Final = 8

#: A body that breaks off is asked for again, so often in all; see :func:`get_object`.
_READ_ATTEMPTS: Final = 6


@lru_cache(maxsize=1)
def s3_client() -> S3Client:
    """Return the process's S3 client: retries with full jitter, connections for parallel reads."""
    # Imported here: a run on local files should not wait for it.
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=64)
    return boto3.client("s3", config=config)


def head(uri: str) -> FileInfo:
    """Return size and ETag of an object."""
    bucket, key = bucket_and_key(uri)
    with aws_errors(uri):
        found = s3_client().head_object(Bucket=bucket, Key=key)
    return FileInfo(uri, found["ContentLength"], found["ETag"].strip('"'))


def list_objects(uri: str) -> list[FileInfo]:
    """Return all objects below a prefix, ordered by URI."""
    bucket, prefix = bucket_and_key(uri)
    infos = []
    with aws_errors(uri):
        pages = s3_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""):
            for entry in page.get("Contents", []):
                object_uri = f"s3://{bucket}/{entry['Key']}"
                infos.append(FileInfo(object_uri, entry["Size"], entry["ETag"].strip('"')))
    return sorted(infos)


def get_object(uri: str, start: int, size: int | None) -> bytes:
    """Return an object's bytes, or a range of them.

    botocore tries a request again that fails, with full jitter, but not one whose body breaks off; that it
    only tells, by the body's length. So that is done here.
    """
    for attempt in range(1, _READ_ATTEMPTS):
        try:
            return _get_object_once(uri, start, size)
        except _BodyBrokenOff:
            time.sleep(random.uniform(0, min(5.0, 0.1 * 2**attempt)))  # noqa: S311 (no secret)
    try:
        return _get_object_once(uri, start, size)
    except _BodyBrokenOff as error:
        raise TransientError(f"{error} in {_READ_ATTEMPTS} attempts") from error


class _BodyBrokenOff(Exception):  # noqa: N818 (never leaves this module)
    """An answer's body ended before its length, or is not what its checksum says."""


def _get_object_once(uri: str, start: int, size: int | None) -> bytes:
    from botocore.exceptions import BotoCoreError

    bucket, key = bucket_and_key(uri)
    with aws_errors(uri):
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
    try:
        return response["Body"].read()
    except (BotoCoreError, OSError) as error:
        raise _BodyBrokenOff(f"{uri}: {error}") from error


def put_object(uri: str, data: Buffer, if_absent: bool) -> bool:
    """Write an object; return whether it was written, which ``if_absent`` may forbid."""
    bucket, key = bucket_and_key(uri)
    try:
        with aws_errors(uri):
            if if_absent:
                s3_client().put_object(Bucket=bucket, Key=key, Body=bytes(data), IfNoneMatch="*")
            else:
                s3_client().put_object(Bucket=bucket, Key=key, Body=bytes(data))
    except StorageError as error:
        if error_code(error.__cause__) == "PreconditionFailed":
            # Perhaps our own first attempt, whose answer was lost on the way: then it is ours.
            return get_object(uri, 0, None) == bytes(data)
        raise
    return True


def put_file(path: str, uri: str) -> None:
    """Send a local file to S3, in one part and without holding it: its ETag is its MD5.

    Raises
    ------
    InputError
        If S3 refuses it.
    """
    bucket, key = bucket_and_key(uri)
    with aws_errors(uri), open(path, "rb") as file:
        s3_client().put_object(Bucket=bucket, Key=key, Body=file)


def upload(path: Path, uri: str, metadata: dict[str, str]) -> None:
    """Copy a file from this machine to S3, in several parts at once where it is large.

    Parameters
    ----------
    path : Path
    uri : str
        ``s3://bucket/key``.
    metadata : dict
        Kept with the object; see :func:`metadata`.
    """
    bucket, key = bucket_and_key(uri)
    # boto3 has its own error for a failed upload, which is not one of botocore's.
    from boto3.exceptions import S3UploadFailedError

    try:
        with aws_errors(uri):
            s3_client().upload_file(str(path), bucket, key, ExtraArgs={"Metadata": metadata})
    except S3UploadFailedError as error:
        raise TransientError(str(error), remedy="the same command tries again") from error


def metadata(uri: str) -> dict[str, str]:
    """Return what was stored with an object in S3 by :func:`upload`."""
    bucket, key = bucket_and_key(uri)
    with aws_errors(uri):
        return dict(s3_client().head_object(Bucket=bucket, Key=key)["Metadata"])


def delete_object(uri: str) -> None:
    """Delete an object; one that is not there is no error."""
    bucket, key = bucket_and_key(uri)
    with aws_errors(uri):
        s3_client().delete_object(Bucket=bucket, Key=key)


class S3Reader:
    """A range of an object in S3, in parts that are fetched in parallel and handed on in order.

    While a part is worked on the next ones are on their way: one connection to S3 is slower than the
    network, and than the work.
    """

    def __init__(self, uri: str, start: int, size: int) -> None:
        self._uri = uri
        stop = start + size
        self._ranges = iter(
            [(first, min(first + PART_BYTES, stop)) for first in range(start, stop, PART_BYTES)]
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
            first, stop = part
            self._coming.append(self._threads.submit(get_object, self._uri, first, stop - first))

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


class S3File(io.RawIOBase):
    """An object in S3 as a file: every read is a GET of its range, so large reads are what pays."""

    def __init__(self, uri: str, size: int) -> None:
        self._uri, self._size, self._place = uri, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._place)
        wanted = left if size < 0 else min(size, left)
        data = get_object(self._uri, self._place, wanted) if wanted else b""
        self._place += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
