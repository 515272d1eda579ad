"""The draw: the real Spark job and CheckSample, beside DuckDB and Polars drawing the same rows.

- *lensneg*: ``spark/sample_negatives.py`` as the local run submits it, two cores, in a driver that has just
  been started, then what CheckSample does, in a fresh process: it judges the rows by gate 3, and writes the
  final files. Counted are all seconds from the start of the job to its end, with the start of Java and of
  the session, and all of CheckSample but imports.
- *lensneg_warm*: the same in a driver that has run one job, as the full run after a mini-test does it.
- *duckdb*: ranks the keys of all rows in a window, then fetches the chosen rows: exact without thresholds.
- *duckdb_thresholds*: the same, but told the thresholds that the Spark job is told.
- *polars*: ranks the keys of all rows, then fetches the chosen rows.

DuckDB and Polars have two threads and a fresh process for each run; importing them is not counted. They
write the same rows with the same columns, in the same order. They are given the split of each pixel as a
table, which is not counted; lensneg computes it. Only lensneg writes the positives, counts what it wrote, and
checks it. Every run must write the same TARGETIDs with the same splits, or the benchmark stops.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import BenchmarkError, MemoryLimitError, Times, ratio, say, spread, take_turns
from mock_pool import CONFIG, make_pool, plan_draw
from small_run import java_of

from lensneg import storage
from lensneg.local.emr import FINAL_STATES, LocalEmrServerless, local_submit_parameters
from lensneg.local.engine import SPARK_JOB, job_options, render, substitutions
from lensneg.rules.split import split_of_pixel
from lensneg.schema.columns import MANIFEST_SCHEMA

CORES = 2

#: Seconds; what takes longer in its first run takes no more turns, and those seconds are reported.
PATIENCE = 120

#: Cores, and threads of EMR's executors, whose effect on the job's steps is measured.
CORES_TRIED = (1, 2, 4)


class Size(NamedTuple):
    """A pool, and the positives of its draw: 100 rows are drawn for each."""

    rows: int
    files: int
    positives: int


class Scale(NamedTuple):
    """How much is measured."""

    compared: tuple[Size, Size]  # they take turns with each other
    whole: Size  # as many rows and files as the survey
    most_positives: int  # of the largest draw from the latter, by lensneg alone
    turns: int


FULL = Scale(
    compared=(Size(6_000_000, 60, 1_499), Size(24_000_000, 60, 1_499)),
    whole=Size(42_000_000, 1_224, 5_000),
    most_positives=50_000,
    turns=3,
)
QUICK = Scale((Size(60_000, 6, 15), Size(240_000, 6, 15)), Size(300_000, 100, 30), 60, 2)


# --- Four ways to draw


class Drawn(NamedTuple):
    """A draw: its seconds, what else there is to say, and its Parquet files."""

    seconds: float
    more: dict[str, Any]
    output: Path


class LocalJobs:
    """The local EMR Serverless, with a driver that is kept for all jobs, or one for each job."""

    def __init__(self, kept: bool, cores: int = CORES) -> None:
        self._kept, self._cores = kept, cores
        self._emr: LocalEmrServerless | None = None

    def stop(self) -> None:
        """End the driver."""
        if self._emr is not None:
            self._emr.stop()
        self._emr = None

    def draw(self, root: str) -> Drawn:
        """Draw with the Spark job, submitted as the local run does it, and with what CheckSample does."""
        if self._emr is None:
            self._emr = LocalEmrServerless(harness.SCRATCH / "draw-logs")
            if self._kept:
                self._job(self._emr, root)
        try:
            seconds, java = self._job(self._emr, root)
        finally:
            if not self._kept:
                self.stop()
        summary = storage.read_json(f"{root}/draw/summary.json")
        check = harness.run_worker(__file__, "check_sample", root=root)
        keys = ("negatives", "candidates", "row_groups_read", "row_groups_total")
        more = {
            "start": seconds - sum(summary["seconds"].values()),
            "job": sum(summary["seconds"].values()),
            "check": check["seconds"],
            "java_peak_rss": java,
            "check_peak_rss": check["peak_rss"],
            "steps": {**summary["seconds"], "CheckSample": round(check["seconds"], 3)},
            **{key: summary[key] for key in keys},
        }
        return Drawn(seconds + check["seconds"], more, Path(root) / "sample" / "negatives")

    def _job(self, emr: LocalEmrServerless, root: str) -> tuple[float, int]:
        """Run the job; return its seconds, and the highest resident set of its Java."""
        submit = {
            "entryPoint": str(SPARK_JOB),
            "entryPointArguments": ["--run", root],
            "sparkSubmitParameters": job_options(render(substitutions(local_submit_parameters(self._cores)))),
        }
        begun = time.perf_counter()
        answer = emr.start_job_run(
            applicationId="local",
            clientToken="bench",
            executionRoleArn="arn:aws:iam::123456789012:role/local",
            jobDriver={"sparkSubmit": submit},
        )
        job = emr.get_job_run(answer["JobRunId"])
        while job.state not in FINAL_STATES:
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        if job.state != "SUCCESS":
            raise BenchmarkError(f"the Spark job failed: {job.state_details}")
        # Those of other drivers are not its own.
        below = [pid for driver in emr._drivers for pid in java_of(driver._process.pid)]
        return seconds, max((harness.memory("VmHWM", pid) for pid in below), default=0)


COLD, WARM = LocalJobs(kept=False), LocalJobs(kept=True)


def check_sample_task(root: str) -> dict[str, Any]:
    """Judge the rows that the job wrote, and write them in their final form, in a worker."""
    harness.as_installed()  # before the import of pyarrow.dataset
    from lensneg.stages.check_sample import check_sample

    pa.set_cpu_count(CORES)
    begun = time.perf_counter()
    gate = check_sample(root).gate
    seconds = time.perf_counter() - begun
    if not gate.passed:
        raise BenchmarkError(gate.cause)
    return {"seconds": seconds}


def in_worker(task: str, root: str) -> Drawn:
    """Draw with another engine, in a fresh process that may take most of the memory."""
    output = Path(root) / task
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    most = int(0.75 * harness.available_bytes())  # the rest is for the page cache, which holds the pool
    threads = {"POLARS_MAX_THREADS": str(CORES)}
    result = harness.run_worker(__file__, task, most, threads, root=root, output=str(output / "0.parquet"))
    return Drawn(result.pop("seconds"), result, output)


def quota_rows(root: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return a run's pool files, and what is drawn from each stratum and pool."""
    quotas = json.loads(Path(root, "quotas.json").read_text())
    rows = [
        {
            "stratum_rank": rank,
            "nobs_z_bin": stratum["nobs_z_bin"],
            "type_bin": stratum["type_bin"],
            "pool": draw["pool"],
            "draw": draw["draw"],
            "quota": draw["quota"],
            "threshold": draw["ranges"][0]["highest"],
            "sampling_weight": draw["available"] / draw["quota"],
        }
        for rank, stratum in enumerate(quotas["strata"])
        for draw in stratum["draws"]
    ]
    return [f"{root}/pool/{name}" for name in quotas["pool_files"]], rows


