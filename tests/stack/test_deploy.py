"""What is built and pushed: one image of one platform, into one repository."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from deployed import REGION, ROOT, everything, tool

from lensneg.schema.code_version import code_version_of, commit_file

URI = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/other-repository"


def recorder(path: Path, more: str = "") -> Path:
    """A program that only notes its arguments."""
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{path}.calls"\n{more}')
    path.chmod(0o755)
    return path


def calls(program: Path) -> list[str]:
    return Path(f"{program}.calls").read_text().splitlines()


@pytest.fixture
def engine() -> Iterator[str]:
    """The address of a container engine that answers, and has nothing."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_sam_builds_one_manifest_of_one_platform_without_attestations(engine: str, tmp_path: Path) -> None:
    """Lambda refuses an index of images, which buildx makes of an image and its attestations."""
    docker = recorder(tmp_path / "docker")
    environment = {**os.environ, "DOCKER_HOST": engine, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION}
    command = [tool("bin/sam"), "build", "--no-cached", "--build-dir", str(tmp_path / "built")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [build] = [call.split() for call in calls(docker) if " build " in call]
    assert build[:2] == ["buildx", "build"]
    assert {"--provenance=false", "--sbom=false"} <= set(build)
    assert build[build.index("--platform") + 1] == "linux/amd64"


def test_make_deploy_pushes_the_image_to_one_repository(tmp_path: Path) -> None:
    outputs = json.dumps([{"OutputKey": "RepositoryUri", "OutputValue": URI}])
    sam = recorder(tmp_path / "sam", f"case \"$1\" in list) echo '{outputs}';; esac\n")
    options = [f"SAM={sam}", "STACK=other", "PARAMETERS=MaximumVCpu=32 RunRetentionDays=9"]
    (ROOT / "COMMIT").write_text("an old one")  # git ignores it, and a checkout does not read it
    subprocess.run(
        ["make", "-o", ".venv-stack", "deploy", *options], cwd=ROOT, check=True, capture_output=True
    )
    assert (ROOT / "COMMIT").read_text() == commit_file(code_version_of(ROOT / "lensneg", ROOT))
    assert calls(sam) == [
        "build",
        "deploy --config-env repository --stack-name other-repository",
        "list stack-outputs --stack-name other-repository --output json",
        f"deploy --stack-name other --image-repository {URI} "
        "--parameter-overrides MaximumVCpu=32 RunRetentionDays=9",
    ]


def test_make_deploy_stops_where_there_is_no_repository(tmp_path: Path) -> None:
    sam = recorder(tmp_path / "sam", 'case "$1" in list) exit 1;; esac\n')
    command = ["make", "-o", ".venv-stack", "deploy", f"SAM={sam}"]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode
    assert calls(sam)[-1].startswith("list ")


def test_samconfig_makes_no_repositories_of_its_own_and_sam_knows_its_keys() -> None:
    import tomllib

    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    known = everything()["options"]
    for environment in ("default", "repository", "github"):
        for command in config[environment].keys() - {"global"}:
            assert set(config[environment][command]["parameters"]) <= set(known[command]), command
    assert "resolve_image_repos" not in str(config)


def repository() -> dict[str, Any]:
    [resource] = everything()["deploy"]["repository.yaml"]["Resources"].values()
    return resource["Properties"]


def test_the_repository_scans_images_and_keeps_the_newest_ten() -> None:
    assert repository()["ImageScanningConfiguration"] == {"ScanOnPush": True}
    rules = json.loads(repository()["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    [(untagged, days), (count, number)] = [
        (r["selection"]["countType"], r["selection"]["countNumber"]) for r in sorted(rules, key=str)
    ]
    assert (untagged, days) == ("sinceImagePushed", 1)
    assert (count, number) == ("imageCountMoreThan", 10)
    assert {rule["action"]["type"] for rule in rules} == {"expire"}


def test_lambda_may_read_the_image_for_functions_of_this_account() -> None:
    [statement] = repository()["RepositoryPolicyText"]["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert set(statement["Action"]) == {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    assert "${AWS::AccountId}" in str(statement["Condition"])
