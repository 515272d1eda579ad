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
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, Observation, Row, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (the name under which PySpark code knows it)

#: Thresholds that exclude all and nothing: sampling priorities are signed 64-bit integers.
PRIORITY_MIN, PRIORITY_MAX = -(2**63), 2**63 - 1

#: What a draw is made from.
KEYS = ("nobs_z_bin", "type_bin", "pool")

STEPS = ("reading the pool", "drawing", "writing negatives", "writing positives", "counting")


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


def candidates_of(pool: DataFrame, draws: list[Draw]) -> DataFrame:
    """Return the rows of the pool that some draw may take, with that draw's rank, quota and weight.

    The comparison with the highest threshold is what Parquet skips row groups by. The stratum's own is then
    looked up, which costs a row the same however many strata there are.
    """
    table = pool.sparkSession.createDataFrame(
        [
            (d.nobs_z_bin, d.type_bin, d.pool, d.threshold, d.rank, d.quota, d.available / d.quota)
            for d in draws
        ],
        "nobs_z_bin string, type_bin string, pool string, threshold long, stratum_rank int, quota long, "
        "sampling_weight double",
    )
    highest = max((draw.threshold for draw in draws), default=PRIORITY_MIN)
    return (
        pool.where(F.col("sampling_priority") <= highest)
        .join(F.broadcast(table), list(KEYS))
        .where("sampling_priority <= threshold")
        .drop("threshold")
    )


def number_copies(candidates: DataFrame) -> DataFrame:
    """Count through the rows of each TARGETID by sweep file, then row; only the first may be drawn."""
    copies = Window.partitionBy("targetid").orderBy("sweep_file", "row_index")
    return candidates.withColumn("copy", F.row_number().over(copies))


class Settled(NamedTuple):
    """Draws whose thresholds are exact, and what was met on the way."""

    draws: list[Draw]
    candidates: int
    copies: int
    widened: list[Draw]


def settle(pool: DataFrame, draws: list[Draw]) -> Settled:
    """Find for each draw the priority of the last row that it takes, from a few columns of its candidates.

    Priorities are a one-to-one function of TARGETID, so what lies at or below that priority is the draw
    itself, and its other columns can be read without ranking them. Where a threshold let through fewer
    sources than are taken, that draw's candidates are read again without one.
    """
    found = last_rows(pool, draws)
    short = [d for d in draws if d.threshold < PRIORITY_MAX and found.rows(d) < d.quota]
    if short:
        draws = [d._replace(threshold=PRIORITY_MAX) if d in short else d for d in draws]
        found = last_rows(pool, draws)
    exact = [d._replace(threshold=found.priority(d)) for d in draws if found.rows(d)]
    return Settled(exact, found.candidates, found.copies, short)


class LastRows(NamedTuple):
    """How many rows each draw finds, and the priority of the last one that it takes."""

    by_key: dict[tuple[str, ...], Row]
    candidates: int
    copies: int

    def rows(self, draw: Draw) -> int:
        """Return how many rows a draw finds, at most its quota."""
        row = self.by_key.get(draw[1:4])
        return row["rows"] if row else 0

    def priority(self, draw: Draw) -> int:
        """Return the priority of the last row of a draw that finds any."""
        return int(self.by_key[draw[1:4]]["last"])


def last_rows(pool: DataFrame, draws: list[Draw]) -> LastRows:
    """Rank the candidates of some draws."""
    met = Observation()
    narrow = candidates_of(pool, draws).select(
        *KEYS, "quota", "sampling_priority", "targetid", "sweep_file", "row_index"
    )
    # One partition: the sample is small, and rows in one place need no further shuffle to be ranked.
    numbered = number_copies(narrow.repartition(1)).observe(
        met,
        F.count(F.lit(1)).alias("candidates"),
        F.count(F.when(F.col("copy") > 1, 1)).alias("copies"),
    )
    order = Window.partitionBy(*KEYS).orderBy("sampling_priority")
    ranked = (
        numbered.where("copy = 1").withColumn("place", F.row_number().over(order)).where("place <= quota")
    )
    counted = ranked.groupBy(*KEYS).agg(
        F.count(F.lit(1)).alias("rows"), F.max("sampling_priority").alias("last")
    )
    by_key = {tuple(row[key] for key in KEYS): row for row in counted.collect()}
    return LastRows(by_key, met.get["candidates"], met.get["copies"])


def drawn_rows(pool: DataFrame, settled: Settled) -> DataFrame:
    """Return all columns of the rows of settled draws, with ``stratum_rank`` and the weight."""
    rows = candidates_of(pool, settled.draws).repartition(1)
    if settled.copies:
        rows = number_copies(rows).where("copy = 1").drop("copy")
    return rows.drop("quota")


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
    highest_threshold = max((draw.threshold for draw in draws), default=PRIORITY_MIN)
    read = sum(priority <= highest_threshold for priority in lowest)
    return {"row_groups_read": read, "row_groups_total": len(lowest)}


def sample(spark: SparkSession, root: str) -> dict[str, Any]:
    """Draw a run's negatives, and write them with its positives; return the summary as written."""
    progress = Progress()
    progress.step("reading the pool")
    quotas = read_json(spark, f"{root}/quotas.json")
    draws = draws_of(quotas)
    pool = spark.read.parquet(*[f"{root}/pool/{name}" for name in quotas["pool_files"]])
    output = f"{root}/sample/negatives"

    progress.step("drawing")
    settled = settle(pool, draws)

    progress.step("writing negatives")
    write(finish(drawn_rows(pool, settled), quotas), output, quotas["rows_per_file"])

    progress.step("writing positives")
    positives = spark.read.parquet(f"{root}/matched_positives.parquet").repartition(1)
    write(finish(with_rank(positives, quotas), quotas), f"{root}/sample/positives", quotas["rows_per_file"])

    progress.step("counting")
    written = count_rows(spark.read.parquet(output))
    n_positives = spark.read.parquet(f"{root}/sample/positives").count()

    progress.end()
    summary = {
        "run_id": quotas["run_id"],
        "spark_version": spark.version,
        "rows": [{**dict(zip(KEYS, key, strict=True)), "rows": rows} for key, rows in written.items()],
        "negatives": sum(written.values()),
        "positives": n_positives,
        "candidates": settled.candidates,
        "duplicate_targetids": settled.copies,
        **row_groups(quotas, settled.draws),
        "widened": [list(draw[1:4]) for draw in settled.widened],
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
        # The plan is simple and its tables small: to plan it anew between stages would only cost time.
        .config("spark.sql.adaptive.enabled", "false")
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
