"""The global draw, as an EMR Serverless job: up to which priority each stratum and pool is drawn.

Only PySpark and the standard library are imported, and there is no Python UDF: every expression runs in
the JVM, so nothing has to be installed on EMR and a laptop runs the very same job.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json`` (what to draw, and below which priority it lies) and four columns of the pool files
named there. It writes ``sample/summary.json``: for each stratum and pool the rows drawn and the priority of
the last. Priorities are a one-to-one function of TARGETID, so this defines the sample, and whoever gathers
its rows (``lensneg/stages/check_sample``) needs neither ranks nor a sort of the pool.

The cost follows the sample: pool files hold the rows of lowest priority in row groups of their own, and
Parquet's statistics exclude the others. Where a threshold proves too low, that stratum is read again without
one, so the draw is always exact.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, NamedTuple
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the name under which PySpark code knows it)

#: Thresholds that exclude all and nothing: sampling priorities are signed 64-bit integers.
PRIORITY_MIN, PRIORITY_MAX = -(2**63), 2**63 - 1

#: What a draw is made from.
KEYS = ("nobs_z_bin", "type_bin", "pool")

#: The columns of pool files that the job reads. Given rather than found, so that no file's footer is read
#: for them; a file that lacks one is refused when its rows are gathered.
SCHEMA = "nobs_z_bin string, type_bin string, pool string, sampling_priority long"

STEPS = ("reading the pool", "drawing")


class Draw(NamedTuple):
    """What one stratum takes from one pool."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    quota: int
    threshold: int


def draws_of(quotas: dict[str, Any]) -> list[Draw]:
    """Return every stratum and pool of quotas.json that takes any rows."""
    return [
        Draw(
            stratum["nobs_z_bin"],
            stratum["type_bin"],
            pool["pool"],
            pool["quota"],
            pool["threshold"],
        )
        for stratum in quotas["strata"]
        for pool in stratum["pools"]
        if pool["quota"] > 0
    ]


def table(spark: SparkSession, rows: list[tuple[Any, ...]], names: str) -> DataFrame:
    """Return a small table that is part of the query: rows sent from Python would cost a Python worker."""
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return spark.sql(f"SELECT * FROM VALUES {values} AS t ({names})")  # noqa: S608 (literals, escaped)


def literal(value: str | int) -> str:
    """Return a value in Spark's SQL, whose strings are escaped as JSON's are."""
    return json.dumps(value) if isinstance(value, str) else f"{value}L"


def candidates_of(pool: DataFrame, draws: list[Draw]) -> DataFrame:
    """Return the rows of the pool that some draw may take, with that draw's number and quota.

    The comparison with the highest threshold is what Parquet skips row groups by. The stratum's own is then
    looked up, which costs a row the same however many strata there are.
    """
    rows = [(*draw[:3], number, draw.quota, draw.threshold) for number, draw in enumerate(draws)]
    names = ", ".join([*KEYS, "draw", "quota", "threshold"])
    highest = max(draw.threshold for draw in draws)
    return (
        pool.where(F.col("sampling_priority") <= highest)
        .join(F.broadcast(table(pool.sparkSession, rows, names)), list(KEYS))
        .where("sampling_priority <= threshold")
    )


class Last(NamedTuple):
    """The last row that a draw takes.

    ``candidates`` are the rows below its threshold, ``sources`` the TARGETIDs among them, ``rows`` how many
    of those are drawn, and ``priority`` is that of the last one drawn.
    """

    candidates: int
    sources: int
    rows: int
    priority: int


#: Of a draw that finds nothing.
NOTHING = Last(0, 0, 0, PRIORITY_MIN)


def last_rows(pool: DataFrame, draws: list[Draw]) -> list[Last]:
    """Return the last row of each draw: its candidates' priorities, each once, in one sorted array."""
    if not draws:
        return []
    counted = (
        candidates_of(pool, draws)
        .groupBy("draw", "quota")
        .agg(
            F.count(F.lit(1)).alias("candidates"),
            F.sort_array(F.collect_set("sampling_priority")).alias("priorities"),
        )
        .withColumn("sources", F.size("priorities"))
        .withColumn("rows", F.expr("int(least(quota, sources))"))
        .withColumn("priority", F.expr("element_at(priorities, rows)"))
        .select("draw", *Last._fields)
    )
    found = {row["draw"]: Last(*row[1:]) for row in counted.collect()}
    return [found.get(number, NOTHING) for number in range(len(draws))]


class Settled(NamedTuple):
    """The draws as they were made, with the last row of each; ``widened`` are those that were read twice."""

    draws: list[Draw]
    last: list[Last]
    widened: list[Draw]


