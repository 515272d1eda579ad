"""``lensneg run --plan``: gate 1's checks, and what a run would read, draw and take. Nothing is written."""

import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from lensneg import storage
from lensneg.catalogs.footprint import inside_cells
from lensneg.cost.tables import MB, load_rates
from lensneg.errors import LensnegError
from lensneg.local.machine import existing_folder, look_at_machine, needed_memory
from lensneg.local.stream import plan_stream
from lensneg.schema.check import Check
from lensneg.schema.config import Config
from lensneg.schema.request import RunRequest
from lensneg.stages.preflight.gate1 import look
from lensneg.stages.preflight.inspection import Inspection

#: Of 1,615 real lenses, those of each type and bin of nobs_z.
_TYPES: Final = {"SER": 965, "DEV": 425, "REX": 183, "EXP": 42}
_BINS: Final = {"1-2": 22, "3-5": 619, "6-10": 920, "11+": 54}

#: Bytes that are read to learn how fast files are read; fewer from a web server.
_TRIED_BYTES: Final = 64 << 20
_TRIED_BYTES_OF_SERVER: Final = 4 << 20

#: Seconds of a run besides the map: gates, Java and report; and of the draw, for each negative.
_FIXED_SECONDS: Final = 30.0
_SECONDS_OF_NEGATIVE: Final = 2e-5

#: A drawn row is in the draw's file, the sample's and the manifest's.
_COPIES: Final = 3


class Stratum(NamedTuple):
    """A stratum, and about the positives and negatives in it; None if its share of lenses is not known."""

    nobs_z_bin: str
    type_bin: str
    positives: int | None
    negatives: int | None


class RunPlan(NamedTuple):
    """What a run would read, draw and take.

    Attributes
    ----------
    checks : list of Check
        Those of gate 1 that need nothing to be written.
    files, bytes, rows, pool_rows : int
        The sweep files and what they hold; of the pool about.
    positives, negatives : int
        Positives in the sweep files, and about the negatives for them, as far as all are matched.
    strata : list of Stratum
    workers, memory, disk : int
        What the run takes of this machine, in bytes.
    memory_free, disk_free : int or None
    read_rate : float
        Bytes a second at which the largest file was read just now.
    seconds : float
        About the time of the run.
    shortages : list of str
        What this machine lacks, each with what to do.
    """

    checks: list[Check]
    files: int
    bytes: int
    rows: int
    pool_rows: int
    positives: int
    negatives: int
    strata: list[Stratum]
    workers: int
    memory: int
    memory_free: int | None
    disk: int
    disk_free: int
    read_rate: float
    seconds: float
    shortages: list[str]


def plan_run(request: RunRequest, workers: int | None, stream_disk: float) -> RunPlan:
    """Make gate 1's checks of a run, and estimate what it takes.

    Parameters
    ----------
    request : RunRequest
    workers : int, optional
        Worker processes; by default those of a run.
    stream_disk : float
        The GB that fetched sweep files may take at a time.
    """
    found, checks = look(request)
    rates, machine = load_rates().rates, look_at_machine(out=request.out)
    workers = workers or machine.workers
    stream = plan_stream(request, int(stream_disk * 1e9))
    n_bytes = sum(sweep.needed_bytes or sweep.size for sweep in found.sweeps)
    rows = sum(sweep.rows for sweep in found.sweeps)
    positives = _positives_inside(found)
    negatives = positives * found.config.negative_pools.neg_pos_ratio if found.config else 0
    pool_rows = round(rows * rates.pool_share)
    row_bytes = rates.pool_row_bytes
    largest = max((sweep.size for sweep in found.sweeps), default=0)
    disk = round(pool_rows * row_bytes + _COPIES * (negatives + positives) * row_bytes)
    disk += stream.at_once * largest if stream else 0
    free = shutil.disk_usage(existing_folder(request.out)).free
    shortages = machine.shortages(workers)
    if disk > free:
        what = f"disk: the run takes about {disk / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        shortages.append(f"{what} at {request.out}; free some, or name another folder with --out")
    rate = _read_rate(found)
    at_once = stream.at_once if stream else 1
    read = n_bytes / min(rate * at_once, rates.map_rate * MB * workers) if rate else 0.0
    runs = 2 if request.mode == "test-then-full" else 1
    return RunPlan(
        checks=[*checks, _output(request)],
        files=len(found.sweeps),
        bytes=n_bytes,
        rows=rows,
        pool_rows=pool_rows,
        positives=positives,
        negatives=negatives,
        strata=expected_strata(found.config, positives) if found.config else [],
        workers=workers,
        memory=needed_memory(workers),
        memory_free=machine.memory,
        disk=disk,
        disk_free=free,
        read_rate=rate,
        seconds=runs * _FIXED_SECONDS + read + negatives * _SECONDS_OF_NEGATIVE,
        shortages=shortages,
    )


def expected_strata(config: Config, positives: int) -> list[Stratum]:
    """Return the strata with about their positives and negatives, by the shares of real lenses.

    Parameters
    ----------
    config : Config
        With the strata. The shares of the published bins and types are known.
    positives : int
        All positives.
    """
    bins, types = config.strata.nobs_z_bins, config.strata.types
    known = set(bins) <= _BINS.keys() and set(types) <= _TYPES.keys()
    found = []
    for nobs_z_bin in bins:
        for kind in types:
            count = None
            if known:
                share = _BINS[nobs_z_bin] / sum(_BINS[b] for b in bins) * _TYPES[kind]
                count = round(positives * share / sum(_TYPES[t] for t in types))
            ratio = config.negative_pools.neg_pos_ratio
            found.append(Stratum(nobs_z_bin, kind, count, None if count is None else count * ratio))
    return found


def _positives_inside(found: Inspection) -> int:
    catalogs = [catalog for source, catalog in found.catalogs if source.role == "positives"]
    if not catalogs or not found.cells:
        return 0
    ra = np.concatenate([catalog.ra for catalog in catalogs])
    dec = np.concatenate([catalog.dec for catalog in catalogs])
    return int(inside_cells(ra, dec, found.cells).sum())


def _read_rate(found: Inspection) -> float:
    """Return the bytes a second at which the largest sweep file is read; 0 if it cannot be."""
    if not found.sweeps:
        return 0.0
    sweep = max(found.sweeps, key=lambda sweep: sweep.size)
    size = min(sweep.size, _TRIED_BYTES_OF_SERVER if storage.is_http(sweep.uri) else _TRIED_BYTES)
    buffer, came, started = memoryview(bytearray(1 << 20)), 0, time.perf_counter()
    try:
        with closing(storage.open_range(sweep.uri, 0, size)) as reader:
            while count := reader.readinto(buffer):
                came += count
    except (LensnegError, OSError):
        return 0.0
    return came / max(time.perf_counter() - started, 1e-6)


def _output(request: RunRequest) -> Check:
    """Look whether the output folder could be written to, and write nothing."""
    there = existing_folder(request.out)
    return Check(
        name="output_writable",
        passed=os.access(there, os.W_OK | os.X_OK),
        expected="an output folder that can be written to",
        actual=request.out if Path(request.out) == there else f"{request.out}, to be made below {there}",
        remedy="give yourself the permission, or name another folder with --out",
    )