def splits_and_run(root: str) -> tuple[pa.Table, dict[str, str]]:
    """Return the split of each pixel, and the columns that identify the run."""
    pixels = np.arange(12 * 128**2, dtype=np.int32)
    splits = {"healpix_128": pixels, "split": pa.array(split_of_pixel(pixels, CONFIG.spatial_splits))}
    run: dict[str, str] = json.loads(Path(root, "quotas.json").read_text())["manifest"]["run"]
    return pa.table(splits), run


#: What the draw adds to the columns of the pool, but the weight, in SQL.
ADDED = """
    concat(brickname, '_', objid) AS galaxy_id, concat(brickname, '-', objid) AS object_id, split,
    NULL::SMALLINT AS fold, {run}
"""

#: The keys of all rows are ranked, then the chosen rows fetched: faster than to rank whole rows.
DUCKDB_EXACT = """
    WITH pool AS (SELECT * FROM read_parquet({files})),
    ranked AS (
      SELECT targetid, stratum_rank, draw, quota, sampling_weight, row_number() OVER (
        PARTITION BY stratum_rank, pool ORDER BY sampling_priority, targetid) AS place
      FROM pool JOIN quotas USING (nobs_z_bin, type_bin, pool)),
    chosen AS (SELECT * FROM ranked WHERE place <= quota)
    SELECT pool.*, stratum_rank, draw, sampling_weight, {added}
    FROM pool JOIN chosen USING (targetid) JOIN splits USING (healpix_128)
    ORDER BY stratum_rank, pool, sampling_priority, targetid
"""

#: With thresholds so little is left that whole rows are ranked. The constant is what the statistics of row
#: groups can be held against.
DUCKDB_THRESHOLDS = """
    SELECT * EXCLUDE (quota, threshold), {added}
    FROM read_parquet({files}) JOIN quotas USING (nobs_z_bin, type_bin, pool) JOIN splits USING (healpix_128)
    WHERE sampling_priority <= {highest} AND sampling_priority <= threshold
    QUALIFY quota >= row_number() OVER (
      PARTITION BY stratum_rank, pool ORDER BY sampling_priority, targetid)
    ORDER BY stratum_rank, pool, sampling_priority, targetid
"""


