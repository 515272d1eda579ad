"""What a run takes of odd machines: many cores, little memory, few open files, a small or noexec /tmp."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lensneg.errors import InputError
from lensneg.local import machine, run, run_process
from lensneg.local.machine import Machine, free_memory, scratch_folder
from lensneg.local.watcher import NoWatcher
from lensneg.schema.request import RunRequest

GB = 1_000_000_000


def made(**changes: object) -> Machine:
    usual = {"cores": 4, "memory": 16 * GB, "open_files": 1024, "scratch": "/tmp"}
    return Machine(**{**usual, "scratch_free": 9 * GB, "scratch_noexec": False, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [(4, 16 * GB, 4), (64, 256 * GB, 64), (64, 16 * GB, 32), (64, 4 * GB, 2), (2, 2 * GB, 1), (8, None, 8)],
)
def test_a_worker_for_each_core_that_the_memory_suffices_for(
    cores: int, memory: int | None, workers: int
) -> None:
    """3 GB for the engine and the driver, and 0.4 GB for each worker."""
    assert made(cores=cores, memory=memory).workers == workers


def test_what_is_short_is_said_with_what_is_needed_and_what_to_do() -> None:
    assert made().shortages(4) == []
    (memory,) = made(cores=64, memory=4 * GB).shortages(64)
    assert memory == (
        "memory: a run with 64 workers takes about 28.6 GB, and 4.0 GB are free; take 2 workers (--workers), "
        "or free some, or ask for more"
    )
    files, disk = made(open_files=256, scratch_free=GB // 10).shortages(4)
    assert files == "open files: a process may have 256, and a run needs up to 1,024; ulimit -n 1024"
    assert disk == (
        "scratch disk: 0.1 GB are free in /tmp, and Spark needs 0.5 GB; name another folder in TMPDIR"
    )
    assert made(scratch_noexec=True).shortages(4) == [
        "scratch disk: /tmp is on a disk that is mounted noexec, and Spark loads libraries from there; name "
        "another folder in TMPDIR"
    ]


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    5000000 kB\n"}, 5_000_000 * 1024),
        ({"proc/meminfo": "MemAvailable: 5000000 kB\n", "sys/fs/cgroup/memory.max": "3000000000\n",
          "sys/fs/cgroup/memory.current": "1000000000\n"}, 2 * GB),
        ({"proc/meminfo": "MemAvailable: 5000000 kB\n", "sys/fs/cgroup/memory.max": "max\n",
          "sys/fs/cgroup/memory.current": "1\n"}, 5_000_000 * 1024),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "100\n",
          "sys/fs/cgroup/memory/memory.usage_in_bytes": "200\n"}, 0),
        ({}, None),
    ],
)  # fmt: skip
def test_the_free_memory_is_that_of_the_machine_or_of_the_jobs_share(
    tmp_path: Path, files: dict[str, str], free: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory(tmp_path) == free


def test_a_run_is_refused_before_it_begins_where_spark_could_not_load_its_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "look_at_machine", lambda out: made(scratch_noexec=True))
    inputs = {"config": "config.yaml", "sweeps": "sweeps", "positives": ["lenses.csv"]}
    request = RunRequest.of_input({"run_id": "one", "mode": "full", "out": str(tmp_path / "out"), **inputs})
    with pytest.raises(InputError, match="/tmp is on a disk that is mounted noexec"):
        run.execute(request, 1, NoWatcher())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["small", "noexec"])
def test_scratch_files_go_elsewhere_where_tmp_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    usage, system = shutil.disk_usage(tmp_path), os.statvfs(tmp_path)
    assert scratch_folder({}, str(tmp_path)) == machine.tempfile.gettempdir()
    if fault == "small":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    else:
        flags = type("Flags", (), {"f_flag": system.f_flag | os.ST_NOEXEC})
        monkeypatch.setattr(os, "statvfs", lambda _: flags)
    assert scratch_folder({}, str(tmp_path)) == str(tmp_path / ".tmp")
    with run_process._scratch(str(tmp_path)) as variables:
        (Path(variables["TMPDIR"]) / "left").touch()
        assert Path(variables["TMPDIR"]).parent == tmp_path
    assert not list(tmp_path.iterdir()), "nothing of it remains"
    assert scratch_folder({"TMPDIR": "/mine"}, str(tmp_path)) == machine.tempfile.gettempdir()


def test_a_run_may_have_more_files_open_than_its_user() -> None:
    program = (
        "import resource; from lensneg.local.machine import raise_limit; raise_limit(); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 700))

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=limit, check=True
    )
    assert done.stdout == "700\n"
