"""The Spark job's code reaches the bucket by the deployment alone, and old code stays.

CloudFormation waits for an answer to a custom resource: it gets one whatever happens.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import CONFIGS

from functions.publish_spark_code import handler
from lensneg import storage
from lensneg.aws import spark_upload
from lensneg.aws.spark_upload import publish_spark_code
from lensneg.local.worker import LocalContext

ROOT = CONFIGS.parent
EVENT = json.loads((ROOT / "functions" / "events" / "PublishSparkCode.json").read_text())

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call() -> Iterator[Call]:
    """Invoke the handler as CloudFormation does, and return its answer."""
    answers: list[dict[str, Any]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            assert self.headers["Content-Type"] == ""
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def invoke(kind: str, destination: str, **more: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{server.server_port}/answer"
        properties = {**EVENT["ResourceProperties"], "Destination": destination}
        context = LocalContext("PublishSparkCode")
        context.log_stream_name = "stream"  # type: ignore[attr-defined]
        handler(
            {**EVENT, "RequestType": kind, "ResponseURL": url, "ResourceProperties": properties, **more},
            context,
        )
        return answers[-1]

    yield invoke
    server.shutdown()
    server.server_close()


def test_a_deployment_leaves_the_code_under_its_hash(s3: str, call: Call) -> None:
    answer = call("Create", f"{s3}/code")
    assert answer["Status"] == "SUCCESS"
    code = (ROOT / "spark" / "sample_negatives.py").read_bytes()
    uri = f"{s3}/code/{hashlib.sha256(code).hexdigest()}/sample_negatives.py"
    assert answer["Data"] == {"Uri": uri}
    assert storage.read_bytes(uri) == code
    assert {answer[key] for key in ("StackId", "RequestId", "LogicalResourceId")} == {
        EVENT[key] for key in ("StackId", "RequestId", "LogicalResourceId")
    }


def test_an_update_leaves_the_old_code_too(
    s3: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call("Create", f"{s3}/code")
    newer = tmp_path / "sample_negatives.py"
    newer.write_text("print('newer')")
    monkeypatch.setattr(spark_upload, "SPARK_JOB", newer)
    second = call("Update", f"{s3}/code", PhysicalResourceId=first["PhysicalResourceId"])
    # Another physical id: CloudFormation then deletes the old resource, which must do nothing.
    assert second["PhysicalResourceId"] != first["PhysicalResourceId"]
    gone = call("Delete", f"{s3}/code", PhysicalResourceId=first["PhysicalResourceId"])
    assert (gone["Status"], gone["PhysicalResourceId"]) == ("SUCCESS", first["PhysicalResourceId"])
    for answer in (first, second):
        assert storage.exists(answer["Data"]["Uri"])


def test_an_update_without_new_code_changes_nothing(s3: str, call: Call) -> None:
    first = call("Create", f"{s3}/code")
    again = call("Update", f"{s3}/code", PhysicalResourceId=first["PhysicalResourceId"])
    assert again["PhysicalResourceId"] == first["PhysicalResourceId"]
    assert len(storage.list_files(f"{s3}/code")) == 1


def test_a_failure_is_answered_and_says_what_is_wrong(s3: str, call: Call) -> None:
    answer = call("Create", "s3://no-such-bucket/code")
    assert answer["Status"] == "FAILED"
    assert "no-such-bucket" in answer["Reason"]
    assert "log stream stream" in answer["Reason"]
    # A stack that rolls back deletes what was never made.
    assert (
        call("Delete", "s3://no-such-bucket/code", PhysicalResourceId=answer["PhysicalResourceId"])["Status"]
        == "SUCCESS"
    )


def test_the_same_code_is_at_the_same_place(tmp_path: Path) -> None:
    assert publish_spark_code(str(tmp_path)) == publish_spark_code(str(tmp_path))
