"""The global draw, as an EMR Serverless job: from each stratum and pool the rows of lowest priority.

Only PySpark and the standard library are imported, and there is no Python UDF: every expression runs in
the JVM, so nothing has to be installed on EMR and a laptop runs the very same job.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json`` (what to draw, and below which priority it lies), the pool files named there and
``matched_positives.parquet``. It writes ``sample/negatives/``, ``sample/positives/`` and, last,
``sample/summary.json``.

The cost follows the sample: pool files hold the rows of lowest priority in row groups of their own, and
Parquet's statistics exclude the others. Where a threshold proves too low, that stratum is read again without
one, so the draw is always exact.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (the name under which PySpark code knows it)

#: A threshold that excludes nothing: sampling priorities are signed 64-bit integers.
PRIORITY_MAX = 2**63 - 1

#: What a draw is made from.
KEYS = ("nobs_z_bin", "type_bin", "pool")

STEPS = ("reading the pool", "drawing", "drawing again", "writing positives")


class Draw(NamedTuple):
    """What one stratum takes from one pool. ``rank`` is the stratum's place in the manifest."""

    rank: int
    nobs_z_bin: str
    type_bin: str
    pool: str
    available: int
    quota: int
    threshold: int


def draws_of(quotas: dict[str, Any]) -> list[Draw]:
    """Return every stratum and pool of quotas.json that takes any rows."""
    return [
        Draw(
            rank,
            stratum["nobs_z_bin"],
            stratum["type_bin"],
            pool["pool"],
            pool["available"],
            pool["quota"],
            pool["threshold"],
        )
        for rank, stratum in enumerate(quotas["strata"])
        for pool in stratum["pools"]
        if pool["quota"] > 0
    ]


def belongs_to(draw: Draw) -> Column:
    """Return the condition that a row can be part of a draw: its stratum, its pool, its priority."""
    member = (
        (F.col("nobs_z_bin") == draw.nobs_z_bin)
        & (F.col("type_bin") == draw.type_bin)
        & (F.col("pool") == draw.pool)
    )
    if draw.threshold >= PRIORITY_MAX:
        return member
    return member & (F.col("sampling_priority") <= draw.threshold)


def candidates_of(pool: DataFrame, draws: Iterable[Draw]) -> DataFrame:
    """Return the rows of the pool that some draw may take."""
    return pool.where(reduce(Column.__or__, [belongs_to(draw) for draw in draws], F.lit(False)))


def number_copies(candidates: DataFrame) -> DataFrame:
    """Count through the rows of each TARGETID by sweep file, then row; only the first may be drawn."""
    copies = Window.partitionBy("targetid").orderBy("sweep_file", "row_index")
    return candidates.withColumn("copy", F.row_number().over(copies))


def widened(draws: list[Draw], drawn: dict[tuple[str, ...], int]) -> list[Draw]:
    """Return the draws without a threshold where theirs let through fewer sources than they take.

    Parameters
    ----------
    draws : list of Draw
    drawn : dict
        Rows drawn with these thresholds, by stratum and pool (:data:`KEYS`).

    Returns
    -------
    list of Draw
        The same draws where no threshold was too low.
    """
    return [
        draw._replace(threshold=PRIORITY_MAX)
        if drawn.get((draw.nobs_z_bin, draw.type_bin, draw.pool), 0) < draw.quota
        else draw
        for draw in draws
    ]


def lowest(numbered: DataFrame, draws: list[Draw]) -> DataFrame:
    """Return each draw's rows of lowest (priority, TARGETID), with ``stratum_rank`` and the weight."""
    spark = numbered.sparkSession
    table = spark.createDataFrame(
        [(d.rank, d.nobs_z_bin, d.type_bin, d.pool, d.quota, d.available / d.quota) for d in draws],
        "stratum_rank int, nobs_z_bin string, type_bin string, pool string, quota long, "
        "sampling_weight double",
    )
    order = Window.partitionBy("stratum_rank", "pool").orderBy("sampling_priority", "targetid")
    return (
        numbered.where("copy = 1")
        .join(F.broadcast(table), list(KEYS))
        .withColumn("place", F.row_number().over(order))
        .where("place <= quota")
        .drop("place", "quota", "copy")
    )


def split_column(rule: dict[str, Any]) -> Column:
    """Return the split of each row, by its HEALPix pixel.

    u is the first four bytes, big-endian, of the SHA-256 of ``"{pixel}_{seed}"``, divided by 2^32.
    """
    text = F.concat(F.col("healpix_128").cast("string"), F.lit(f"_{rule['seed']}"))
    first_bytes = F.substring(F.sha2(text, 256), 1, 8)
    u = F.conv(first_bytes, 16, 10).cast("double") / F.lit(2.0**32)
    split = F.lit(rule["names"][-1])
    for name, edge in reversed(list(zip(rule["names"], rule["edges"], strict=False))):
        split = F.when(u < F.lit(edge), F.lit(name)).otherwise(split)
    return split


