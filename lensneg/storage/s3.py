"""Objects in S3: requests, uploads, streams of a range, and objects as files."""

import io
import os
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lensneg.errors import StorageError, TransientError
from lensneg.storage.errors import PAID_READS, REQUESTER_PAYS_VARIABLE, aws_errors, error_code
from lensneg.storage.uri import FileInfo, bucket_and_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: An object is read in parts of this size, several at once. At most 64 MiB are requested at a time.
PART_BYTES: Final = 8 << 20
_PARTS_AT_ONCE: Final = 8

#: The number of requests for a body that breaks off; see :func:`get_object`.
_READ_ATTEMPTS: Final = 6


@lru_cache(maxsize=1)
def s3_client() -> "S3Client":
    """Return the process's S3 client: retries with full jitter, connections for parallel reads.

    It says that it pays for reads to the buckets that the variable ``LENSNEG_REQUESTER_PAYS`` names.
    """
    # boto3 takes long to import, and a run on local files does not need it.
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=64)
    client = boto3.client("s3", config=config)
    buckets = os.environ.get(REQUESTER_PAYS_VARIABLE, "").split(",")

    def pay(params: dict[str, Any], **_: Any) -> None:
        if params["Bucket"] in buckets:
            params["RequestPayer"] = "requester"

    for operation in PAID_READS:
        client.meta.events.register(f"provide-client-params.s3.{operation}", pay)
    return client


def request(operation: str, uri: str, **options: Any) -> Any:
    """Call the method ``operation`` of the S3 client for one object."""
    bucket, key = bucket_and_key(uri)
    with aws_errors(uri):
        return getattr(s3_client(), operation)(Bucket=bucket, Key=key, **options)


def head(uri: str) -> FileInfo:
    """Return size and ETag of an object."""
    found = request("head_object", uri)
    return FileInfo(uri, found["ContentLength"], found["ETag"].strip('"'))


def metadata(uri: str) -> dict[str, str]:
    """Return the metadata that :func:`upload` stored with an object."""
    return dict(request("head_object", uri)["Metadata"])


