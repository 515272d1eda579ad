"""The machine: its cores, memory and scratch disk, and what of them a run takes."""

import os
import resource
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

MB: Final = 1_000_000

#: What a worker takes at most: the map's peak, and that of gates and report (benchmarks/results.md).
WORKER_BYTES: Final = 400 * MB

#: What the engine and the Spark driver take: 2 GB of heap, and Java and Python themselves.
DRIVER_BYTES: Final = 3_000 * MB

#: The files that a run has open at most: libraries of Java, and pipes of each worker.
_OPEN_FILES: Final = 1024

#: Spark and Java need about so much of the scratch disk for a small draw.
_SCRATCH_BYTES: Final = 500 * MB


#: What to do about a scratch folder that is of no use.
ANOTHER_SCRATCH: Final = "name another folder in TMPDIR"


class Machine(NamedTuple):
    """What a run on this machine may take.

    Attributes
    ----------
    cores : int
        Cores that this process may use; on a cluster node often not all.
    memory : int or None
        Bytes of memory that are free; None if the system does not tell.
    open_files : int
        Files that a process may have open, after a run has raised its limit.
    scratch : str
        The folder for scratch files.
    scratch_free : int
        Bytes that are free there.
    scratch_noexec : bool
        Whether no library can be loaded from there.
    """

    cores: int
    memory: int | None
    open_files: int
    scratch: str
    scratch_free: int
    scratch_noexec: bool

    @property
    def workers(self) -> int:
        """The workers that a run has by default: one a core, as far as the memory goes."""
        if self.memory is None:
            return self.cores
        return max(1, min(self.cores, (self.memory - DRIVER_BYTES) // WORKER_BYTES))

    @property
    def scratch_fault(self) -> str:
        """Why Spark cannot load its libraries from the scratch folder; empty if it can."""
        what = f"{self.scratch} is on a disk that is mounted noexec, and Spark loads libraries from there"
        return what if self.scratch_noexec else ""

    def shortages(self, workers: int) -> list[str]:
        """Return what a run with so many workers needs and this machine lacks, each with what to do."""
        found, needed = [], needed_memory(workers)
        if self.memory is not None and self.memory < needed:
            what = f"memory: a run with {workers} workers takes about {needed / 1e9:.1f} GB, and "
            fit = f"take {self.workers} workers (--workers), or " if self.workers < workers else ""
            found.append(f"{what}{self.memory / 1e9:.1f} GB are free; {fit}free some, or ask for more")
        if self.open_files < _OPEN_FILES:
            what = (
                f"open files: a process may have {self.open_files:,}, and a run needs up to {_OPEN_FILES:,}"
            )
            found.append(f"{what}; ulimit -n {_OPEN_FILES}")
        if self.scratch_free < _SCRATCH_BYTES:
            what = (
                f"scratch disk: {self.scratch_free / 1e9:.1f} GB are free in {self.scratch}, and Spark needs "
            )
            found.append(f"{what}{_SCRATCH_BYTES / 1e9:.1f} GB; {ANOTHER_SCRATCH}")
        if self.scratch_fault:
            found.append(f"scratch disk: {self.scratch_fault}; {ANOTHER_SCRATCH}")
        return found


def needed_memory(workers: int) -> int:
    """Return about the bytes of memory that a run takes.

    Examples
    --------
    >>> needed_memory(10) / 1e9
    7.0
    """
    return DRIVER_BYTES + workers * WORKER_BYTES


def look_at_machine(user: Mapping[str, str] = os.environ, out: str = "") -> Machine:
    """Return what a run of this process may take.

    Parameters
    ----------
    user : mapping of str to str
        The user's variables.
    out : str
        The output folder, below which the scratch folder may be.
    """
    # On a cluster node often not all cores. macOS has no such call.
    affinity = getattr(os, "sched_getaffinity", None)
    scratch = scratch_folder(user, out)
    return Machine(
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        memory=free_memory(),
        open_files=raised_limit(),
        scratch=scratch,
        scratch_free=shutil.disk_usage(existing_folder(scratch)).free,
        scratch_noexec=_is_noexec(existing_folder(scratch)),
    )


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the free memory in bytes: of the machine, of the control group, and of the process's limit."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        found.append(next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")))
    for limit, used in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # a group without a limit has the word max
            found.append(int((root / limit).read_text()) - int((root / used).read_text()))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        found.append(soft)
    return max(0, min(found)) if found else None


def raised_limit() -> int:
    """Return the number of files that a process of a run may have open: its soft limit is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = hard == resource.RLIM_INFINITY
    return max(soft, _OPEN_FILES if infinite else min(hard, _OPEN_FILES))


def raise_limit() -> None:
    """Allow this process, and those that it starts, to have more files open. Many systems begin with few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < raised_limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised_limit(), hard))


def scratch_folder(user: Mapping[str, str], out: str) -> str:
    """Return the folder for the scratch files of Spark and Java.

    It is that of the system, or the one that ``TMPDIR`` names. If the system's own is small, or libraries
    cannot be loaded from there, it is a hidden folder below the output folder.
    """
    usual = tempfile.gettempdir()
    named = any(name in user for name in ("TMPDIR", "TEMP", "TMP", "SPARK_LOCAL_DIRS"))
    if named or not out or not (_is_noexec(Path(usual)) or shutil.disk_usage(usual).free < _SCRATCH_BYTES):
        return usual
    return str(Path(out, ".tmp"))


def existing_folder(folder: str) -> Path:
    """Return a folder if it exists, or the deepest one above it that does."""
    path = Path(folder).absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def _is_noexec(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0))
