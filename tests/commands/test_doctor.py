"""lensneg doctor: what it found, what a run uses, and what is short."""

import json
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lensneg.local import doctor, machine
from lensneg.local.doctor import examine

USER = {
    "AWS_PROFILE": "secret-name",
    "SPARK_HOME": "/opt/spark",
    "JAVA_HOME": "/opt/java",
    "PYTHONWARNINGS": "error",
    "SPARK_LOCAL_DIRS": "/fast",
    "HTTPS_PROXY": "http://proxy.example",
    "SHELL": "/bin/sh",
}


def test_the_variables_that_a_run_heeds_and_ignores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_java", lambda: ("17", []))
    found = {finding.used: finding.found for finding in examine(user=USER).findings}
    assert found["heeded"] == "AWS_PROFILE, HTTPS_PROXY, SPARK_LOCAL_DIRS"
    assert found["ignored"] == "JAVA_HOME, PYTHONWARNINGS, SPARK_HOME"
    assert "secret-name" not in str(found)


def test_what_is_short_and_a_java_that_does_not_start_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: 1_000_000_000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    monkeypatch.setattr(doctor, "folder_of", lambda _: tmp_path)
    java, memory, files = examine(str(tmp_path / "out")).shortages
    assert java.startswith(f"Java: {tmp_path}/java-runtime/bin/java does not start")
    assert memory.startswith("memory: a run with 1 workers takes about 3.4 GB, and 1.0 GB are free")
    assert files.startswith("open files: a process may have 100")


def test_the_command_prints_versions_and_its_exit_code_tells_of_a_shortage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lensneg", "doctor", "--out", str(tmp_path / "a" / "b")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (2 if "short: " in done.stderr else 0), done.stderr
    assert f"Python     {platform.python_version()}" in done.stdout
    assert 'openjdk version "17' in done.stdout
    assert "pyspark 3.5.6" in done.stdout
    assert not (tmp_path / "a").exists()
    data = json.loads(
        subprocess.run([*command, "--json"], capture_output=True, text=True, check=False).stdout
    )
    assert {"subject", "found", "used"} == set(data["findings"][0])
