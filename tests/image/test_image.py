"""The image that the Dockerfile makes: each handler boots in it through Lambda's runtime client, and works.

`make image-check` builds the image and names a container of it in LENSNEG_IMAGE. A fake of Lambda's Runtime
API hands out the events of functions/events, and moto's server is S3; the draw, which is not the image's, is
the real Spark job. Nothing of this checkout is reachable from inside.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "stack"))

from bucket import ENVIRONMENT, MirroredEmr, put_folder, s3_of, s3_server
from conftest import CONFIGS, config_text, edited
from deployed import BUCKET
from pipeline import OPEN_GATES
from surveyserver import A, serving, three_sweeps

from lensneg.local.emr import local_submit_parameters
from lensneg.mocksky import write_mock_sky
from lensneg.schema.code_version import code_version, commit_file

ROOT = CONFIGS.parent
IMAGE = os.environ.get("LENSNEG_IMAGE", "")
pytestmark = pytest.mark.skipif(not IMAGE, reason="no image: make image-check")

#: Where build.sh keeps what it builds.
WORK = Path(os.environ.get("IMAGE_WORK", ROOT / "build" / "image"))

#: Lambda runs the image as a user of its own, who owns nothing in it.
NOBODY = "65534:65534"


@dataclass
class RuntimeApi:
    """Lambda's Runtime API for one function: an event at a time, and what came of it."""

    waiting: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, Any]] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def serve(self) -> ThreadingHTTPServer:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.path == "/2018-06-01/runtime/invocation/next"
                with api.changed:
                    api.asked.append(time.time())
                    api.changed.notify_all()
                    api.changed.wait_for(lambda: api.waiting)
                    body = json.dumps(api.waiting.pop(0)).encode()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", f"request-{len(api.answers)}")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 300_000))
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f"
                )
                self.send_header(
                    "Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0"
                )
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()
                with api.changed:
                    api.answers.append((self.path.rpartition("/")[2], body))
                    api.changed.notify_all()

            def do_PUT(self) -> None:
                with api.changed:
                    api.answers.append(
                        ("cloudformation", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                    )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def wait_for(self, count: int, process: subprocess.Popen[str], log: list[str]) -> None:
        with self.changed:
            while len(self.answers) < count:
                self.changed.wait(1)
                assert process.poll() is None, f"the function's process ended: {''.join(log[-20:])}"


class Function:
    """A booted function."""

    def __init__(self, name: str, command: str, memory: int, s3: str) -> None:
        self.name, self.memory = name, memory
        self.api = RuntimeApi()
        self.server = self.api.serve()
        environment = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": s3,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "POWERTOOLS_SERVICE_NAME": "lensneg",
            "LAMBDA_TASK_ROOT": "/var/task",
        }
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        self.process = subprocess.Popen(
            in_container(*variables, "/lambda-entrypoint.sh", command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.log.extend(self.process.stdout)

    def invoke(self, event: dict[str, Any]) -> Any:
        """Send an event; return the handler's answer."""
        with self.api.changed:
            done = len(self.api.answers)
            self.api.waiting.append(event)
            self.api.changed.notify_all()
        self.api.wait_for(done + 1, self.process, self.log)
        kind, body = next(a for a in self.api.answers[done:] if a[0] != "cloudformation")
        assert kind == "response", f"{self.name}: {kind}: {body}\n{''.join(self.log[-20:])}"
        return body

    @property
    def cold_start(self) -> float:
        """Seconds from the process's start to its first question for an event."""
        started = re.search(r"started ([\d.]+)", "".join(self.log))
        assert started, self.log
        return self.api.asked[0] - float(started[1])

    def peak_memory(self) -> float:
        """MB that its process has held at most."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                command = (status.parent / "cmdline").read_text()
                port = f"AWS_LAMBDA_RUNTIME_API=127.0.0.1:{self.server.server_port}\0"
                if "awslambdaric" in command and port in (status.parent / "environ").read_text():
                    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024  # type: ignore[index]
            except OSError:
                continue
        raise AssertionError(f"{self.name}: no process")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.server.shutdown()
        self.server.server_close()


def buildah(*command: str) -> list[str]:
    return ["buildah", "--storage-driver=vfs", f"--root={WORK}/storage", f"--runroot={WORK}/run", *command]


def in_container(*command: str) -> list[str]:
    """A command in the image, after the options that it is to be run with."""
    options = [word for word in command if word.startswith("--env=")]
    rest = command[len(options) :]
    return [
        *buildah("run"),
        "--isolation=chroot",
        f"--user={NOBODY}",
        *options,
        IMAGE,
        "--",
        *rest,
    ]


def inside(*command: str) -> str:
    """What a command prints in the image."""
    return subprocess.run(in_container(*command), capture_output=True, text=True, check=True).stdout


def commands() -> dict[str, tuple[str, int]]:
    """Each function's command and memory, from the template as it is written."""
    text = (ROOT / "template.yaml").read_text()
    found = re.findall(
        r"^  (\w+)Function:\n(?:    .*\n)*?      MemorySize: (\d+)\n(?:    .*\n)*?"
        r"      ImageConfig: \{Command: \[([\w.]+)\]\}",
        text,
        re.MULTILINE,
    )
    return {name: (command, int(memory)) for name, memory, command in found}


def event_of(name: str, **changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / f"functions/events/{name}.json").read_text())
    return {**event, **changes}


class Booted:
    """A mini-test made by the functions in the image, one after the other, as the graph would."""

    def __init__(self, url: str, folder: Path) -> None:
        sky, config = folder / "sky", folder / "config.yaml"
        write_mock_sky(sky, files=2, rows=150_000, seed=31)
        changes = {**OPEN_GATES, "negative_pools.neg_pos_ratio": 5}
        config.write_text(edited(yaml.safe_load(config_text("negative_sampling_v1")), changes))
        put_folder(url, sky / "sweeps", "sweeps")
        s3_of(url).upload_file(str(sky / "positives.csv"), BUCKET, "catalogs/positives.csv")
        s3_of(url).upload_file(str(config), BUCKET, "configs/config.yaml")
        self.url, self.folder = url, folder
        self.answers: dict[str, Any] = {}
        self.logs: dict[str, str] = {}
        self.figures: dict[str, tuple[float, float, int]] = {}
        self.cloudformation: Any = None
        for name in ("Preflight", "PlanFanOut", "FilterSweep", "SummarizeFanOut"):
            self.work(name)
        self.draw()
        for name in ("CheckSample", "ValidateManifest", "PublishManifest", "Report", "Quarantine"):
            self.work(name)
        self.work("PublishSparkCode")
        self.fetch()

    def fetch(self) -> None:
        """Fetch a sweep file from a server of ours."""
        items = [{"name": A, "sha256": hashlib.sha256(three_sweeps()[A]).hexdigest()}]
        key = event_of("FetchSweep")["root"].removeprefix(f"s3://{BUCKET}/") + "/items.json"
        s3_of(self.url).put_object(Bucket=BUCKET, Key=key, Body=json.dumps(items))
        with serving(three_sweeps()) as survey:
            self.fetched_from = {"base_url": survey.url, "item": items[0]}
            self.work("FetchSweep")
        self.work("SummarizeFetch")

    def work(self, name: str) -> None:
        command, memory = commands()[name]
        function = Function(name, command, memory, self.url)
        try:
            self.answers[name] = [function.invoke(event) for event in self.events(name, function)]
            self.figures[name] = (function.cold_start, function.peak_memory(), memory)
            self.logs[name] = "".join(function.log)
            for kind, body in function.api.answers:
                if kind == "cloudformation":
                    self.cloudformation = body
        finally:
            function.stop()

    def events(self, name: str, function: Function) -> list[dict[str, Any]]:
        if name == "FilterSweep":  # the item that it names, as planned here: sizes and tags are this sky's
            key = "out/runs/example/items.json"
            items = json.loads(s3_of(self.url).get_object(Bucket=BUCKET, Key=key)["Body"].read())
            assert set(items[0]) == set(event_of(name)["item"])
            return [event_of(name, item=item) for item in items]
        if name == "FetchSweep":
            return [event_of(name, **self.fetched_from)]
        if name == "PublishSparkCode":
            return [event_of(name, ResponseURL=f"http://127.0.0.1:{function.server.server_port}/answer")]
        return [event_of(name)]

    def draw(self) -> None:
        emr = MirroredEmr(self.url, self.folder / "emr")
        submit = {
            "entryPoint": str(ROOT / "spark" / "sample_negatives.py"),
            "entryPointArguments": ["--run", f"s3://{BUCKET}/out/runs/example"],
            "sparkSubmitParameters": local_submit_parameters(2),
        }
        job = emr.start_job_run(
            applicationId="a",
            clientToken="t",
            executionRoleArn="arn:aws:iam::123456789012:role/r",
            jobDriver={"sparkSubmit": submit},
        )
        while emr.get_job_run(job["JobRunId"]).state not in ("SUCCESS", "FAILED"):
            time.sleep(0.2)
        assert emr.get_job_run(job["JobRunId"]).state == "SUCCESS"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    with s3_server() as url:
        yield Booted(url, tmp_path_factory.mktemp("image"))


def test_every_function_of_the_template_answers(booted: Booted) -> None:
    assert set(booted.answers) == set(commands())
    assert booted.answers["Preflight"][0]["gate"]["passed"]
    assert sum(answer["rows_in"] for answer in booted.answers["FilterSweep"]) == 300_000
    for name in ("SummarizeFanOut", "CheckSample", "ValidateManifest"):
        assert booted.answers[name][0]["gate"]["passed"], booted.answers[name]
    assert booted.answers["PublishManifest"][0]["kind"] == "mini_test"
    assert booted.answers["FetchSweep"][0]["whole"]
    assert booted.answers["SummarizeFetch"][0]["passed"]
    uri = booted.answers["Report"][0]["uri"]
    page = s3_of(booted.url).get_object(Bucket=BUCKET, Key=uri.split("/", 3)[3])["Body"].read()
    assert b"example" in page


def test_the_code_is_that_of_the_checkout(booted: Booted) -> None:
    """Its version in the run's record, and the Spark job that goes into the bucket."""
    key = "out/runs/example/run.json"
    record = json.loads(s3_of(booted.url).get_object(Bucket=BUCKET, Key=key)["Body"].read())
    code = code_version()
    assert (record["code"]["code_version"], record["code"]["git_commit"]) == (
        code.code_version,
        code.git_commit,
    )
    assert booted.cloudformation["Status"] == "SUCCESS"
    key = booted.cloudformation["Data"]["Uri"].split("/", 3)[3]
    published = s3_of(booted.url).get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert published == (ROOT / "spark" / "sample_negatives.py").read_bytes()


def test_functions_log_json_and_count(booted: Booted) -> None:
    lines = [json.loads(line) for line in booted.logs["FilterSweep"].splitlines() if line.startswith("{")]
    counted = [line for line in lines if "_aws" in line]
    assert {"ItemsDone", "RowsIn", "RowsKept", "BytesRead"} <= set(counted[0])
    assert counted[0]["service"] == "lensneg"
    verdicts = [json.loads(x) for x in booted.logs["CheckSample"].splitlines() if '"GatePassed"' in x]
    assert [verdict["gate"] for verdict in verdicts] == ["Gate3SampleComplete"]


def test_memory_is_well_below_what_the_template_gives(booted: Booted) -> None:
    print("\nfunction            cold start s   peak MB   given MB")
    for name, (cold, peak, memory) in booted.figures.items():
        print(f"{name:<20}{cold:>12.1f}{peak:>10.0f}{memory:>11}")
        assert peak < memory / 2, name


@pytest.mark.parametrize("name", ["pyspark", "moto", "duckdb", "click", "rich", "pytest", "flask"])
def test_the_image_lacks_what_the_functions_do_not_need(name: str) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert inside("/var/lang/bin/python3", "-c", code).strip() == "None"


def test_the_image_holds_nothing_but_code_and_what_is_locked() -> None:
    listing = "import os; print(*sorted(os.listdir('/var/task')))"
    found = set(inside("/var/lang/bin/python3", "-c", listing).split())
    own = {"configs", "functions", "lensneg", "spark", "statemachine"}
    assert own <= found
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-lambda.lock").read_text(), re.MULTILINE)
    installed = {
        re.sub(r"[-_.]+", "-", entry.split("-")[0]).lower() for entry in found if entry.endswith(".dist-info")
    }
    assert installed == set(locked)
    assert "events" not in inside(
        "/var/lang/bin/python3", "-c", "import os; print(os.listdir('/var/task/functions'))"
    )


def test_the_image_knows_what_it_was_built_from() -> None:
    assert inside(
        "/var/lang/bin/python3", "-c", "print(open('/var/task/COMMIT').read(), end='')"
    ) == commit_file(code_version())


def test_the_image_is_small() -> None:
    """Lambda takes 10 GB.

    Most of this is Arrow, SciPy with scikit-learn for the shortcut audit, and the report's matplotlib. The
    packages' tests, 100 MiB, are left out.
    """
    script = (
        "import os; print(sum(os.lstat(os.path.join(d, f)).st_size for d, _, fs in os.walk('/var/task') "
        "for f in fs) >> 20)"
    )
    size = int(inside("/var/lang/bin/python3", "-c", script))
    print(f"\n/var/task: {size} MiB")
    assert size < 640