def duckdb_task(query: str) -> Callable[..., dict[str, Any]]:
    """Return the worker's task that draws with DuckDB."""

    def task(root: str, output: str) -> dict[str, Any]:
        import duckdb

        files, quotas = quota_rows(root)
        highest = max(row["threshold"] for row in quotas)
        splits, run = splits_and_run(root)
        added = ADDED.format(run=", ".join(f"'{value}' AS {name}" for name, value in run.items()))
        begun = time.perf_counter()
        connection = duckdb.connect(config={"threads": CORES, "temp_directory": f"{output}.spill"})
        connection.register("quotas", pa.Table.from_pylist(quotas))
        connection.register("splits", splits)
        rows = query.format(files=files, highest=highest, added=added)
        rows = f"SELECT {', '.join(MANIFEST_SCHEMA.names)} FROM ({rows})"
        connection.execute(f"COPY ({rows}) TO '{output}' (FORMAT parquet, COMPRESSION zstd)")
        seconds = time.perf_counter() - begun
        connection.close()
        return {"seconds": seconds}

    return task


def polars_task(root: str, output: str) -> dict[str, Any]:
    """Draw with Polars, in a worker."""
    import polars as pl

    files, quotas = quota_rows(root)
    keys = ["nobs_z_bin", "type_bin", "pool"]
    splits, run = splits_and_run(root)
    begun = time.perf_counter()
    rows = pl.scan_parquet(files)
    place = pl.col("sampling_priority").rank("ordinal").over(["stratum_rank", "pool"])
    chosen = (
        rows.select(*keys, "sampling_priority", "targetid")  # a priority is never shared
        .join(pl.LazyFrame(quotas), on=keys)
        .filter(place <= pl.col("quota"))
        .select("targetid", "stratum_rank", "draw", "sampling_weight")
        .collect(engine="streaming")
    )
    (
        rows.join(chosen.lazy(), on="targetid")
        .join(pl.LazyFrame(splits), on="healpix_128")
        .with_columns(
            pl.concat_str("brickname", "objid", separator="_").alias("galaxy_id"),
            pl.concat_str("brickname", "objid", separator="-").alias("object_id"),
            pl.lit(None, pl.Int16).alias("fold"),
            **{name: pl.lit(value) for name, value in run.items()},
        )
        .sort("stratum_rank", "pool", "sampling_priority", "targetid")
        .select(MANIFEST_SCHEMA.names)
        .sink_parquet(output, compression="zstd")
    )
    return {"seconds": time.perf_counter() - begun}


ENGINES: dict[str, Callable[[str], Drawn]] = {
    "lensneg": COLD.draw,
    "lensneg_warm": WARM.draw,
    "duckdb": lambda root: in_worker("duckdb", root),
    "duckdb_thresholds": lambda root: in_worker("duckdb_thresholds", root),
    "polars": lambda root: in_worker("polars", root),
}


def ids_sha256(folder: Path) -> str:
    """Return a hash of the TARGETIDs and splits in a folder's files, in order, and how many there are."""
    parts = sorted(path for path in folder.iterdir() if path.suffix == ".parquet")
    rows = pa.concat_tables([pq.ParquetFile(path).read(["targetid", "split"]) for path in parts])
    ids, splits = rows["targetid"].to_numpy(), "".join(name[1] for name in rows["split"].to_pylist())
    return f"{hashlib.sha256(ids.tobytes() + splits.encode()).hexdigest()} of {len(rows):,}"


# --- The measurements


class Arena:
    """Runs engines on runs; keeps what they say, and makes sure that all draw the same."""

    def __init__(self) -> None:
        self.said: dict[str, list[dict[str, Any]]] = {}
        self._sha256: dict[str, str] = {}

    def contestant(self, engine: str, root: str) -> Callable[[], float]:
        """Return a function that draws once and returns the seconds."""

        def draw() -> float:
            drawn = ENGINES[engine](root)
            found = ids_sha256(drawn.output)
            known = self._sha256.setdefault(root, found)
            if found != known:
                raise BenchmarkError(
                    f"{engine} draws other rows from {Path(root).parent}: {found}, not {known}"
                )
            self.said.setdefault(f"{engine} {root}", []).append(drawn.more)
            return drawn.seconds

        return draw

    def more(self, engine: str, root: str) -> dict[str, Any]:
        """Return what an engine said beside its seconds: the spread of numbers, or the last of the rest."""
        said = self.said[f"{engine} {root}"]
        return {
            key: spread([entry[key] for entry in said]) if isinstance(value, float) else value
            for key, value in said[-1].items()
        }


