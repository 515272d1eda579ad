"""A stack that the smoke test deploys for itself, and removes with its bucket and its image."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack, read_stack
from lensneg.aws.removal import remove_below
from lensneg.errors import InputError, LensnegError, StorageError
from lensneg.schema.resources import ROOT
from lensneg.storage.errors import aws_errors, error_code

#: Programs that build the image of the functions for SAM. One of them must run.
_ENGINES: Final = ("docker", "finch")

#: The ends of names of the stacks that hold the image: that of make deploy, and SAM's own.
_OF_IMAGES: Final = ("-repository", "-CompanionStack")

#: Statuses of a stack's resources that it has not made, or has deleted.
_NOT_THERE: Final = ("CREATE_FAILED", "DELETE_COMPLETE")

#: Number of the last lines of make's output that an error repeats.
_LINES_SHOWN: Final = 12

#: Seconds between two looks at an application that stops, and their number.
_STOP_EVERY: Final = 5.0
_STOP_LOOKS: Final = 60


def require_tools(root: Path = ROOT) -> None:
    """Refuse a machine that lacks something for a deployment.

    Parameters
    ----------
    root : Path
        The checkout.

    Raises
    ------
    InputError
        If the checkout, make or a container engine is missing.
    """
    taken = "or name a stack that is deployed already (--stack)"
    if not (root / "template.yaml").is_file():
        remedy = f"run lensneg from a checkout of its repository, {taken}"
        raise InputError("no template.yaml: only the package is installed", where=str(root), remedy=remedy)
    if shutil.which("make") is None:
        raise InputError("no make, which deploys a stack", where="PATH", remedy=f"install make, {taken}")
    engine = next((name for name in _ENGINES if shutil.which(name)), None)
    if engine is None:
        what = f"no container engine ({', '.join(_ENGINES)}), which builds the image"
        raise InputError(what, where="PATH", remedy=f"install Docker, {taken}")
    answer = subprocess.run([engine, "info"], capture_output=True, text=True, check=False)
    if answer.returncode:
        said = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
        what = "the container engine does not answer: " + "".join(said)
        raise InputError(what, where=f"{engine} info", remedy=f"start it, {taken}")


class OwnStack:
    """A stack that is deployed for one smoke test.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    name : str
        Name of the stack. No stack has it yet.
    root : Path
        The checkout.
    pause : callable
        Waits for a number of seconds.

    Raises
    ------
    InputError
        If there is such a stack.
    """

    def __init__(
        self, aws: Aws, name: str, root: Path = ROOT, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._aws, self.name, self._root, self._pause = aws, name, root, pause
        self._bucket = ""
        if self._stacks():
            raise InputError("there is such a stack", where=f"stack {name}", remedy="start again")

    def deploy(self) -> Stack:
        """Run make deploy, and read the outputs of the stack."""
        command = ["make", "deploy", f"STACK={self.name}"]
        done = subprocess.run(command, cwd=self._root, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            what = f"exit code {done.returncode}: " + " | ".join(said[-_LINES_SHOWN:])
            remedy = "docs/operate.md says what a deployment needs; aws cloudformation describe-stack-events "
            remedy += f"--stack-name {self.name} says what CloudFormation met"
            raise InputError(what, where=" ".join(command), remedy=remedy)
        return read_stack(self.name, self._aws)

    def _stacks(self) -> list[str]:
        """Return the names of the stack and of those that hold its image, as far as they exist."""
        listed = self._aws.pages("cloudformation", "describe_stacks", "Stacks")
        names = [str(stack["StackName"]) for stack in listed]
        images = [n for n in names if n.startswith(f"{self.name}-") and n.endswith(_OF_IMAGES)]
        return images + [n for n in names if n == self.name]

    def _resources(self, stack: str, kind: str) -> dict[str, str]:
        """Return the physical names of a stack's resources of a type, by their logical ones."""
        listed = self._aws.pages(
            "cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack
        )
        return {
            found["LogicalResourceId"]: found["PhysicalResourceId"]
            for found in listed
            if found["ResourceType"] == kind and found["ResourceStatus"] not in _NOT_THERE
        }

    def delete(self) -> str:
        """Delete the stack, its image and its logs. The stack keeps its bucket, which is noted."""
        stacks, groups = self._stacks(), dict[str, str]()
        if self.name in stacks:
            # The bucket of this very stack, whatever its outputs say: another one is not ours.
            self._bucket = self._resources(self.name, "AWS::S3::Bucket").get("DataBucket", "")
            groups = self._resources(self.name, "AWS::Logs::LogGroup")
            for application in self._resources(self.name, "AWS::EMRServerless::Application").values():
                self._stop(application)
        for stack in stacks:
            for repository in self._resources(stack, "AWS::ECR::Repository").values():
                self._change("ecr", "delete_repository", repositoryName=repository, force=True)
            self._change("cloudformation", "delete_stack", StackName=stack)
        for stack in stacks:
            self._wait_for_deletion(stack)
        for group in groups.values():
            self._delete_logs(group)
        return f"deleted: {', '.join(stacks)}" if stacks else "there was none"

    def _change(self, service: str, operation: str, **parameters: Any) -> None:
        self._aws.change(service, operation, **parameters)

    def _stop(self, application: str) -> None:
        """Stop the application: CloudFormation deletes no application that is started."""
        where = f"application {application}"
        for look in range(_STOP_LOOKS):
            found = self._aws.read("emr-serverless", "get_application", applicationId=application)
            state = found["application"]["state"]
            if state not in ("STARTING", "STARTED", "STOPPING"):
                return
            if state == "STARTED" and look == 0:
                self._change("emr-serverless", "stop_application", applicationId=application)
            self._pause(_STOP_EVERY)
        remedy = f"wait, then delete it: aws cloudformation delete-stack --stack-name {self.name}"
        raise LensnegError(f"it is {state} and does not stop", where=where, remedy=remedy)

    def _wait_for_deletion(self, stack: str) -> None:
        from botocore.exceptions import WaiterError

        waiter = self._aws.client("cloudformation").get_waiter("stack_delete_complete")
        try:
            with aws_errors("cloudformation", "cloudformation:DescribeStacks"):
                waiter.wait(StackName=stack)
        except StorageError as error:
            if not isinstance(error.__cause__, WaiterError):
                raise
            remedy = (
                f"aws cloudformation describe-stack-events --stack-name {stack} says why; remove the cause, "
            )
            remedy += f"then delete it: aws cloudformation delete-stack --stack-name {self.name}"
            raise LensnegError(
                f"not deleted: {error.__cause__}", where=f"stack {stack}", remedy=remedy
            ) from error

    def _delete_logs(self, group: str) -> None:
        try:
            self._change("logs", "delete_log_group", logGroupName=group)
        except InputError as error:
            if error_code(error.__cause__) != "ResourceNotFoundException":  # deleted with the stack
                raise

    def delete_bucket(self) -> str:
        """Empty the bucket that the stack made, and delete it."""
        if not self._bucket:
            return "there was none"
        try:
            removed = remove_below(self._aws, self._bucket, [""])
            self._change("s3", "delete_bucket", Bucket=self._bucket)
        except LensnegError as error:
            if error_code(error.__cause__) == "NoSuchBucket":
                return f"{self._bucket} was gone"
            raise
        return f"deleted: {self._bucket} with {removed:,} versions of objects"
