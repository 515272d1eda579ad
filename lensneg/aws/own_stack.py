"""A stack that the smoke test deploys for itself, and removes with its bucket and its image."""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from lensneg.aws.calls import Aws, in_place_of
from lensneg.aws.deployment import Stack, read_stack
from lensneg.aws.removal import remove_below
from lensneg.errors import InputError, LensnegError, StorageError
from lensneg.schema.resources import ROOT
from lensneg.storage.errors import aws_errors, error_code

#: Programs that build the functions' image for SAM. One of them must run.
_ENGINES: Final = ("docker", "finch")

#: The stack of SAM itself, whose bucket holds the template and the state machine's definition.
_SAM_STACK: Final = "aws-sam-cli-managed-default"

#: Number of the last lines of sam's output that an error repeats.
_LINES_SHOWN: Final = 12

#: Seconds between two looks at an application that stops, and their number.
_STOP_EVERY: Final = 5.0
_STOP_LOOKS: Final = 60


def find_sam(root: Path = ROOT) -> str:
    """Return SAM's program, after a look at all that a deployment needs on this machine.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the checkout, SAM or a container engine is missing.
    """
    stack = "or name a stack that is deployed already (--stack)"
    if not (root / "template.yaml").is_file():
        remedy = f"run lensneg from a checkout of its repository, {stack}"
        raise InputError("no template.yaml: only the package is installed", where=str(root), remedy=remedy)
    own = root / ".venv-stack" / "bin" / "sam"
    sam = str(own) if own.is_file() else shutil.which("sam")
    if sam is None:
        remedy = f"make .venv-stack installs it there, {stack}"
        raise InputError("no AWS SAM CLI (sam) in .venv-stack/bin or PATH", where=str(root), remedy=remedy)
    engine = next((name for name in _ENGINES if shutil.which(name)), None)
    if engine is None:
        remedy = f"install Docker, {stack}"
        raise InputError(f"no container engine ({', '.join(_ENGINES)}) in PATH", where="PATH", remedy=remedy)
    answer = subprocess.run([engine, "info"], capture_output=True, text=True, check=False)
    if answer.returncode:
        said = (answer.stderr or answer.stdout).strip().splitlines()[-1:]
        what = "the container engine does not answer: " + "".join(said)
        raise InputError(what, where=f"{engine} info", remedy=f"start it, {stack}")
    return sam


class OwnStack:
    """A stack that is deployed for one smoke test.

    Parameters
    ----------
    aws : Aws
        Makes the calls.
    name : str
        Name of the stack. No stack has it yet.
    sam : str
        SAM's program.
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
        self, aws: Aws, name: str, sam: str, root: Path = ROOT, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._aws, self.name, self._sam, self._root, self._pause = aws, name, sam, root, pause
        self._bucket = ""
        if self._stacks():
            raise InputError("there is such a stack", where=f"stack {name}", remedy="start again")

    def deploy(self) -> Stack:
        """Run sam build and sam deploy, and read the outputs of the stack."""
        self._run(["build"])
        self._run(["deploy", "--stack-name", self.name, "--s3-prefix", self.name])
        return read_stack(self.name, self._aws)

    def _run(self, arguments: Sequence[str]) -> None:
        done = subprocess.run(
            [self._sam, *arguments], cwd=self._root, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            what = f"exit code {done.returncode}: " + " | ".join(said[-_LINES_SHOWN:])
            remedy = (
                "docs/operate.md says what it needs; what CloudFormation met is told by aws cloudformation "
            )
            remedy += f"describe-stack-events --stack-name {self.name}"
            raise InputError(what, where=f"sam {arguments[0]}", remedy=remedy)

    def _stacks(self) -> list[str]:
        """Return the names of the stack and of the one that SAM makes for its image, as far as they exist."""
        listed = self._aws.pages("cloudformation", "describe_stacks", "Stacks")
        names = [str(stack["StackName"]) for stack in listed]
        images = [n for n in names if n.startswith(f"{self.name}-") and n.endswith("-CompanionStack")]
        return images + [n for n in names if n == self.name]

    def _resources(self, stack: str, kind: str) -> dict[str, str]:
        """Return the physical names of a stack's resources of a type, by their logical ones."""
        listed = self._aws.pages(
            "cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack
        )
        return {
            found["LogicalResourceId"]: found["PhysicalResourceId"]
            for found in listed
            if found["ResourceType"] == kind and found.get("PhysicalResourceId")
        }

    def delete(self) -> str:
        """Delete the stack, the image and what SAM stored. The stack keeps its bucket, which is noted."""
        stacks = self._stacks()
        if self.name in stacks:
            # The bucket of this very stack, whatever its outputs say: another one is not ours.
            self._bucket = self._resources(self.name, "AWS::S3::Bucket").get("DataBucket", "")
            for application in self._resources(self.name, "AWS::EMRServerless::Application").values():
                self._stop(application)
        for stack in stacks:
            for repository in self._resources(stack, "AWS::ECR::Repository").values():
                self._change("ecr", "delete_repository", repositoryName=repository, force=True)
            self._change("cloudformation", "delete_stack", StackName=stack)
        for stack in stacks:
            self._wait_for_deletion(stack)
        self._remove_sams_files()
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
        remedy = f"wait, then run sam delete --stack-name {self.name}"
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
            remedy += f"then run sam delete --stack-name {self.name}"
            raise LensnegError(
                f"not deleted: {error.__cause__}", where=f"stack {stack}", remedy=remedy
            ) from error

    def _remove_sams_files(self) -> None:
        absent = InputError("no such stack", where=_SAM_STACK)
        try:
            with in_place_of("ValidationError", absent):
                [stack] = self._aws.read("cloudformation", "describe_stacks", StackName=_SAM_STACK)["Stacks"]
        except InputError as error:
            if error is not absent:
                raise
            return  # sam deploy has not come that far
        outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
        if bucket := outputs.get("SourceBucket"):
            remove_below(self._aws, bucket, [f"{self.name}/"])

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
