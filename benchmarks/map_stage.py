"""The map: one sweep file through ``filter_item`` on one core, beside what else could read it.

- *raw read*: the file's bytes into an 8 MiB buffer, and nothing done with them;
- *fitsio*: the needed columns by fitsio, then the cuts in pandas, written as Parquet;
- *astropy*: ``Table.read``, then the cuts in NumPy, written as Parquet.

The two baselines apply the five cuts that look at a source alone and write what is left. They do less than
the map, which also puts sources in pools, keeps clear of 38,000 lenses, matches positives, computes
HEALPix pixels and priorities, and sorts. All find the same number of rows, or the benchmark stops.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import BenchmarkError, ratio, say, spread, take_turns, timed

from lensneg import storage
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.item import Item
from lensneg.schema.run import Run, load_run
from lensneg.schema.sweep_columns import MASKBITS
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.stages.plan_fan_out import plan_fan_out
from lensneg.stages.preflight.gate1 import preflight

#: Rows of the files of the scaling curve. The real files have 1.4 to 3.7 million.
ROWS = (250_000, 500_000, 1_000_000, 2_000_000, 3_700_000)
QUICK_ROWS = (25_000, 50_000)

#: Lenses and candidates that are known all over the sky, beside the positives.
OTHER_LENSES = 38_000

CONFIG = Config.parse(harness.CONFIG.read_text(encoding="utf-8"))
SELECTION = CONFIG.selection
MASKED = CONFIG.exclusion.maskbits_value | 1 << MASKBITS["NPRIMARY"]
BUFFER_BYTES = 8 << 20


# --- The map


class Planned:
    """A run of one whole sweep file, planned, whose one item can be worked on again and again."""

    def __init__(self, run: Run, item: Item) -> None:
        self.run, self.item = run, item

    @classmethod
    def of(cls, sky: Path, name: str, sweeps: str | None = None) -> Planned:
        """Plan a run over a sky, or over a copy of its sweep file elsewhere."""
        out = harness.SCRATCH / "map" / name
        shutil.rmtree(out, ignore_errors=True)
        answer = preflight(
            {
                "run_id": name,
                "mode": "test",
                "config": str(harness.edited_config(out / "config.yaml", target_item_bytes=1 << 40)),
                "sweeps": sweeps or str(sky / "sweeps"),
                "positives": [str(sky / "positives.csv")],
                "exclude": [str(other_lenses())],
                "out": str(out),
            }
        )
        if not answer.gate.passed:
            raise BenchmarkError(answer.gate.cause)
        plan_fan_out(answer.root)
        return cls.load(answer.root)

    @classmethod
    def load(cls, root: str) -> Planned:
        """Load a run that was planned before."""
        run = load_run(root)
        (item,) = storage.read_json(run.files.items)
        return cls(run, Item.model_validate(item))

    def filter(self) -> int:
        """Work on the item anew; return how many rows pass the cuts that look at a source alone."""
        self.forget()
        stats = filter_item(self.run, self.item)
        return stats.rows_kept + stats.cut["no_pool"] + stats.cut["near_lens"] + stats.cut["border"]

    def timed(self) -> float:
        """Return the seconds that the item takes where nothing is left of it, as in a run."""
        self.forget()
        return timed(lambda: filter_item(self.run, self.item))

    def forget(self) -> None:
        """Remove what the item left: a file system waits where a file that it has not stored is replaced."""
        files, item = self.run.files, self.item.id
        for uri in (files.stats(item), files.positives(item), files.pool(item)):
            storage.delete(uri)

    def of_copy(self, path: Path) -> Planned:
        """Return the same run with the item's sweep file replaced by a copy."""
        info = storage.stat(str(path))
        return Planned(self.run, self.item.model_copy(update={"sweep": info.uri, "etag": info.etag}))


