"""Files by URI: ``s3://bucket/key``, or a path on this machine. The one module that knows the difference.

Every write is atomic: a reader sees the old bytes or the new ones, never a part.
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import stat as stat_module
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from lensneg.errors import InputError, StorageError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
_DENIED = {"403", "AccessDenied", "AllAccessDisabled"}

#: What S3 answers when it was busy, slow or met with another writer: the same request may work a moment
#: later. Every answer of 500 and above, and 429, is of this kind, too; anything else would fail again.
_WORTH_RETRYING = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}

#: Variable that AWS sets in every Lambda function, and the one-machine run does not.
_IN_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"

#: An object is read in parts of this size, so many at once: 64 MiB on their way at most.
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 8
#: A body that breaks off is asked for again, so often in all; see :func:`_get_object`.
_READ_ATTEMPTS = 6

#: How the name of a local file begins until it is whole. Hidden, so that nobody takes it for one.
_TEMPORARY = ".writing-"

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
        If the scheme is neither ``s3`` nor ``file``, if an S3 URI names no bucket, or if a function on AWS
        is given a path of its own machine.
    """
    if _IN_LAMBDA in os.environ and not is_s3(uri):
        # Its files hold the role's keys, and an error message that quotes a file reaches whoever reads the
        # execution.
        raise InputError("on AWS every file is in S3; expected s3://bucket/key", where=repr(uri))
    if is_s3(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise InputError("expected s3://bucket/prefix", where=repr(uri))
        return f"s3://{bucket}/{key}".rstrip("/")
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri:
        raise InputError("expected a local path or s3://bucket/prefix", where=repr(uri))
    return os.path.abspath(os.path.expanduser(uri))


def join(uri: str, *parts: str) -> str:
    """Return the URI of something below another."""
    return "/".join([uri.rstrip("/"), *parts])


def basename(uri: str) -> str:
    """Return the last part of a URI."""
    return uri.rstrip("/").rpartition("/")[2]


def common_folder(uris: list[str]) -> str:
    """Return the deepest folder or prefix that holds all of some files.

    Examples
    --------
    >>> common_folder(["s3://sky/dr10/a/x.fits", "s3://sky/dr10/b/y.fits"])
    's3://sky/dr10'
    """
    folders = [uri.rpartition("/")[0] for uri in uris]
    if not folders or not is_s3(folders[0]):
        return os.path.commonpath(folders) if folders else ""
    return "s3://" + os.path.commonpath([folder.removeprefix("s3://") for folder in folders])


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
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnectionError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            raise FileNotFoundError(uri) from error
        if code in _DENIED:
            raise InputError("access denied", where=uri, remedy="grant this role access to it") from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _WORTH_RETRYING or status >= 500 or status == 429:
            raise TransientError(str(error), where=uri) from error
        hint = "check the bucket's name, its Region and your credentials"
        raise StorageError(str(error), where=uri, remedy=hint) from error
    except (HTTPClientError, NoConnectionError) as error:
        raise TransientError(str(error), where=uri) from error
    except BotoCoreError as error:
        raise StorageError(
            f"{error}", where=uri, remedy="check the bucket's name and your credentials"
        ) from error


#: What to do where a local file cannot be read or written. Other errors than these speak for themselves.
_REMEDIES = {
    errno.ENOSPC: "free some space there, and start again with the same run id",
    errno.EDQUOT: "your quota there is used up: free some space, and start again with the same run id",
    errno.EROFS: "it is mounted read-only: give another folder",
    errno.EACCES: "give yourself the permission, or another folder",
    errno.EPERM: "give yourself the permission, or another folder",
    errno.EIO: "the disk or the network file system is at fault: try again, or use another",
    errno.ESTALE: "the network file system has lost it: try again",
    errno.ENOTDIR: "something on the way there is not a folder: check the path",
    errno.ELOOP: "its symbolic links lead in a circle: check the path",
    errno.ENAMETOOLONG: "the name is too long: check the path",
}


@contextmanager
def _disk_errors(uri: str) -> Iterator[None]:
    """Turn the operating system's errors into ones that say what to do.

    A file that is not there, or is a folder, stays the error that it is: callers expect these.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, FileExistsError):
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the path and the disk")
        raise StorageError(f"{error.strerror or error}", where=uri, remedy=remedy) from error


def _local_info(path: Path) -> FileInfo:
    with _disk_errors(str(path)):
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
            _local_info(path)
            for folder, _, names in _walk(root)
            for name in names
            if not name.startswith(".") and not _is_broken_link(path := folder / name)
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


def list_sweep_folder(folder: str, option: str = "") -> list[FileInfo]:
    """Return all files below a folder or prefix that a person named, in an option, as that of the sweeps.

    Raises
    ------
    InputError
        If a local folder does not exist.
    """
    try:
        return list_files(normalize(folder))
    except FileNotFoundError as error:
        named = f"{option} {folder}".strip()
        raise InputError(
            "no such folder", where=named, remedy="name the one that holds the sweep files"
        ) from error


def list_non_files(uri: str) -> list[str]:
    """Return all folders and broken links below a folder, or folders below a prefix, ordered."""
    if not is_s3(uri):
        return sorted(
            str(folder / name)
            for folder, below, names in _walk(Path(uri))
            for name in (*below, *names)
            if name in below or _is_broken_link(folder / name)
        )
    parts = (info.uri.removeprefix(f"{uri}/").split("/")[:-1] for info in list_files(uri))
    return sorted({join(uri, *names[: i + 1]) for names in parts for i in range(len(names))})


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Iterate over a folder and all below it, links included, each once even where links make a circle."""
    seen = set()
    with _disk_errors(str(root)):
        for folder, below, names in os.walk(root, followlinks=True):
            status = os.stat(folder)
            place = (status.st_dev, status.st_ino)
            if place in seen:
                below.clear()
                continue
            seen.add(place)
            yield Path(folder), below, names


def _is_broken_link(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def read_bytes(uri: str, start: int = 0, size: int | None = None) -> bytes:
    """Return a file's bytes, or a range of them (shorter where the file ends before it).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not is_s3(uri):
        with _disk_errors(uri), _open_local(uri, -1) as file:
            file.seek(start)
            return bytes(file.read(-1 if size is None else size))
    return _get_object(uri, start, size)


def _open_local(uri: str, buffering: int) -> Any:
    """Open a file for reading; a pipe or a device could keep us waiting for ever."""
    kind = os.stat(uri).st_mode
    if not stat_module.S_ISREG(kind) and not stat_module.S_ISDIR(kind):
        raise InputError(
            "neither a file nor a folder but a pipe or a device", where=uri, remedy="give a file"
        )
    return open(uri, "rb", buffering=buffering)


def _get_object(uri: str, start: int, size: int | None) -> bytes:
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
    try:
        return response["Body"].read()
    except (BotoCoreError, OSError) as error:
        raise _BodyBrokenOff(f"{uri}: {error}") from error


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
    except StorageError as error:
        response = getattr(error.__cause__, "response", {})
        if response.get("Error", {}).get("Code") == "PreconditionFailed":
            # Perhaps our own first attempt, whose answer was lost on the way: then it is ours.
            return read_bytes(uri) == bytes(data)
        raise
    return True


def _write_local(path: Path, data: Buffer, if_absent: bool, durable: bool) -> bool:
    with _disk_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{_TEMPORARY}{path.name}.")
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


def remove_temporary_files(folder: str) -> None:
    """Remove what writers that were killed left below a local folder. None may be at work there."""
    if is_s3(folder):
        return  # S3 shows an object when it is whole
    for place, _, names in _walk(Path(folder)):
        for name in names:
            if name.startswith(_TEMPORARY):
                (place / name).unlink(missing_ok=True)


def put_file(path: str, uri: str) -> None:
    """Send a local file to S3, in one part and without holding it: its ETag is its MD5.

    Raises
    ------
    InputError
        If S3 refuses it.
    """
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri), open(path, "rb") as file:
        s3_client().put_object(Bucket=bucket, Key=key, Body=file)


def write_json(uri: str, value: Any, *, if_absent: bool = False, durable: bool = True) -> bool:
    """Write a value as JSON; see :func:`write_bytes`."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    return write_bytes(uri, text.encode() + b"\n", if_absent=if_absent, durable=durable)


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
        with _s3_errors(uri):
            s3_client().upload_file(str(path), bucket, key, ExtraArgs={"Metadata": metadata})
    except S3UploadFailedError as error:
        raise TransientError(str(error), remedy="the same command tries again") from error


def metadata(uri: str) -> dict[str, str]:
    """Return what was stored with an object in S3 by :func:`upload`."""
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        return dict(s3_client().head_object(Bucket=bucket, Key=key)["Metadata"])


def delete(uri: str) -> None:
    """Delete a file; one that is not there is no error."""
    if not is_s3(uri):
        Path(uri).unlink(missing_ok=True)
        return
    bucket, key = bucket_and_key(uri)
    with _s3_errors(uri):
        s3_client().delete_object(Bucket=bucket, Key=key)


class _LocalReader:
    """A range of a local file, read without a buffer between the kernel and the caller's."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self._path, self._left = path, size
        with _disk_errors(path):
            self._file = _open_local(path, 0)
            self._file.seek(start)

    def readinto(self, buffer: memoryview, /) -> int:
        with _disk_errors(self._path):
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
            first, stop = part
            self._coming.append(self._threads.submit(read_bytes, self._uri, first, stop - first))

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


class _S3File(io.RawIOBase):
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
        data = read_bytes(self._uri, self._place, wanted) if wanted else b""
        self._place += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def open_file(uri: str, size: int) -> BinaryIO:
    """Open a file of a known size, of which parts are read, here and there."""
    if is_s3(uri):
        return cast(BinaryIO, _S3File(uri, size))
    with _disk_errors(uri):
        return cast(BinaryIO, _open_local(uri, 0))


def open_range(uri: str, start: int, size: int) -> Reader:
    """Open ``size`` bytes of a file from ``start`` on."""
    if size <= 0:
        raise ValueError(f"size {size}: expected at least one byte")
    return _S3Reader(uri, start, size) if is_s3(uri) else _LocalReader(uri, start, size)