def finish(rows: DataFrame, quotas: dict[str, Any]) -> DataFrame:
    """Add the columns that depend on the whole run, and put all into the manifest's order."""
    run = quotas["run_columns"]
    return (
        rows.withColumn("galaxy_id", F.concat_ws("_", "brickname", "objid"))
        .withColumn("split", split_column(quotas["split"]))
        .withColumn("pipeline_version", F.lit(run["pipeline_version"]))
        .withColumn("git_commit", F.lit(run["git_commit"]))
        .withColumn("extraction_timestamp", F.lit(run["extraction_timestamp"]).cast("timestamp"))
        .sortWithinPartitions("stratum_rank", "pool", "sampling_priority", "targetid")
        .select(*quotas["columns"])
    )


def with_rank(positives: DataFrame, quotas: dict[str, Any]) -> DataFrame:
    """Add the stratum's place in the manifest to the positives, and their weight."""
    ranks = positives.sparkSession.createDataFrame(
        [(rank, s["nobs_z_bin"], s["type_bin"]) for rank, s in enumerate(quotas["strata"])],
        "stratum_rank int, nobs_z_bin string, type_bin string",
    )
    return positives.join(F.broadcast(ranks), ["nobs_z_bin", "type_bin"]).withColumn(
        "sampling_weight", F.lit(1.0)
    )


def write(rows: DataFrame, uri: str, rows_per_file: int) -> None:
    """Write a table in files of at most so many rows."""
    rows.write.mode("overwrite").option("maxRecordsPerFile", rows_per_file).parquet(uri)


def count_rows(negatives: DataFrame) -> dict[tuple[str, ...], int]:
    """Return the rows of each stratum and pool."""
    counted = negatives.groupBy(*KEYS).agg(F.count("*").alias("rows")).orderBy(*KEYS).collect()
    return {tuple(row[key] for key in KEYS): row["rows"] for row in counted}


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
    """Return how many row groups the pool files have, and how many their statistics let a reader skip.

    A row group is read if its lowest priority is at or below some draw's threshold.
    """
    lowest = [priority for file in quotas["row_groups"].values() for _, priority in file]
    highest_threshold = max((draw.threshold for draw in draws), default=-(2**63))
    read = sum(priority <= highest_threshold for priority in lowest)
    return {"row_groups_read": read, "row_groups_total": len(lowest)}


def draw_negatives(
    pool: DataFrame, draws: list[Draw], quotas: dict[str, Any], output: str
) -> tuple[dict[tuple[str, ...], int], dict[str, int]]:
    """Draw and write the negatives; return the rows written, and ``candidates`` and ``copies`` met.

    The candidates go into one partition: the sample is small, and rows in one place need no further
    shuffle to be numbered, ranked and ordered.
    """
    met = Observation()
    numbered = number_copies(candidates_of(pool, draws).repartition(1)).observe(
        met,
        F.count(F.lit(1)).alias("candidates"),
        F.count(F.when(F.col("copy") > 1, 1)).alias("copies"),
    )
    write(finish(lowest(numbered, draws), quotas), output, quotas["rows_per_file"])
    return count_rows(pool.sparkSession.read.parquet(output)), met.get


def sample(spark: SparkSession, root: str) -> dict[str, Any]:
    """Draw a run's negatives, and write them with its positives; return the summary as written."""
    progress = Progress()
    progress.step("reading the pool")
    quotas = read_json(spark, f"{root}/quotas.json")
    draws = draws_of(quotas)
    pool = spark.read.parquet(*[f"{root}/pool/{name}" for name in quotas["pool_files"]])
    output = f"{root}/sample/negatives"

    progress.step("drawing")
    written, met = draw_negatives(pool, draws, quotas, output)

    progress.step("drawing again")
    again = widened(draws, written)
    if again != draws:
        written, met = draw_negatives(pool, again, quotas, output)

    progress.step("writing positives")
    positives = spark.read.parquet(f"{root}/matched_positives.parquet").repartition(1)
    write(finish(with_rank(positives, quotas), quotas), f"{root}/sample/positives", quotas["rows_per_file"])

    progress.end()
    summary = {
        "run_id": quotas["run_id"],
        "spark_version": spark.version,
        "rows": [{**dict(zip(KEYS, key, strict=True)), "rows": rows} for key, rows in written.items()],
        "negatives": sum(written.values()),
        "positives": positives.count(),
        "candidates": met["candidates"],
        "duplicate_targetids": met["copies"],
        **row_groups(quotas, again),
        "widened": [list(new[1:4]) for new, old in zip(again, draws, strict=True) if new != old],
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
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    try:
        sample(spark, arguments.run.rstrip("/"))
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