def other_lenses() -> Path:
    """Return a catalogue of positions that are uniform on the sphere."""

    def make(folder: Path) -> None:
        rng = np.random.default_rng(38)
        ra = rng.uniform(0, 360, OTHER_LENSES)
        dec = np.degrees(np.arcsin(rng.uniform(-1, 1, OTHER_LENSES)))
        with (folder / "lenses.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "ra", "dec"])
            writer.writerows([f"L{i}", f"{ra[i]:.6f}", f"{dec[i]:.6f}"] for i in range(OTHER_LENSES))

    return harness.prepared(harness.SCRATCH / "lenses", [Path(__file__)], make) / "lenses.csv"


def sweep_of(sky: Path) -> Path:
    """Return the one sweep file of a sky."""
    (path,) = (sky / "sweeps").iterdir()
    return path


# --- What it is compared with


def read_raw(path: Path) -> None:
    """Read a file's bytes."""
    buffer = bytearray(BUFFER_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def gunzip(path: Path) -> None:
    """Uncompress a file with Python's gzip."""
    buffer = bytearray(BUFFER_BYTES)
    with gzip.open(path) as file:
        while file.readinto(buffer):
            pass


def native(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a column in this machine's byte order, text as str."""
    if values.dtype.kind == "S":
        return values.astype(np.str_)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def with_fitsio(path: Path, out: Path) -> int:
    """Cut a sweep file with fitsio and pandas."""
    import fitsio
    import pandas as pd

    data = fitsio.read(str(path), ext=1, columns=list(NEEDED_COLUMNS))
    frame = pd.DataFrame({name: native(data[name]) for name in NEEDED_COLUMNS})
    with np.errstate(divide="ignore", invalid="ignore"):
        mag_z = 22.5 - 2.5 * np.log10(frame["FLUX_Z"].astype("float64"))
    kept = frame[
        (mag_z < SELECTION.z_mag_limit)
        & frame["TYPE"].str.strip().isin(SELECTION.types)
        & (frame["NOBS_Z"] >= SELECTION.nobs_min["z"])
        & np.isfinite(frame["RA"])
        & np.isfinite(frame["DEC"])
        & ((frame["MASKBITS"] & MASKED) == 0)
    ]
    kept.to_parquet(out, compression="zstd")
    return len(kept)


def with_astropy(path: Path, out: Path) -> int:
    """Cut a sweep file with astropy and NumPy."""
    from astropy.table import Table

    # The fastest way: by default it would also parse every unit, and mask every NaN.
    table = Table.read(path, hdu=1, unit_parse_strict="silent", mask_invalid=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        mag_z = 22.5 - 2.5 * np.log10(np.asarray(table["FLUX_Z"], dtype=np.float64))
    types = np.array([name.encode() for name in SELECTION.types])
    kept = table[
        (mag_z < SELECTION.z_mag_limit)
        & np.isin(np.asarray(table["TYPE"]), types)
        & (np.asarray(table["NOBS_Z"]) >= SELECTION.nobs_min["z"])
        & np.isfinite(np.asarray(table["RA"]))
        & np.isfinite(np.asarray(table["DEC"]))
        & ((np.asarray(table["MASKBITS"]) & MASKED) == 0)
    ]
    columns = {name: pa.array(native(np.asarray(kept[name]))) for name in NEEDED_COLUMNS}
    pq.write_table(pa.table(columns), out, compression="zstd")
    return len(kept)


# --- The measurements


def measure_size(rows: int, turns: int, with_others: bool) -> dict[str, Any]:
    """Time a file of so many rows."""
    sky = harness.mock_sky(1, rows)
    path, planned = sweep_of(sky), Planned.of(sky, f"rows{rows}")
    out = harness.SCRATCH / "map" / "baseline.parquet"
    harness.warm(path)
    found = {"lensneg": planned.filter}
    if with_others:
        found["fitsio"] = lambda: with_fitsio(path, out)
        found["astropy"] = lambda: with_astropy(path, out)
        counts = {name: count() for name, count in found.items()}
        if len(set(counts.values())) != 1:
            raise BenchmarkError(f"rows that pass the cuts differ: {counts}")
    contestants: dict[str, Callable[[], float]] = {"raw": lambda: timed(lambda: read_raw(path))}
    contestants |= {name: (lambda work=work: timed(work)) for name, work in found.items()}
    contestants["lensneg"] = planned.timed
    times = take_turns(contestants, turns, f"map of {rows:,} rows")
    size = path.stat().st_size
    return {
        "rows": rows,
        "mb": round(size / 1e6, 1),
        "seconds": {name: spread(values) for name, values in times.items()},
        "mb_per_s": spread([size / 1e6 / seconds for seconds in times["lensneg"]]),
        "lensneg_over_raw": ratio(times, "lensneg", "raw"),
        **{f"{name}_over_lensneg": ratio(times, name, "lensneg") for name in found if name != "lensneg"},
    }


def measure_memory(rows: int) -> dict[str, Any]:
    """Return the peak of memory of a fresh process, with each reader, and before it reads."""
    sky = harness.mock_sky(1, rows)
    path = sweep_of(sky)
    peaks = {
        reader: peak_of(reader, Planned.of(sky, f"memory{rows}"), path)
        for reader in ("none", "lensneg", "fitsio", "astropy")
    }
    say(f"memory at {rows:,} rows: {', '.join(f'{k} {v / 1e6:,.0f} MB' for k, v in peaks.items())}")
    return {"rows": rows, "file": path.stat().st_size, **peaks}


def peak_of(reader: str, planned: Planned, path: Path) -> int:
    """Return the peak of memory of a process that reads a sweep file once."""
    root = planned.run.files.root
    return int(harness.run_worker(__file__, "read", reader=reader, root=root, path=str(path))["peak_rss"])


def read_once(reader: str, root: str, path: str) -> dict[str, Any]:
    """Read a sweep file once, in a worker; ``none`` only loads what the map would need."""
    harness.one_core()
    if reader in ("none", "lensneg"):
        harness.as_installed()
    planned = Planned.load(root)
    out = harness.SCRATCH / "map" / "baseline.parquet"
    {
        "none": lambda: 0,
        "lensneg": planned.filter,
        "fitsio": lambda: with_fitsio(Path(path), out),
        "astropy": lambda: with_astropy(Path(path), out),
    }[reader]()
    return {}


def measure_gzip(rows: int, turns: int) -> dict[str, Any]:
    """Time a gzipped file, beside the plain one and beside uncompressing it alone."""
    plain, packed = harness.mock_sky(1, rows), harness.mock_sky(1, rows, gzip=True)
    path = sweep_of(packed)
    uncut, cut = Planned.of(plain, "plain"), Planned.of(packed, "gzip")
    if uncut.filter() != cut.filter():
        raise BenchmarkError("a gzipped file gives other rows than the plain one")
    harness.warm(path)
    times = take_turns(
        {
            "gunzip": lambda: timed(lambda: gunzip(path)),
            "gzipped": cut.timed,
            "plain": uncut.timed,
        },
        turns,
        f"map of {rows:,} gzipped rows",
    )
    size = path.stat().st_size
    return {
        "rows": rows,
        "mb": round(size / 1e6, 1),
        "seconds": {name: spread(values) for name, values in times.items()},
        "mb_per_s": spread([size / 1e6 / seconds for seconds in times["gzipped"]]),
        "peak_rss": peak_of("lensneg", cut, path),
        "gzipped_over_gunzip": ratio(times, "gzipped", "gunzip"),
        "gzipped_over_plain": ratio(times, "gzipped", "plain"),
    }


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """Serve a folder as S3 from another process, on another core, to this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(
        zip(names, ("testing", "testing", "us-east-1", f"http://127.0.0.1:{port}"), strict=True)
    )
    storage.s3_client.cache_clear()
    command = [sys.executable, str(Path(__file__).with_name("s3_files.py")), str(folder), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        os.sched_setaffinity(server.pid, harness.CORES - os.sched_getaffinity(0) or harness.CORES)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            raise BenchmarkError("the server of files does not answer")
        yield
    finally:
        server.terminate()
        server.wait()
        storage.s3_client.cache_clear()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure_s3(rows: int, turns: int) -> dict[str, Any]:
    """Time a map that reads from S3 beside a download followed by a map of the file."""
    sky = harness.mock_sky(1, rows)
    path = sweep_of(sky)
    folder = harness.SCRATCH / "map" / "download"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with s3_server(sky):
        client = storage.s3_client()
        planned = Planned.of(sky, "s3", "s3://sky/sweeps")

        def body() -> Any:
            return client.get_object(Bucket="sky", Key=f"sweeps/{path.name}")["Body"]

        def read() -> None:
            stream = body()
            while stream.read(BUFFER_BYTES):
                pass

        def download_and_filter() -> int:
            with (folder / path.name).open("wb") as file:
                shutil.copyfileobj(body(), file, BUFFER_BYTES)
            return planned.of_copy(folder / path.name).filter()

        if planned.filter() != download_and_filter():
            raise BenchmarkError("a file in S3 gives other rows than its copy")
        times = take_turns(
            {
                "get_object": lambda: timed(read),
                "lensneg": planned.timed,
                "download": lambda: timed(download_and_filter),
            },
            turns,
            f"map of {rows:,} rows in S3",
        )
    shutil.rmtree(folder)
    size = path.stat().st_size
    return {
        "rows": rows,
        "mb": round(size / 1e6, 1),
        "seconds": {name: spread(values) for name, values in times.items()},
        "mb_per_s": spread([size / 1e6 / seconds for seconds in times["lensneg"]]),
        "lensneg_over_get_object": ratio(times, "lensneg", "get_object"),
        "lensneg_over_download": ratio(times, "lensneg", "download"),
    }


def measure(quick: bool) -> dict[str, Any]:
    """Run all of this module's measurements."""
    harness.one_core()
    rows, turns = (QUICK_ROWS, 2) if quick else (ROWS, 5)
    compared = rows if quick else (1_000_000, 3_700_000)
    Planned.of(harness.mock_sky(1, QUICK_ROWS[0]), "warm-up").filter()
    return {
        "turns": turns,
        "other_lenses": OTHER_LENSES,
        "sizes": [measure_size(n, turns, n in compared) for n in rows],
        "memory": [measure_memory(n) for n in compared],
        "gzip": measure_gzip(compared[0], turns),
        "s3": measure_s3(compared[0], turns),
    }


if __name__ == "__main__":
    harness.serve({"read": read_once})
    options = harness.arguments(__doc__.partition("\n")[0])
    harness.report(measure(options.quick), options.out)