def measure_pools(sizes: Sequence[Size], turns: int) -> list[dict[str, Any]]:
    """Time the draws from pools of several sizes, in turns; the last entry is the growth between them."""
    arena, times, able_ = Arena(), Times(), dict[Size, tuple[list[str], dict[str, str]]]()
    roots = {size: plan_draw(make_pool(size.rows, size.files), size.positives) for size in sizes}
    for size, root in roots.items():
        harness.warm(Path(root) / "pool")
        able_[size] = able(arena, root)
    contestants = {
        f"{engine} {size.rows}": arena.contestant(engine, root)
        for size, root in roots.items()
        for engine in able_[size][0]
    }
    times = take_turns(contestants, turns, "draw")
    WARM.stop()
    found = [
        {
            "rows": size.rows,
            "files": size.files,
            "drawn": size.positives * CONFIG.negative_pools.neg_pos_ratio,
            "mb": round(sum(f.stat().st_size for f in Path(root, "pool").iterdir()) / 1e6, 1),
            "seconds": {engine: spread(times[f"{engine} {size.rows}"]) for engine in able_[size][0]},
            "over": {
                f"{own}/{engine}": ratio(times, f"{own} {size.rows}", f"{engine} {size.rows}")
                for own in ("lensneg", "lensneg_warm")
                for engine in able_[size][0]
                if not engine.startswith("lensneg")
            },
            "more": {engine: arena.more(engine, root) for engine in able_[size][0]},
            "skipped": able_[size][1],
        }
        for size, root in roots.items()
    ]
    if len(sizes) == 2:
        small, large = (size.rows for size in sizes)
        growing = [engine for engine in able_[sizes[1]][0] if engine in able_[sizes[0]][0]]
        growth = {engine: ratio(times, f"{engine} {large}", f"{engine} {small}") for engine in growing}
        found.append({"growth": growth})
    return found


def able(arena: Arena, root: str) -> tuple[list[str], dict[str, str]]:
    """Return the engines that take turns on a pool, and why others do not: for lack of memory or time."""
    skipped: dict[str, str] = {}
    for engine in ("polars", "duckdb"):
        try:
            seconds = arena.contestant(engine, root)()
            if seconds > PATIENCE:
                skipped[engine] = f"its first run took {seconds:.0f} s"
        except MemoryLimitError as error:
            skipped[engine] = str(error)
        if engine in skipped:
            say(f"{engine} is left out: {skipped[engine]}")
    return [engine for engine in ENGINES if engine not in skipped], skipped


def measure_cores(size: Size, turns: int) -> dict[str, Any]:
    """Time the steps of the job in warm drivers with several numbers of cores."""
    root = plan_draw(make_pool(size.rows, size.files), size.positives)
    drivers = {str(cores): LocalJobs(kept=True, cores=cores) for cores in CORES_TRIED}

    def steps(driver: LocalJobs) -> float:
        return float(driver.draw(root).more["job"])

    try:
        drawing = {cores: (lambda driver=driver: steps(driver)) for cores, driver in drivers.items()}
        times = take_turns(drawing, turns, "the job's steps by cores")
    finally:
        for driver in drivers.values():
            driver.stop()
    return {"rows": size.rows, "seconds": {cores: spread(values) for cores, values in times.items()}}


def measure(quick: bool) -> dict[str, Any]:
    """Run all of this module's measurements."""
    scale = QUICK if quick else FULL
    begun = os.getloadavg()
    [*sizes, growth] = measure_pools(scale.compared, scale.turns)
    cores = measure_cores(scale.compared[1], scale.turns)
    [whole] = measure_pools([scale.whole], scale.turns)
    largest = scale.whole._replace(positives=scale.most_positives)
    root = plan_draw(make_pool(largest.rows, largest.files), largest.positives)
    drawn = COLD.draw(root)
    return {
        "turns": scale.turns,
        "cores": CORES,
        "load": [begun, os.getloadavg()],
        "sizes": sizes,
        **growth,
        "whole": whole,
        "by_cores": cores,
        "largest": {
            "rows": largest.rows,
            "drawn": largest.positives * CONFIG.negative_pools.neg_pos_ratio,
            "seconds": drawn.seconds,
            **drawn.more,
        },
    }


if __name__ == "__main__":
    harness.serve(
        {
            "check_sample": check_sample_task,
            "duckdb": duckdb_task(DUCKDB_EXACT),
            "duckdb_thresholds": duckdb_task(DUCKDB_THRESHOLDS),
            "polars": polars_task,
        }
    )
    options = harness.arguments(__doc__.partition("\n")[0])
    harness.report(measure(options.quick), options.out)
