"""The smoke test's own stack: sam is a script here, and botocore's models check every call of AWS."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cloud import NOON

from lensneg.aws.calls import Aws
from lensneg.aws.own_stack import OwnStack, require_tools
from lensneg.errors import InputError, LensnegError

NAME = "lensneg-smoke-1"
IMAGES, REPOSITORY = f"{NAME}-0123abcd-CompanionStack", f"{NAME}-repository"


class Account:
    """Clients whose answers are given beforehand, in order; another call is an error."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        services = ("cloudformation", "emr-serverless", "ecr", "logs", "s3")
        self.clients: dict[str, Any] = {name: boto3.client(name, **keys) for name in services}  # type: ignore[call-overload]
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()

    def answers(self, service: str, operation: str, answer: dict[str, Any], **parameters: Any) -> None:
        self.stubs[service].add_response(operation, answer, parameters)

    def refuses(
        self, service: str, operation: str, code: str, message: str = "no", **parameters: Any
    ) -> None:
        self.stubs[service].add_client_error(operation, code, message, expected_params=parameters)

    def has_stacks(self, *names: str) -> None:
        stacks = [{"StackName": n, "CreationTime": NOON, "StackStatus": "CREATE_COMPLETE"} for n in names]
        self.answers("cloudformation", "describe_stacks", {"Stacks": stacks})

    def has_resources(
        self, stack: str, *resources: tuple[str, str, str], status: str = "CREATE_COMPLETE"
    ) -> None:
        summaries = [
            {
                "LogicalResourceId": logical,
                "PhysicalResourceId": physical,
                "ResourceType": kind,
                "LastUpdatedTimestamp": NOON,
                "ResourceStatus": status,
            }
            for logical, physical, kind in resources
        ]
        answer = {"StackResourceSummaries": summaries}
        self.answers("cloudformation", "list_stack_resources", answer, StackName=stack)

    def application_is(self, state: str) -> None:
        arn = "arn:aws:emr-serverless:us-east-1:123456789012:/applications/app1"
        application = {"applicationId": "app1", "arn": arn, "releaseLabel": "emr-7.13.0", "type": "Spark"}
        application |= {"state": state, "createdAt": NOON, "updatedAt": NOON}  # type: ignore[dict-item]
        self.answers("emr-serverless", "get_application", {"application": application}, applicationId="app1")

    def has_objects(self, bucket: str, prefix: str, *keys: str) -> None:
        """Objects that are listed, removed, and not listed again."""
        versions = [{"Key": k, "VersionId": "v", "ETag": "e", "LastModified": NOON} for k in keys]
        for listed in (versions, []) if keys else ([],):
            answer = {"Versions": listed}
            self.answers("s3", "list_object_versions", answer, Bucket=bucket, Prefix=prefix)
            if listed:
                objects = [{"Key": key, "VersionId": "v"} for key in keys]
                self.answers(
                    "s3", "delete_objects", {}, Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
                )

    def is_done(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A checkout whose PATH has the programs that are given, each with its text in sh."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (tmp_path / "template.yaml").touch()
    monkeypatch.setenv("PATH", str(bin_folder))

    def make(**programs: str) -> Path:
        for name, text in programs.items():
            path = bin_folder / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        return tmp_path

    return make


def own_stack(account: Account, root: Path = Path()) -> OwnStack:
    account.has_stacks("lensneg", "lensneg-smoke-10")
    return OwnStack(Aws(make_client=account.clients.__getitem__), NAME, root, lambda _: None)


def test_what_a_deployment_needs_is_looked_for_and_each_lack_named(checkout: Callable[..., Path]) -> None:
    root = checkout()
    with pytest.raises(InputError, match=r"no make.*install make.*--stack"):
        require_tools(root)
    checkout(make="exit 0")
    with pytest.raises(InputError, match=r"no container engine \(docker, finch\).*install Docker.*--stack"):
        require_tools(root)
    checkout(docker="echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(InputError, match=r"Cannot connect to the Docker daemon; start it, or.*--stack"):
        require_tools(root)
    checkout(docker="exit 0")
    require_tools(root)
    (root / "template.yaml").unlink()
    with pytest.raises(InputError, match=r"no template\.yaml.*from a checkout.*--stack"):
        require_tools(root)


def test_it_is_deployed_under_its_own_name(account: Account, checkout: Callable[..., Path]) -> None:
    root = checkout(make='echo "$PWD: $*" >> calls')
    stack = own_stack(account, root)
    account.refuses("cloudformation", "describe_stacks", "ValidationError", StackName=NAME)
    with pytest.raises(InputError, match=f"stack {NAME}: no such stack"):  # as the script deploys nothing
        stack.deploy()
    assert (root / "calls").read_text() == f"{root}: deploy STACK={NAME}\n"


def test_what_make_says_is_in_the_error(account: Account, checkout: Callable[..., Path]) -> None:
    root = checkout(make='echo "building"; echo "Error: no space left in ECR" >&2; exit 2')
    what = rf"make deploy STACK={NAME}: exit code 2: building \| Error: no space left in ECR"
    with pytest.raises(InputError, match=what):
        own_stack(account, root).deploy()


def test_a_stack_of_its_name_is_refused(account: Account) -> None:
    account.has_stacks(NAME)
    with pytest.raises(InputError, match="there is such a stack"):
        OwnStack(Aws(make_client=account.clients.__getitem__), NAME)


def test_stack_image_logs_and_bucket_are_removed_and_nothing_else(account: Account) -> None:
    stack = own_stack(account)
    others = ("lensneg", f"{NAME}0-repository", f"{NAME}-tools", "lensneg-0123abcd-CompanionStack")
    account.has_stacks(*others, "lensneg-repository", NAME, IMAGES, REPOSITORY)
    bucket = ("DataBucket", "data-1", "AWS::S3::Bucket")
    application = ("EmrApplication", "app1", "AWS::EMRServerless::Application")
    logs = [("Kept", "/aws/lambda/kept"), ("Gone", "/aws/vendedlogs/gone")]
    others_of_it = [
        *((*entry, "AWS::Logs::LogGroup") for entry in logs),
        ("Topic", "arn:t", "AWS::SNS::Topic"),
    ]
    for _ in range(3):
        account.has_resources(NAME, bucket, application, *others_of_it)
    account.application_is("STARTED")
    account.answers("emr-serverless", "stop_application", {}, applicationId="app1")
    account.application_is("STOPPING")
    account.application_is("STOPPED")
    account.has_resources(IMAGES, ("F", "lensneg/f", "AWS::ECR::Repository"))
    account.answers("ecr", "delete_repository", {}, repositoryName="lensneg/f", force=True)
    account.answers("cloudformation", "delete_stack", {}, StackName=IMAGES)
    account.has_resources(REPOSITORY, ("Repository", REPOSITORY, "AWS::ECR::Repository"))
    account.answers("ecr", "delete_repository", {}, repositoryName=REPOSITORY, force=True)
    account.answers("cloudformation", "delete_stack", {}, StackName=REPOSITORY)
    account.has_resources(NAME, bucket, application, *others_of_it)
    account.answers("cloudformation", "delete_stack", {}, StackName=NAME)
    for name in (IMAGES, REPOSITORY, NAME):
        absent = f"Stack with id {name} does not exist"
        account.refuses("cloudformation", "describe_stacks", "ValidationError", absent, StackName=name)
    account.answers("logs", "delete_log_group", {}, logGroupName="/aws/lambda/kept")
    gone = {"logGroupName": "/aws/vendedlogs/gone"}
    account.refuses("logs", "delete_log_group", "ResourceNotFoundException", **gone)
    assert stack.delete() == f"deleted: {IMAGES}, {REPOSITORY}, {NAME}"
    account.has_objects("data-1", "", "out/latest.json", "code/x/sample_negatives.py")
    account.answers("s3", "delete_bucket", {}, Bucket="data-1")
    assert stack.delete_bucket() == "deleted: data-1 with 2 versions of objects"
    account.is_done()


def test_an_existing_bucket_that_the_stack_was_given_is_left(account: Account) -> None:
    """A samconfig.toml may give ExistingBucketName: then DataBucket is no resource of the stack."""
    stack = own_stack(account)
    account.has_stacks(NAME)
    for _ in range(4):
        account.has_resources(NAME, ("VerdictTopic", "arn:topic", "AWS::SNS::Topic"))
    account.answers("cloudformation", "delete_stack", {}, StackName=NAME)
    account.refuses("cloudformation", "describe_stacks", "ValidationError", "does not exist", StackName=NAME)
    stack.delete()
    assert stack.delete_bucket() == "there was none"
    account.is_done()


def test_after_an_interruption_before_the_stack_its_image_is_removed(account: Account) -> None:
    stack = own_stack(account)
    account.has_stacks("lensneg", IMAGES)
    account.has_resources(IMAGES, ("F", "lensneg/f", "AWS::ECR::Repository"))
    account.answers("ecr", "delete_repository", {}, repositoryName="lensneg/f", force=True)
    account.answers("cloudformation", "delete_stack", {}, StackName=IMAGES)
    account.refuses(
        "cloudformation", "describe_stacks", "ValidationError", "does not exist", StackName=IMAGES
    )
    assert stack.delete() == f"deleted: {IMAGES}"
    assert stack.delete_bucket() == "there was none"
    account.is_done()


def test_where_nothing_was_deployed_nothing_is_deleted(account: Account) -> None:
    stack = own_stack(account)
    account.has_stacks("lensneg")
    assert stack.delete() == "there was none"
    account.is_done()


def test_a_stack_that_is_not_deleted_is_an_error_with_the_next_command(account: Account) -> None:
    stack = own_stack(account)
    account.has_stacks(NAME)
    for _ in range(4):
        account.has_resources(NAME)
    account.answers("cloudformation", "delete_stack", {}, StackName=NAME)
    failed = {"StackName": NAME, "CreationTime": NOON, "StackStatus": "DELETE_FAILED"}
    account.answers("cloudformation", "describe_stacks", {"Stacks": [failed]}, StackName=NAME)
    with pytest.raises(
        LensnegError, match=rf"stack {NAME}: not deleted: .*DELETE_FAILED.*describe-stack-events"
    ):
        stack.delete()


@pytest.mark.parametrize("status", ["CREATE_FAILED", "DELETE_COMPLETE"])
def test_what_a_deployment_that_failed_has_not_made_is_left_alone(account: Account, status: str) -> None:
    """Its bucket, for example, may be one of someone else that has the name."""
    stack = own_stack(account)
    account.has_stacks(NAME)
    bucket = ("DataBucket", "someones", "AWS::S3::Bucket")
    for _ in range(4):
        account.has_resources(
            NAME, bucket, ("EmrApplication", "app1", "AWS::EMRServerless::Application"), status=status
        )
    account.answers("cloudformation", "delete_stack", {}, StackName=NAME)
    account.refuses("cloudformation", "describe_stacks", "ValidationError", "does not exist", StackName=NAME)
    assert stack.delete() == f"deleted: {NAME}"
    assert stack.delete_bucket() == "there was none"
    account.is_done()
