"""An S3 server over HTTP (moto's), the stack's bucket in it, and the whole pipeline on s3:// URIs.

The functions run in processes that know no file of the run: only the server. Each of their calls is decided
from the template's policies (iam.py) and recorded (recording_worker.py). Two hops are not those of AWS: Step
Functions' own reading of items.json is served from moto's interpreter, and Spark's S3 connector, which no
registry of Python packages carries, is stood in for by copying a run's files from the server before the job
and what it wrote back after it (:class:`MirroredEmr`), of which the policies decide too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from deployed import BUCKET, Deployed
from iam import S3Call, allowing, refusal

from lensneg.local.emr import JobRun, LocalEmrServerless
from lensneg.local.lambdas import Invocation, LocalLambda, Worker

#: What the functions' processes have of AWS: the server, and keys that open nothing else.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Call:
    """A call that something made to AWS: who, which operation, on what, and how it ended."""

    caller: str
    operation: str
    key: str
    prefix: str
    status: int

    @property
    def in_s3(self) -> S3Call:
        """The request."""
        return S3Call(self.operation, BUCKET, self.key, self.prefix)


#: The server has a process of its own: in ours, what moto mocks would share its buckets.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Moto's server on a free port, with the stack's bucket; yields its URL."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        s3_of(url).create_bucket(Bucket=BUCKET)
        yield url
        process.kill()


def s3_of(url: str) -> Any:
    """A client of the server, whatever is mocked around it."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def names(folder: Path) -> list[str]:
    """The names of all files below a folder, but not the checksums of Hadoop's local files."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".crc")
    return [str(path.relative_to(folder)) for path in paths]


def put_folder(url: str, folder: Path, prefix: str) -> None:
    """Put all files of a folder below a prefix of the bucket."""
    for name in names(folder):
        s3_of(url).upload_file(str(folder / name), BUCKET, f"{prefix}/{name}")


def get_folder(url: str, prefix: str, folder: Path) -> None:
    """Get all objects below a prefix."""
    for page in s3_of(url).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for entry in page.get("Contents", []):
            path = folder / entry["Key"].removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            s3_of(url).download_file(BUCKET, entry["Key"], str(path))


class RecordingLambda(LocalLambda):
    """Functions in processes that reach nothing but the server; keeps their events and their calls.

    Their roles are those of a stack.
    """

    def __init__(self, url: str, workers: int, log_folder: Path, stack: Deployed) -> None:
        self._calls, self._url = log_folder / "calls.jsonl", url
        log_folder.mkdir(parents=True, exist_ok=True)
        self._policies = log_folder / "policies.json"
        self.roles = {name: stack.statements(f"{name}Role") for name in stack.functions()}
        self.grant(self.roles)
        tests = os.pathsep.join(str(path) for path in (Path(__file__).parent, *Path(__file__).parents[:2]))
        more = {"AWS_ENDPOINT_URL": url, "CALLS": str(self._calls), "PYTHONPATH": tests}
        more["POLICIES"] = str(self._policies)
        more["AWS_LAMBDA_FUNCTION_NAME"] = "any"  # on AWS a file of the machine itself is refused
        super().__init__(workers, log_folder, environment={**os.environ, **ENVIRONMENT, **more})
        self.events: list[tuple[str, dict[str, Any]]] = []

    def grant(self, roles: dict[str, list[dict[str, Any]]], key: str = "") -> None:
        """Let these be the functions' roles from now on, and this the key that encrypts the bucket."""
        self._policies.write_text(json.dumps({"roles": roles, "key": key}))

    @property
    def calls(self) -> list[Call]:
        """What the handlers have called so far."""
        return [Call(*json.loads(line)) for line in self._calls.read_text().splitlines()]

    def _new_worker(self) -> Worker:
        fresh = super()._new_worker()
        fresh.program = str(Path(__file__).parent / "recording_worker.py")
        return fresh

    def _run(self, mine: Worker, function_name: str, body: str) -> Invocation:
        invocation = super()._run(mine, function_name, body)
        self.events.append((function_name, json.loads(body)))
        if function_name == "PlanFanOut" and invocation.error is None:
            self._serve_items(invocation.result["bucket"], invocation.result["key"])
        return invocation

    def _serve_items(self, bucket: str, key: str) -> None:
        """Put items.json from the server where moto's interpreter looks for it: in its own S3."""
        body = s3_of(self._url).get_object(Bucket=bucket, Key=key)["Body"].read()
        own = boto3.client("s3", region_name="us-east-1")
        with_bucket = {entry["Name"] for entry in own.list_buckets()["Buckets"]}
        if bucket not in with_bucket:
            own.create_bucket(Bucket=bucket)
        own.put_object(Bucket=bucket, Key=key, Body=body)


class MirroredEmr(LocalEmrServerless):
    """The real Spark job on a copy of the run's files; what it wrote is put back. In the place of S3A.

    With a stack, what the role of its job may not write is refused.
    """

    def __init__(self, url: str, folder: Path, stack: Deployed | None = None) -> None:
        super().__init__(folder / "logs")
        self._url, self._folder = url, folder
        self._statements = None if stack is None else stack.statements("EmrJobRole")
        self.started: list[dict[str, Any]] = []

    def start_job_run(self, **parameters: Any) -> dict[str, str]:
        self.started.append(parameters)
        return super().start_job_run(**parameters)

    def _run(self, run: JobRun, submit: Mapping[str, Any]) -> None:
        root = submit["entryPointArguments"][-1]
        prefix = root.removeprefix(f"s3://{BUCKET}/")
        copy = self._folder / run.job_run_id
        shadow = JobRun(run.job_run_id, run.application_id, run.name)
        try:
            get_folder(self._url, f"{prefix}/", copy)
            super()._run(shadow, {**submit, "entryPointArguments": ["--run", str(copy)]})
            if shadow.state == "SUCCESS":
                self._decide(
                    *(S3Call("PutObject", BUCKET, f"{prefix}/draw/{n}") for n in names(copy / "draw"))
                )
                put_folder(self._url, copy / "draw", f"{prefix}/draw")
        except (ClientError, OSError) as error:
            shadow.state, shadow.state_details = "FAILED", str(error)
        run.state_details, run.state = shadow.state_details, shadow.state

    def _decide(self, *calls: S3Call) -> None:
        """Refuse what the job's role may not do."""
        for call in calls:
            if self._statements is not None and not allowing(self._statements, call.asked):
                raise PermissionError(refusal("EmrJobRole", call.asked))
