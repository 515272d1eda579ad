"""The global draw, as an EMR Serverless job: find the last priority that each stratum and pool takes.

The job imports PySpark and the standard library alone, and has no Python UDF. Every expression runs in the
JVM, so nothing has to be installed on EMR, and a laptop runs the same job.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json``, with the quotas and thresholds of priority, and four columns of the pool files named
there. It writes ``draw/summary.json`` with the number of rows of each stratum and pool, and the priority of
the last one. Priorities are a one-to-one function of TARGETID, so this defines the sample.
``lensneg/stages/check_sample`` gathers its rows without ranks and without a sort of the pool.

The cost depends on the size of the sample: pool files hold the rows of lowest priority in row groups of their
own, and Parquet's statistics exclude the others. If a threshold is too low, the pool is read again without
that threshold, so the draw is always exact.
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

#: The lowest and highest sampling priority: priorities are signed 64-bit integers.
PRIORITY_MIN, PRIORITY_MAX = -(2**63), 2**63 - 1

#: The columns that identify a draw.
KEYS = ("nobs_z_bin", "type_bin", "pool")

#: The columns of pool files that the job reads. As they are given, Spark reads no footer to find them. A file
#: that lacks one is refused when its rows are gathered.
SCHEMA = "nobs_z_bin string, type_bin string, pool string, sampling_priority long"

STEPS = ("reading the pool", "drawing")


class Draw(NamedTuple):
    """The rows that one stratum takes from one pool."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    quota: int
    threshold: int


def draws_of(quotas: dict[str, Any]) -> list[Draw]:
    """Return the strata and pools of quotas.json that take any rows."""
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
    """Return a small table as part of the query. Rows sent from Python would need a Python worker."""
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return spark.sql(f"SELECT * FROM VALUES {values} AS t ({names})")  # noqa: S608 (literals, escaped)


def literal(value: str | int) -> str:
    """Return a value in Spark's SQL, whose strings are escaped as JSON's are."""
    return json.dumps(value) if isinstance(value, str) else f"{value}L"


def candidates_of(pool: DataFrame, draws: list[Draw]) -> DataFrame:
    """Return the rows of the pool that some draw may take, with that draw's number and quota.

    Parquet skips row groups by the comparison with the highest threshold. Each row is then compared with its
    own stratum's threshold, which a join looks up. Its cost does not depend on the number of strata.
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

    ``candidates`` is the number of rows up to its threshold, ``sources`` the number of TARGETIDs among them,
    ``rows`` the number of those that are drawn, and ``priority`` the priority of the last one.
    """

    candidates: int
    sources: int
    rows: int
    priority: int


#: The result of a draw that finds no rows.
NOTHING = Last(0, 0, 0, PRIORITY_MIN)


def last_rows(pool: DataFrame, draws: list[Draw]) -> list[Last]:
    """Return the last row of each draw, from a sorted array of its candidates' distinct priorities."""
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
    """The draws, the last row of each, and the draws whose threshold was too low (``widened``)."""

    draws: list[Draw]
    last: list[Last]
    widened: list[Draw]


def settle(pool: DataFrame, draws: list[Draw]) -> Settled:
    """Find the priority of the last row that each draw takes.

    If a threshold lets through fewer sources than the quota, the pool is read again without that threshold.
    """
    last = last_rows(pool, draws)
    short = [
        draw
        for draw, found in zip(draws, last)
        if draw.threshold < PRIORITY_MAX and found.sources < draw.quota
    ]
    if short:
        draws = [draw._replace(threshold=PRIORITY_MAX) if draw in short else draw for draw in draws]
        last = last_rows(pool, draws)
    return Settled(draws, last, short)


def hadoop_path(spark: SparkSession, uri: str) -> tuple[Any, Any]:
    """Return a Hadoop path and its file system, of S3 or of this machine."""
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
    r"""Return the pool: the rows of the files that were counted.

    Spark lists a folder with one request and looks up files one by one, so it reads the folder if that holds
    these files alone. Row groups are skipped by their statistics. Pages are not: a row group mixes the
    priorities of all strata, and joining the pages that are left takes longer than decoding all of them. The
    checksums of the pages are verified. Names are taken as they are: by default Spark takes one with
    ``[ ] { } * ? \\`` for a pattern.
    """
    reader = (
        spark.read.schema(SCHEMA)
        .option("parquet.filter.columnindex.enabled", "false")
        .option("parquet.page.verify-checksum.enabled", "true")
        .option("__globPaths__", "false")
    )
    pool = reader.parquet(folder)
    found = {unquote(file.rpartition("/")[2]) for file in pool.inputFiles()}
    # An item that failed, if that is tolerated, may have left a file.
    return pool if found == set(names) else reader.parquet(*(f"{folder}/{name}" for name in names))


class Progress:
    """Print the job's steps to standard error, and keep the seconds of each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._step, self._since = "", time.monotonic()

    def step(self, name: str) -> None:
        """Begin a step."""
        self.end()
        self._step, self._since = name, time.monotonic()
        print(f"lensneg: step {STEPS.index(name) + 1} of {len(STEPS)}: {name}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the current step."""
        if self._step:
            self.seconds[self._step] = round(time.monotonic() - self._since, 3)


def row_groups(quotas: dict[str, Any], draws: list[Draw]) -> dict[str, int]:
    """Return the number of row groups of the pool files, and the number of those that the draws read.

    A row group is read if its lowest priority is at or below some draw's threshold.
    """
    lowest = [priority for file in quotas["row_groups"].values() for _, priority in file]
    highest_threshold = max((draw.threshold for draw in draws), default=PRIORITY_MIN)
    read = sum(priority <= highest_threshold for priority in lowest)
    return {"row_groups_read": read, "row_groups_total": len(lowest)}


def sample(spark: SparkSession, root: str) -> dict[str, Any]:
    """Settle a run's draws, write the summary, and return it."""
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
            {**dict(zip(KEYS, draw[:3])), "rows": last.rows, "last_priority": last.priority}
            for draw, last in zip(settled.draws, settled.last)
        ],
        "negatives": sum(last.rows for last in settled.last),
        "candidates": sum(last.candidates for last in settled.last),
        "duplicate_targetids": sum(last.candidates - last.sources for last in settled.last),
        **row_groups(quotas, settled.draws),
        "widened": [list(draw[:3]) for draw in settled.widened],
        "seconds": progress.seconds,
    }
    write_json(spark, f"{root}/draw/summary.json", summary)
    return summary


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description="Draw the negatives of a run.")
    parser.add_argument("--run", required=True, metavar="URI", help="the run's folder")
    arguments = parser.parse_args()
    spark = (
        SparkSession.builder.appName("lensneg sample_negatives")
        # The plan is simple and its tables are small, so planning it again between stages only takes time.
        .config("spark.sql.adaptive.enabled", "false")
        .getOrCreate()
    )
    try:
        sample(spark, arguments.run.rstrip("/"))
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
