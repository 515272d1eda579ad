"""URIs: ``s3://bucket/key``, or a path on this machine."""

import os
from typing import Final, NamedTuple

from lensneg.errors import InputError

#: AWS sets this variable in every Lambda function; the one-machine run does not.
_IN_LAMBDA: Final = "AWS_LAMBDA_FUNCTION_NAME"


class FileInfo(NamedTuple):
    """A file or object: its size in bytes, and a tag that changes when its bytes do."""

    uri: str
    size: int
    etag: str


def is_s3(uri: str) -> bool:
    """Return whether a URI names an object in S3."""
    return uri.startswith("s3://")


def is_http(uri: str) -> bool:
    """Return whether a URI is the address of a file or a folder on a web server."""
    return uri.startswith(("http://", "https://"))


def normalize_readable(uri: str) -> str:
    """Return the URI of what is only read, as :func:`normalize`. On one machine it may be on a web server."""
    if is_http(uri) and _IN_LAMBDA not in os.environ:
        return uri.rstrip("/")
    return normalize(uri)


def normalize(uri: str) -> str:
    """Return a URI without trailing slash; a local path becomes absolute.

    Raises
    ------
    InputError
        If the scheme is neither ``s3`` nor ``file``, if an S3 URI names no bucket, or if a function on AWS
        gets a path of its own machine.
    """
    if is_s3(uri):
        bucket, key = bucket_and_key(uri)
        if not bucket:
            raise InputError("expected s3://bucket/prefix", where=repr(uri))
        return f"s3://{bucket}/{key}".rstrip("/")
    if _IN_LAMBDA in os.environ:
        # The machine's files hold the role's keys. An error message that quotes a file is shown to everyone
        # who can read the execution.
        raise InputError("on AWS every file is in S3; expected s3://bucket/key", where=repr(uri))
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri:
        raise InputError("expected a local path or s3://bucket/prefix", where=repr(uri))
    return os.path.abspath(os.path.expanduser(uri))


def join(uri: str, *parts: str) -> str:
    """Return the URI of a file or folder below another."""
    return "/".join([uri.rstrip("/"), *parts])


def basename(uri: str) -> str:
    """Return the last part of a URI."""
    return uri.rstrip("/").rpartition("/")[2]


def common_folder(uris: list[str]) -> str:
    """Return the deepest folder or prefix that holds all of some files; empty if there are none.

    Examples
    --------
    >>> common_folder(["s3://sky/dr10/a/x.fits", "s3://sky/dr10/b/y.fits"])
    's3://sky/dr10'
    """
    folders = [uri.rpartition("/")[0] for uri in uris]
    scheme, found, _ = folders[0].partition("://") if folders else ("", "", "")
    if not found:
        return os.path.commonpath(folders) if folders else ""
    prefix = f"{scheme}://"
    return prefix + os.path.commonpath([folder.removeprefix(prefix) for folder in folders])


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return a URI as the S3 readers of Step Functions expect it.

    A local path becomes a key in the bucket ``local``, which the one-machine run serves.
    """
    if is_s3(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bucket, key
    return "local", uri.lstrip("/")