def settle(pool: DataFrame, draws: list[Draw]) -> Settled:
    """Find for each draw the priority of the last row that it takes.

    Where a threshold let through fewer sources than are taken, all are read again, those draws without one.
    """
    last = last_rows(pool, draws)
    short = [
        draw
        for draw, found in zip(draws, last, strict=True)
        if draw.threshold < PRIORITY_MAX and found.sources < draw.quota
    ]
    if short:
        draws = [draw._replace(threshold=PRIORITY_MAX) if draw in short else draw for draw in draws]
        last = last_rows(pool, draws)
    return Settled(draws, last, short)


def hadoop_path(spark: SparkSession, uri: str) -> tuple[Any, Any]:
    """Return a Hadoop path and its file system, which knows S3 and local paths alike."""
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    path = jvm.org.apache.hadoop.fs.Path(uri)
    return path, path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())


def read_json(spark: SparkSession, uri: str) -> Any:
    """Return a JSON file's value."""
    path, file_system = hadoop_path(spark, uri)
    stream = file_system.open(path)
    try:
        size = file_system.getFileStatus(path).getLen()
        return json.loads(bytes(stream.readNBytes(size)))
    finally:
        stream.close()


def write_json(spark: SparkSession, uri: str, value: Any) -> None:
    """Write a JSON file in one piece."""
    path, file_system = hadoop_path(spark, uri)
    stream = file_system.create(path, True)
    stream.write(bytearray(json.dumps(value, indent=1).encode() + b"\n"))
    stream.close()


def read_pool(spark: SparkSession, folder: str, names: list[str]) -> DataFrame:
    """Return the pool: the files that were counted. A folder is listed at once, files one by one.

    Row groups are skipped by their statistics. Pages are not: within a row group the priorities of all strata
    are mixed, and to stitch pages together costs more than to decode them.
    """
    reader = spark.read.schema(SCHEMA).option("parquet.filter.columnindex.enabled", "false")
    pool = reader.parquet(folder)
    found = {unquote(file.rpartition("/")[2]) for file in pool.inputFiles()}
    # Items that failed, where that is tolerated, may have left a file behind.
    return pool if found == set(names) else reader.parquet(*(f"{folder}/{name}" for name in names))


class Progress:
    """Says on standard error which step the job is at, and keeps the seconds of each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._step, self._since = "", time.monotonic()

    def step(self, name: str) -> None:
        """Begin a step."""
        self.end()
        self._step, self._since = name, time.monotonic()
        print(f"lensneg: step {STEPS.index(name) + 1} of {len(STEPS)}: {name}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the step under way."""
        if self._step:
            self.seconds[self._step] = round(time.monotonic() - self._since, 3)


def row_groups(quotas: dict[str, Any], draws: list[Draw]) -> dict[str, int]:
    """Return how many row groups the pool files have, and how many of them the draws had to read.

    A row group is read if its lowest priority is at or below some draw's threshold.
    """
    lowest = [priority for file in quotas["row_groups"].values() for _, priority in file]
    highest_threshold = max((draw.threshold for draw in draws), default=PRIORITY_MIN)
    read = sum(priority <= highest_threshold for priority in lowest)
    return {"row_groups_read": read, "row_groups_total": len(lowest)}


def sample(spark: SparkSession, root: str) -> dict[str, Any]:
    """Settle a run's draws; return the summary as written."""
    progress = Progress()
    progress.step("reading the pool")
    quotas = read_json(spark, f"{root}/quotas.json")
    pool = read_pool(spark, f"{root}/pool", quotas["pool_files"])

    progress.step("drawing")
    settled = settle(pool, draws_of(quotas))

    progress.end()
    summary = {
        "run_id": quotas["run_id"],
        "spark_version": spark.version,
        "rows": [
            {**dict(zip(KEYS, draw[:3], strict=True)), "rows": last.rows, "last_priority": last.priority}
            for draw, last in zip(settled.draws, settled.last, strict=True)
        ],
        "negatives": sum(last.rows for last in settled.last),
        "candidates": sum(last.candidates for last in settled.last),
        "duplicate_targetids": sum(last.candidates - last.sources for last in settled.last),
        **row_groups(quotas, settled.draws),
        "widened": [list(draw[:3]) for draw in settled.widened],
        "seconds": progress.seconds,
    }
    write_json(spark, f"{root}/sample/summary.json", summary)
    return summary


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description="Draw the negatives of a run.")
    parser.add_argument("--run", required=True, metavar="URI", help="the run's folder")
    arguments = parser.parse_args()
    spark = (
        SparkSession.builder.appName("lensneg sample_negatives")
        # The plan is simple and its tables small: to plan it anew between stages would only cost time.
        .config("spark.sql.adaptive.enabled", "false")
        .getOrCreate()
    )
    try:
        sample(spark, arguments.run.rstrip("/"))
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
