"""The draw: the real Spark job and CheckSample, beside DuckDB and Polars drawing the same rows.

- *lensneg*: ``spark/sample_negatives.py`` as the local run submits it, two cores, then what CheckSample does,
  in a fresh process: it judges the rows by gate 3, and writes the final files. Counted are the steps of
  the job's summary and all of the latter but imports; the start of the JVM and the session are reported
  apart. A first job, not counted, reads Spark's own files from the disk.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import BenchmarkError, MemoryLimitError, Times, ratio, say, spread, take_turns
from mock_pool import CONFIG, make_pool, plan_draw

from lensneg import storage
from lensneg.local.emr import FINAL_STATES, LocalEmrServerless, local_submit_parameters
from lensneg.local.engine import SPARK_JOB
from lensneg.rules.split import split_of_pixel
from lensneg.schema.columns import MANIFEST_SCHEMA

CORES = 2

#: Seconds; what takes longer in its first run takes no more turns, and those seconds are reported.
PATIENCE = 30


class Scale(NamedTuple):
    """How much is measured."""

    pool_rows: tuple[int, ...]
    compared: tuple[int, int]  # pools on which all have all their turns
    positives: int  # 100 rows are drawn for each
    other_positives: tuple[int, ...]
    files: int
    turns: int
    other_turns: int


FULL = Scale(
    pool_rows=(1_500_000, 6_000_000, 24_000_000),
    compared=(6_000_000, 24_000_000),
    positives=1_499,
    other_positives=(150, 5_000),
    files=60,
    turns=5,
    other_turns=3,
)
QUICK = Scale((60_000, 240_000), (60_000, 240_000), 15, (5,), 6, 2, 1)


# --- Four ways to draw


class Drawn(NamedTuple):
    """A draw: its seconds, what else there is to say, and its Parquet files."""

    seconds: float
    more: dict[str, Any]
    output: Path


def with_lensneg(root: str) -> Drawn:
    """Draw with the Spark job, submitted as the local run does it, and with what CheckSample does then."""
    emr = LocalEmrServerless(Path(root) / "logs")
    job_driver = {
        "sparkSubmit": {
            "entryPoint": str(SPARK_JOB),
            "entryPointArguments": ["--run", root],
            "sparkSubmitParameters": local_submit_parameters(CORES),
        }
    }
    begun = time.perf_counter()
    try:
        answer = emr.start_job_run(
            applicationId="local",
            clientToken="bench",
            executionRoleArn="arn:aws:iam::123456789012:role/local",
            jobDriver=job_driver,
        )
        job = emr.get_job_run(answer["JobRunId"])
        while job.state not in FINAL_STATES:
            time.sleep(0.01)
        wall = time.perf_counter() - begun
    finally:
        emr.stop()
    if job.state != "SUCCESS":
        raise BenchmarkError(f"the Spark job failed: {job.state_details}")
    summary = storage.read_json(f"{root}/draw/summary.json")
    in_job = sum(summary["seconds"].values())
    check = harness.run_worker(__file__, "check_sample", root=root)
    keys = ("negatives", "candidates", "row_groups_read", "row_groups_total")
    more = {
        "session": wall - in_job,
        "job": in_job,
        "check": check["seconds"],
        "check_peak_rss": check["peak_rss"],
        "steps": {**summary["seconds"], "CheckSample": check["seconds"]},
        **{key: summary[key] for key in keys},
    }
    return Drawn(in_job + check["seconds"], more, Path(root) / "sample" / "negatives")


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
    # What is left is for the page cache, which holds the pool.
    most = int(0.7 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
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
            "pool": pool["pool"],
            "quota": pool["quota"],
            "threshold": pool["threshold"],
            "sampling_weight": pool["available"] / pool["quota"],
        }
        for rank, stratum in enumerate(quotas["strata"])
        for pool in stratum["pools"]
        if pool["quota"]
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
    concat(brickname, '_', objid) AS galaxy_id, split, {run}
"""

