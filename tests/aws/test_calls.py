"""Calls of AWS: what each error says to do, and which of them are replaced by our own."""

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from cloud import refusal

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


def test_throttling_may_be_tried_again() -> None:
    with pytest.raises(TransientError, match="tries again"), aws_errors("lambda", "lambda:X"):
        raise refusal("ThrottlingException", "slow")


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
