"""Calls of AWS: what each error says to do, and which of them are replaced by our own."""

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from cloud import refusal
from moto.core.botocore_stubber import MockRawResponse

from lensneg.aws.calls import Aws, Call, in_place_of
from lensneg.errors import InputError, TransientError
from lensneg.storage.errors import aws_errors


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), "no AWS credentials.*AWS_PROFILE"),
        (NoRegionError(), "AWS_DEFAULT_REGION"),
        (refusal("ExpiredTokenException", "old"), "does not accept the credentials.*aws sso login"),
        (refusal("AccessDeniedException", "no"), "lack states:StartExecution"),
        (
            refusal("AccessDenied", "User: x is not authorized to perform: iam:PassRole on resource: y"),
            "lack iam:PassRole",
        ),
        (refusal("ExecutionDoesNotExist", "gone"), "stepfunctions: refuses states:StartExecution: gone"),
    ],
)
def test_errors_say_what_to_do(error: Exception, expected: str) -> None:
    with (
        pytest.raises(InputError, match=expected),
        aws_errors("stepfunctions", Call("stepfunctions", "start_execution").iam_action),
    ):
        raise error


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "TooManyRequestsException", "InternalFailure", "InternalServerException",
     "ServiceException", "ServiceUnavailable"],
)  # fmt: skip
def test_what_is_not_the_users_fault_may_be_tried_again(code: str) -> None:
    with pytest.raises(TransientError, match="tries again"), aws_errors("lambda", "lambda:X"):
        raise refusal(code, "slow")


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("sts", "get_caller_identity", {}),
        ("s3", "get_bucket_location", {"Bucket": "sky"}),
        ("stepfunctions", "describe_execution", {"executionArn": "arn:x"}),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message": "x"}'])
def test_an_error_500_of_any_content_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, service: str, operation: str, parameters: dict[str, str], body: bytes
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    config = Config(retries={"total_max_attempts": 1})

    def answering(name: str) -> Any:
        client = boto3.client(name, region_name="us-east-1", config=config)
        answer = AWSResponse("https://x", 500, {"content-length": str(len(body))}, MockRawResponse(body))
        client.meta.events.register_first("before-send.*", lambda **_: answer)
        return client

    with pytest.raises(TransientError):
        Aws(make_client=answering).read(service, operation, **parameters)


def test_one_answer_of_aws_is_replaced_and_others_are_not() -> None:
    ours = InputError("no such role", where="role r")

    def refused(code: str) -> ClientError:
        return refusal(code, "no")

    for code, expected in (
        ("NoSuchEntity", "role r: no such role"),
        ("ValidationError", "refuses iam:GetRole"),
    ):
        with (
            pytest.raises(InputError, match=expected),
            in_place_of("NoSuchEntity", ours),
            aws_errors("iam", "iam:GetRole"),
        ):
            raise refused(code)


def test_a_dry_run_reads_and_changes_nothing() -> None:
    class Machine:
        def describe_execution(self, **_: str) -> dict[str, str]:
            return {"status": "RUNNING"}

    aws = Aws(dry=True, make_client=lambda _: Machine())
    for _ in range(2):
        assert aws.read("stepfunctions", "describe_execution", executionArn="a") == {"status": "RUNNING"}
    assert aws.change("stepfunctions", "stop_execution", executionArn="a") == {}
    assert aws.made == [
        "aws stepfunctions describe-execution --execution-arn a",
        "aws stepfunctions stop-execution --execution-arn a",
    ]
