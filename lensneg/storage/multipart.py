"""Uploads to S3 in parts that may come hours apart, and what follows one: a copy, and a deletion for good.

S3 keeps the parts of an upload until it is completed or aborted, and lists them.
"""

from collections.abc import Iterable
from typing import Any, Final

from lensneg.errors import StorageError, TransientError
from lensneg.storage.errors import aws_errors, error_code
from lensneg.storage.s3 import request, s3_client
from lensneg.storage.uri import bucket_and_key

#: S3 takes no smaller part than this, but for the last one (Amazon S3 user guide, multipart upload limits).
SMALLEST_PART: Final = 5 << 20

#: Bytes of a part that this program makes. An uploader that dies loses less than this.
PART: Final = 32 << 20

#: Bytes that one request copies.
COPY_PART: Final = 128 << 20


def begin(uri: str) -> str:
    """Begin an upload, and return its id."""
    return str(request("create_multipart_upload", uri)["UploadId"])


def put_chunks(uri: str, chunks: Iterable[bytes]) -> None:
    """Upload what is made piece by piece, in parts. If a piece cannot be made, nothing is left."""
    held, number, upload_id = bytearray(), 0, begin(uri)
    try:
        for chunk in chunks:
            held += chunk
            while len(held) >= PART:
                number += 1
                put_part(uri, upload_id, number, bytes(held[:PART]))
                del held[:PART]
        if held or not number:
            put_part(uri, upload_id, number + 1, bytes(held))
        complete(uri, upload_id)
    except BaseException:
        abort(uri, upload_id)
        raise


def list_parts(uri: str, upload_id: str) -> list[dict[str, Any]] | None:
    """Return the parts that S3 has, in order; None if there is no such upload (any more)."""
    bucket, key = bucket_and_key(uri)
    try:
        with aws_errors(uri):
            pages = s3_client().get_paginator("list_parts")
            found = pages.paginate(Bucket=bucket, Key=key, UploadId=upload_id)
            return [dict(part) for page in found for part in page.get("Parts", [])]
    except StorageError as error:
        if error_code(error.__cause__) == "NoSuchUpload":
            return None
        raise


def put_part(uri: str, upload_id: str, number: int, data: bytes) -> None:
    """Upload a part. S3 checks it by the CRC32 that botocore adds. One of the same number is replaced."""
    request("upload_part", uri, UploadId=upload_id, PartNumber=number, Body=data)


def complete(uri: str, upload_id: str) -> None:
    """Make the object of all parts. Their checksums are named where S3 lists them, as it may ask for them."""
    listed = list_parts(uri, upload_id)
    if listed is None:
        raise TransientError("the upload is not there any more", where=uri, remedy="it begins anew")
    named = ("PartNumber", "ETag")
    parts = [{k: v for k, v in part.items() if k in named or k.startswith("Checksum")} for part in listed]
    try:
        request("complete_multipart_upload", uri, UploadId=upload_id, MultipartUpload={"Parts": parts})
    except StorageError as error:
        if error_code(error.__cause__) != "NoSuchUpload":  # the first answer was lost, and this is the second
            raise


def abort(uri: str, upload_id: str) -> None:
    """Discard an upload with its parts. It is no error if there is none."""
    try:
        request("abort_multipart_upload", uri, UploadId=upload_id)
    except StorageError as error:
        if error_code(error.__cause__) != "NoSuchUpload":
            raise


def copy(source: str, target: str, metadata: dict[str, str]) -> None:
    """Copy an object within S3, in several parts at once where it is large."""
    from boto3.s3.transfer import TransferConfig

    bucket, key = bucket_and_key(source)
    to_bucket, to_key = bucket_and_key(target)
    config = TransferConfig(multipart_threshold=COPY_PART, multipart_chunksize=COPY_PART)
    options = {"Metadata": metadata, "MetadataDirective": "REPLACE"}
    with aws_errors(target):
        s3_client().copy({"Bucket": bucket, "Key": key}, to_bucket, to_key, ExtraArgs=options, Config=config)


def delete_version(uri: str) -> None:
    """Delete an object in such a way that no old version of it stays. It is no error if there is none."""
    try:
        version = request("head_object", uri).get("VersionId")
    except FileNotFoundError:
        return
    request("delete_object", uri, **({"VersionId": version} if version else {}))