#: The keys of all rows are ranked, then the chosen rows fetched: faster than to rank whole rows.
DUCKDB_EXACT = """
    WITH pool AS (SELECT * FROM read_parquet({files})),
    ranked AS (
      SELECT targetid, stratum_rank, quota, sampling_weight, row_number() OVER (
        PARTITION BY stratum_rank, pool ORDER BY sampling_priority, targetid) AS place
      FROM pool JOIN quotas USING (nobs_z_bin, type_bin, pool)),
    chosen AS (SELECT * FROM ranked WHERE place <= quota)
    SELECT pool.*, stratum_rank, sampling_weight, {added}
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
        .select("targetid", "stratum_rank", "sampling_weight")
        .collect(engine="streaming")
    )
    (
        rows.join(chosen.lazy(), on="targetid")
        .join(pl.LazyFrame(splits), on="healpix_128")
        .with_columns(
            pl.concat_str("brickname", "objid", separator="_").alias("galaxy_id"),
            **{name: pl.lit(value) for name, value in run.items()},
        )
        .sort("stratum_rank", "pool", "sampling_priority", "targetid")
        .select(MANIFEST_SCHEMA.names)
        .sink_parquet(output, compression="zstd")
    )
    return {"seconds": time.perf_counter() - begun}


ENGINES: dict[str, Callable[[str], Drawn]] = {
    "lensneg": with_lensneg,
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


def measure_pools(scale: Scale, roots: dict[int, str]) -> dict[str, Any]:
    """Time the draw of one sample from pools of several sizes."""
    arena = Arena()
    engines, skipped = {}, {}
    for rows, root in roots.items():
        engines[rows], skipped[rows] = able(arena, root)
    times: Times = {}
    others = [(rows,) for rows in scale.pool_rows if rows not in scale.compared]
    for together in (scale.compared, *others):
        times |= take_turns(
            {
                f"{engine} {rows}": arena.contestant(engine, roots[rows])
                for rows in together
                for engine in engines[rows]
            },
            scale.turns if together == scale.compared else scale.other_turns,
            "draw from a pool",
        )
    small, large = scale.compared
    growing = [engine for engine in engines[large] if engine in engines[small]]
    return {
        "sizes": [
            {
                "rows": rows,
                "mb": round(sum(f.stat().st_size for f in Path(root, "pool").iterdir()) / 1e6, 1),
                "seconds": {engine: spread(times[f"{engine} {rows}"]) for engine in engines[rows]},
                "lensneg_over": {
                    engine: ratio(times, f"lensneg {rows}", f"{engine} {rows}")
                    for engine in engines[rows]
                    if engine != "lensneg"
                },
                "more": {engine: arena.more(engine, root) for engine in engines[rows]},
                "skipped": skipped[rows],
            }
            for rows, root in roots.items()
        ],
        "compared": scale.compared,
        "growth": {engine: ratio(times, f"{engine} {large}", f"{engine} {small}") for engine in growing},
    }


def able(arena: Arena, root: str) -> tuple[list[str], dict[str, str]]:
    """Return the engines that take turns on a pool, and why others do not: Polars may lack memory or time."""
    try:
        seconds = arena.contestant("polars", root)()
        reason = f"its first run took {seconds:.0f} s" if seconds > PATIENCE else ""
    except MemoryLimitError as error:
        reason = str(error)
    if not reason:
        return list(ENGINES), {}
    say(f"polars is left out: {reason}")
    return [engine for engine in ENGINES if engine != "polars"], {"polars": reason}


def measure_sample(scale: Scale, positives: int, root: str) -> dict[str, Any]:
    """Time the draw of a sample of another size."""
    arena, drawn = Arena(), positives * CONFIG.negative_pools.neg_pos_ratio
    times = take_turns(
        {engine: arena.contestant(engine, root) for engine in ("lensneg", "duckdb")},
        scale.other_turns,
        f"draw of {drawn:,} rows",
    )
    return {
        "drawn": drawn,
        "seconds": {engine: spread(values) for engine, values in times.items()},
        "lensneg_over": {"duckdb": ratio(times, "lensneg", "duckdb")},
        "more": {engine: arena.more(engine, root) for engine in times},
    }


def measure(quick: bool) -> dict[str, Any]:
    """Run all of this module's measurements."""
    scale = QUICK if quick else FULL
    pools = {rows: make_pool(rows, scale.files) for rows in scale.pool_rows}
    roots = {rows: plan_draw(pool, scale.positives) for rows, pool in pools.items()}
    for pool in pools.values():
        harness.warm(pool)
    with_lensneg(roots[min(roots)])
    found = measure_pools(scale, roots)
    small = scale.compared[0]
    (size,) = (size for size in found["sizes"] if size["rows"] == small)
    drawn = scale.positives * CONFIG.negative_pools.neg_pos_ratio
    samples = [
        {**size, "drawn": drawn},
        *(measure_sample(scale, n, plan_draw(pools[small], n)) for n in scale.other_positives),
    ]
    return {
        "turns": scale.turns,
        "other_turns": scale.other_turns,
        "files": scale.files,
        "cores": CORES,
        "drawn": drawn,
        "pools": found,
        "samples_from": small,
        "samples": sorted(samples, key=lambda sample: sample["drawn"]),
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
