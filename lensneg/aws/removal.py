"""The removal of objects from a bucket, with all their versions.

Only the smoke test removes objects. It removes what is below prefixes that nobody else uses: nothing is
there before it starts.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from lensneg.aws.calls import Aws
from lensneg.errors import InputError, LensnegError
from lensneg.schema.publication import Latest
from lensneg.storage.errors import aws_errors, error_code

#: Number of objects that one call of DeleteObjects may name.
_OBJECTS_PER_CALL: Final = 1000

#: Number of times that a prefix is listed, as an object may arrive while others are removed.
_LISTINGS: Final = 5


class Version(NamedTuple):
    """A version of an object, or a delete marker. ``version_id`` is ``null`` in a bucket without versions."""

    key: str
    version_id: str
    etag: str
    written: datetime


def list_versions(aws: Aws, bucket: str, prefix: str) -> Iterator[Version]:
    """Yield all versions and delete markers of the objects below a prefix.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    bucket : str
        The bucket.
    prefix : str
        The beginning of the keys.

    Yields
    ------
    Version
    """
    with aws_errors(f"s3://{bucket}/{prefix}", "s3:ListBucketVersions"):
        pages = aws.client("s3").get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for found in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                etag = found.get("ETag", "").strip('"')
                yield Version(found["Key"], found["VersionId"], etag, found["LastModified"])


def refuse_what_is_there(aws: Aws, bucket: str, prefixes: Iterable[str]) -> None:
    """Refuse prefixes that are in use.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    bucket : str
        The bucket.
    prefixes : iterable of str
        The prefixes.

    Raises
    ------
    InputError
        If there is an object below one of them.
    """
    for prefix in prefixes:
        for version in list_versions(aws, bucket, prefix):
            what = f"there is {version.key} already, which is not of this smoke test"
            raise InputError(
                what, where=f"s3://{bucket}/{prefix}", remedy="start again: it takes another name"
            )


def remove_below(aws: Aws, bucket: str, prefixes: Iterable[str]) -> int:
    """Remove all versions of all objects below prefixes.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    bucket : str
        The bucket.
    prefixes : iterable of str
        The prefixes.

    Returns
    -------
    int
        Number of versions and delete markers that were removed.

    Raises
    ------
    InputError
        If S3 does not remove one of them.
    StorageError
        If objects arrive again and again.
    """
    removed, prefixes = 0, tuple(prefixes)
    for _ in range(_LISTINGS):
        found = [version for prefix in prefixes for version in list_versions(aws, bucket, prefix)]
        if not found:
            return removed
        for i in range(0, len(found), _OBJECTS_PER_CALL):
            _delete(aws, bucket, found[i : i + _OBJECTS_PER_CALL])
        removed += len(found)
    what = f"objects arrive again and again, {found[-1].key} for example"
    raise LensnegError(what, where=f"s3://{bucket}", remedy=_by_hand(bucket, prefixes))


def _delete(aws: Aws, bucket: str, versions: list[Version]) -> None:
    objects = [{"Key": version.key, "VersionId": version.version_id} for version in versions]
    with aws_errors(f"s3://{bucket}", "s3:DeleteObjectVersion"):
        answer = aws.client("s3").delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    errors: list[dict[str, Any]] = answer.get("Errors", [])
    if errors:
        first = errors[0]
        what = f"{len(errors)} of {len(objects)} objects are not removed, {first.get('Key')} for example: "
        what += f"{first.get('Message')} ({first.get('Code')})"
        remedy = "grant s3:DeleteObjectVersion; then " + _by_hand(
            bucket, [version.key for version in versions]
        )
        raise InputError(what, where=f"s3://{bucket}", remedy=remedy)


def _by_hand(bucket: str, keys: Iterable[str]) -> str:
    first = next(iter(keys), "")
    return f"remove them, with their versions, in S3's console: s3://{bucket}/{first} and what is beside it"


def put_back_latest(
    aws: Aws, bucket: str, key: str, run_id: str, before: bytes | None, since: datetime
) -> str:
    """Make latest.json name the run that it named before a run was published.

    In a bucket with versions the run's own version is removed, and the one before is valid again. In another
    bucket the earlier content is written, if latest.json still names the run.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    bucket, key : str
        Where latest.json is.
    run_id : str
        The run.
    before : bytes or None
        The content before the run was published; None if there was none.
    since : datetime
        A time before the run was published.

    Returns
    -------
    str
        What was done, in words.
    """
    s3, uri = aws.client("s3"), f"s3://{bucket}/{key}"
    done = "latest.json is as it was"
    for version in [v for v in list_versions(aws, bucket, key) if v.key == key and v.written >= since]:
        if not version.etag:  # a delete marker, which no run writes
            continue
        chosen = {"Bucket": bucket, "Key": key}
        with aws_errors(uri, "s3:GetObjectVersion"):
            body = s3.get_object(**chosen, VersionId=version.version_id)["Body"].read()
        if not _names(body, uri, run_id):
            continue
        if version.version_id != "null":
            with aws_errors(uri, "s3:DeleteObjectVersion"):
                s3.delete_object(**chosen, VersionId=version.version_id)
        else:
            done = _replace_only_version(s3, chosen, version.etag, before, uri)
    return done


def _names(body: bytes, uri: str, run_id: str) -> bool:
    try:
        return Latest.of_json(body, uri).run_id == run_id
    except LensnegError:
        return False  # damaged, so it is not what the run wrote


def _replace_only_version(s3: Any, chosen: dict[str, str], etag: str, before: bytes | None, uri: str) -> str:
    """Write latest.json back, or remove it, if nobody has written it in the meantime."""
    try:
        with aws_errors(uri, "s3:PutObject" if before else "s3:DeleteObject"):
            if before is None:
                s3.delete_object(**chosen, IfMatch=etag)
                return "latest.json is removed, as there was none"
            s3.put_object(**chosen, Body=before, IfMatch=etag)
            return "latest.json names the run that it named before"
    except (LensnegError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) or error_code(error.__cause__) == "PreconditionFailed":
            return "latest.json was written by someone else"
        raise
