"""The local worker process, in which IAM decides each call of S3, and which notes them all in a file.

The file that POLICIES names has the statements of each function's role, and the bucket's key if it has one.
A call that none allows gets S3's answer of 403 and does not reach the server; so does a read of a missing
object by a role that may not list. The calls go to the file that CALLS names.
"""

import json
import os
import sys
from typing import Any

sys.path[:0] = sys.argv[1:3]

import boto3  # noqa: E402
from botocore.awsrequest import AWSResponse  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from iam import Asked, S3Call, allowing, refusal  # noqa: E402
from moto.core.botocore_stubber import MockRawResponse  # noqa: E402

from lensneg import storage  # noqa: E402
from lensneg.local import worker  # noqa: E402

plain = worker.invoke

DENIED = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>{}</Message></Error>"


def is_missing(call: S3Call) -> bool:
    """Whether there is no such object. Asked by another client, which nobody decides about."""
    try:
        boto3.client("s3").head_object(Bucket=call.bucket, Key=call.key)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    return False


class Account:
    """The account in which a function is called."""

    def __init__(self, function_name: str) -> None:
        self.function_name = function_name
        with open(os.environ["POLICIES"]) as file:
            account = json.load(file)
        self.statements, self.key_arn = account["roles"][function_name], account["key"]

    def refused(self, call: S3Call) -> Asked | None:
        """What the function's role may not do of a call, if anything."""
        of_key = call.asked_of_key(self.key_arn) if self.key_arn else []
        for asked in (call.asked, *of_key):
            if not allowing(self.statements, asked):
                return asked
        reads = call.operation in ("GetObject", "HeadObject")
        if reads and not allowing(self.statements, call.asked_if_missing) and is_missing(call):
            return call.asked_if_missing
        return None

    def decide(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        """Answer a request that is refused in S3's place; let others pass."""
        call = S3Call.of_request(event_name.rpartition(".")[2], request.url)
        asked = self.refused(call)
        if asked is None:
            return None
        text = DENIED.format(refusal(f"{self.function_name}Role", asked)).encode()
        body = b"" if request.method == "HEAD" else text
        return AWSResponse(request.url, 403, {"content-type": "application/xml"}, MockRawResponse(body))

    def note(self, http_response: Any, model: Any, **_: Any) -> None:
        """Note a call and how it ended."""
        call = S3Call.of_request(model.name, http_response.url)
        noted = [self.function_name, call.operation, call.key, call.prefix, http_response.status_code]
        with open(os.environ["CALLS"], "a") as calls:
            print(json.dumps(noted), file=calls)


def decided(function_name: str, body: str) -> dict[str, Any]:
    """Run a handler in the account."""
    account, events = Account(function_name), storage.s3_client().meta.events
    events.register_first("before-send.s3", account.decide)
    events.register("after-call.s3", account.note)
    try:
        return plain(function_name, body)
    finally:
        events.unregister("before-send.s3", account.decide)
        events.unregister("after-call.s3", account.note)


if __name__ == "__main__":
    worker.invoke = decided
    worker.main()
