"""URIs: ``s3://bucket/key``, or a path on this machine."""

import os
from typing import Any, Final, NamedTuple, Protocol

from lensneg.errors import InputError

#: Variable that AWS sets in every Lambda function, and the one-machine run does not.
_IN_LAMBDA: Final = "AWS_LAMBDA_FUNCTION_NAME"

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
