"""The commit that rows name is that of the code which made them, in a checkout and in what is built."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lensneg.schema.code_version import CodeVersion, code_version_of, commit_file
from lensneg.schema.resources import PACKAGE

FILES = {
    "lensneg/__init__.py": "",
    "lensneg/rules/cuts.py": "LIMIT = 20",
    "functions/task.py": "pass",
    "spark/job.py": "print('draw')",
    "statemachine/graph.json": "{}",
    "README.md": "a project",
}


def version_of(folder: Path) -> CodeVersion:
    return code_version_of(folder / "lensneg", folder)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def build(checkout: Path, folder: Path) -> Path:
    """What is built from a checkout: its files and COMMIT, without git."""
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns(".git"))
    (folder / "COMMIT").write_text(commit_file(version_of(checkout)))
    return folder


def test_the_hash_is_that_of_names_sizes_and_contents(checkout: Path) -> None:
    covered = sorted((name, text) for name, text in FILES.items() if name != "README.md")
    listed = "".join(f"{name} {len(text)}\n{text}" for name, text in covered)
    assert version_of(checkout).sha256 == hashlib.sha256(listed.encode()).hexdigest()


def test_a_checkout_names_its_commit_and_no_build(checkout: Path) -> None:
    (checkout / "COMMIT").write_text("an old file\nof another build\n")
    found = version_of(checkout)
    assert (found.git_commit, found.built_sha256) == (git(checkout, "rev-parse", "HEAD"), None)


@pytest.mark.parametrize(
    ("name", "is_dirty"),
    [
        ("README.md", True),  # tracked
        ("lensneg/rules/new.py", True),  # a new file that runs
        ("functions/new.py", True),
        ("lenses.csv", False),
        ("lensneg/rules/__pycache__/cuts.pyc", False),
    ],
)
def test_a_change_since_the_commit_is_told(checkout: Path, name: str, is_dirty: bool) -> None:
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("changed")
    assert version_of(checkout).git_commit.endswith("-dirty") == is_dirty


def test_a_new_file_that_git_ignores_is_told(checkout: Path) -> None:
    (checkout / ".git" / "info" / "exclude").write_text("local.py\n")
    (checkout / "lensneg" / "local.py").write_text("")
    assert version_of(checkout).git_commit.endswith("-dirty")


def test_what_is_built_names_commit_and_hash_of_its_checkout(checkout: Path, tmp_path: Path) -> None:
    made, found = version_of(checkout), version_of(build(checkout, tmp_path / "built"))
    assert (found.sha256, found.git_commit, found.built_sha256) == (made.sha256, made.git_commit, made.sha256)


@pytest.mark.parametrize(
    "name", ["lensneg/rules/cuts.py", "functions/task.py", "spark/job.py", "lensneg/new.py"]
)
def test_a_commit_does_not_count_for_other_files(checkout: Path, tmp_path: Path, name: str) -> None:
    """Those that a build took although COMMIT was older, or that were changed after it."""
    built = build(checkout, tmp_path / "built")
    (built / name).write_text("LIMIT = 21")
    found = version_of(built)
    assert found.git_commit == "unknown"
    assert found.built_sha256 == version_of(checkout).sha256 != found.sha256


@pytest.mark.parametrize("text", ["", "a" * 40, "a" * 40 + "\n", "a" * 40 + "\n" + "0" * 64])
def test_a_commit_without_the_hash_of_the_files_does_not_count(
    checkout: Path, tmp_path: Path, text: str
) -> None:
    built = build(checkout, tmp_path / "built")
    (built / "COMMIT").write_text(text)
    found = version_of(built)
    assert (found.git_commit, found.built_sha256 == found.sha256) == ("unknown", False)


def test_without_git_and_build_the_commit_is_unknown(checkout: Path, tmp_path: Path) -> None:
    built = build(checkout, tmp_path / "built")
    (built / "COMMIT").unlink()
    assert (version_of(built).git_commit, version_of(built).built_sha256) == ("unknown", None)


def test_no_variable_names_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """On AWS a stack's parameter would keep the commit of an earlier deployment."""
    monkeypatch.setenv("LENSNEG_GIT_COMMIT", "f" * 40)
    command = [sys.executable, "-m", "lensneg.schema.code_version"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    told = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert told.stdout == commit_file(code_version_of(PACKAGE, PACKAGE.parent))
    assert told.stderr == ""
    assert "f" * 40 not in told.stdout