def list_objects(uri: str, deep: bool = True) -> list[FileInfo]:
    """Return all objects below a prefix, at any depth or without those of its folders, ordered by URI.

    An object whose key ends with a slash is no file: consoles and Hadoop mark an empty folder with it.
    """
    bucket, prefix = bucket_and_key(uri)
    depth: dict[str, Any] = {} if deep else {"Delimiter": "/"}
    with aws_errors(uri):
        pages = s3_client().get_paginator("list_objects_v2")
        return sorted(
            FileInfo(f"s3://{bucket}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'))
            for page in pages.paginate(Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **depth)
            for entry in page.get("Contents", [])
            if not entry["Key"].endswith("/")
        )


def get_object(uri: str, start: int, size: int | None) -> bytes:
    """Return an object's bytes, or a range of them.

    botocore repeats a request that fails, with full jitter. It does not repeat a request whose body breaks
    off, but only reports it. This function repeats those requests.
    """
    attempt = 1
    while True:
        try:
            return _get_object_once(uri, start, size)
        except _BodyBrokenOff as error:
            if attempt == _READ_ATTEMPTS:
                raise TransientError(f"{error} in {_READ_ATTEMPTS} attempts") from error
        time.sleep(random.uniform(0, min(5.0, 0.1 * 2**attempt)))  # noqa: S311 (no secret)
        attempt += 1


class _BodyBrokenOff(Exception):  # noqa: N818 (never leaves this module)
    """The body of an answer is shorter than its length, or does not match its checksum."""


def _get_object_once(uri: str, start: int, size: int | None) -> bytes:
    from botocore.exceptions import BotoCoreError

    stop = "" if size is None else str(start + size - 1)
    part = {"Range": f"bytes={start}-{stop}"} if start or stop else {}
    try:
        body = request("get_object", uri, **part)["Body"]
    except StorageError as error:
        if error_code(error.__cause__) == "InvalidRange":
            return b""  # the object ends before the range
        raise
    try:
        return bytes(body.read())
    except (BotoCoreError, OSError) as error:
        raise _BodyBrokenOff(f"{uri}: {error}") from error


def put_object(uri: str, data: bytes | memoryview, if_absent: bool) -> bool:
    """Write an object; return whether it was written, which ``if_absent`` may forbid."""
    try:
        request("put_object", uri, Body=bytes(data), **({"IfNoneMatch": "*"} if if_absent else {}))
    except StorageError as error:
        if error_code(error.__cause__) == "PreconditionFailed":
            # The object may be from this call's first attempt, if the answer to that was lost.
            return get_object(uri, 0, None) == bytes(data)
        raise
    return True


def put_file(path: str, uri: str, metadata: dict[str, str] | None = None) -> None:
    """Send a local file to S3 in one part. The file is not held in memory.

    Its ETag is its MD5, unless a key of KMS encrypts the bucket.

    Raises
    ------
    InputError
        If S3 refuses it.
    """
    with open(path, "rb") as file:
        request("put_object", uri, Body=file, Metadata=metadata or {})


def upload(path: Path, uri: str, metadata: dict[str, str]) -> None:
    """Copy a file from this machine to S3, in several parts at once where it is large.

    Parameters
    ----------
    path : Path
        The local file.
    uri : str
        ``s3://bucket/key``.
    metadata : dict
        Stored with the object; see :func:`metadata`.

    Raises
    ------
    InputError
        If there is no such bucket, or access is denied.
    TransientError
        If S3 cannot be reached, or is busy.
    """
    bucket, key = bucket_and_key(uri)
    # upload_file would replace botocore's errors, which say what is wrong, by one of its own.
    with open(path, "rb") as file, aws_errors(uri):
        s3_client().upload_fileobj(file, bucket, key, ExtraArgs={"Metadata": metadata})


def delete_object(uri: str) -> None:
    """Delete an object. It is no error if there is none."""
    request("delete_object", uri)


#: Returns ``size`` bytes of a file from ``start`` on: ``get(uri, start, size)``.
Get = Callable[[str, int, int], bytes]


class S3Reader:
    """A range of an object in S3, in parts that are fetched in parallel and returned in order.

    The next parts are fetched while the caller works on one: a single connection to S3 is slower than the
    network, and than the work. With another ``get`` it reads a file elsewhere.
    """

    def __init__(self, uri: str, start: int, size: int, get: Get | None = None) -> None:
        self._uri, self._stop, self._get = uri, start + size, get or get_object
        self._starts = iter(range(start, self._stop, PART_BYTES))
        self._threads = ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="s3-part")
        self._coming: deque[Future[bytes]] = deque()
        self._part = memoryview(b"")
        for _ in range(_PARTS_AT_ONCE):
            self._request_next()
        self._take()  # a missing object is an error here, not at the first read

    def _request_next(self) -> None:
        start = next(self._starts, None)
        if start is not None:
            size = min(PART_BYTES, self._stop - start)
            self._coming.append(self._threads.submit(self._get, self._uri, start, size))

    def _take(self) -> None:
        if self._coming:
            self._part = memoryview(self._coming.popleft().result())
            self._request_next()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer. Return the number of bytes, 0 at the end."""
        if not self._part:
            self._take()
        count = min(len(buffer), len(self._part))
        buffer[:count] = self._part[:count]
        self._part = self._part[count:]
        return count

    def close(self) -> None:
        """Drop the parts that were not read."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class S3File(io.RawIOBase):
    """An object in S3 as a file. Every read is a request for its range, so reads should be large.

    With another ``get`` it is a file elsewhere.
    """

    def __init__(self, uri: str, size: int, get: Get | None = None) -> None:
        self._uri, self._size, self._place, self._get = uri, size, 0, get or get_object

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Change the position, and return it."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        """Return the next ``size`` bytes, or all that are left."""
        left = max(0, self._size - self._place)
        wanted = left if size < 0 else min(size, left)
        data = self._get(self._uri, self._place, wanted) if wanted else b""
        self._place += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill some of the buffer. Return the number of bytes, 0 at the end."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
