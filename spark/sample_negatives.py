"""The global draw, as an EMR Serverless job: from each stratum and pool the rows of lowest priority.

Only PySpark and the standard library are imported, and there is no Python UDF: every expression runs in
the JVM, so nothing has to be installed on EMR and a laptop runs the very same job.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json`` (what to draw, and below which priority it lies), the pool files named there and
``matched_positives.parquet``. It writes ``sample/negatives/``, ``sample/positives/`` and, last,
``sample/summary.json``.

The cost follows the sample: pool files hold the rows of lowest priority in row groups of their own, and
Parquet's statistics exclude the others. A first reading, of a few columns, settles the exact priority up to
which each stratum is drawn; a second fetches those rows and no others. Where a threshold proves too low, that
stratum is read again without one, so the draw is always exact.

Each stratum and pool is drawn, sorted and written by a task of its own into a file of its own. The files
therefore do not depend on how many cores there are.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from typing import Any, NamedTuple
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (the name under which PySpark code knows it)
from pyspark.sql.types import DoubleType, FloatType

#: Thresholds that exclude all and nothing: sampling priorities are signed 64-bit integers.
PRIORITY_MIN, PRIORITY_MAX = -(2**63), 2**63 - 1

#: What a draw is made from.
KEYS = ("nobs_z_bin", "type_bin", "pool")

STEPS = ("reading the pool", "drawing", "writing negatives", "writing positives", "counting")


class Draw(NamedTuple):
    """What one stratum takes from one pool, in the manifest's order."""

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
            stratum["nobs_z_bin"],
            stratum["type_bin"],
            pool["pool"],
            pool["available"],
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


def literal(value: str | int | float) -> str:
    """Return a value in Spark's SQL, whose strings are escaped as JSON's are."""
    if isinstance(value, str):
        return json.dumps(value)
    return f"{value}L" if isinstance(value, int) else f"{value!r}D"


def candidates_of(pool: DataFrame, draws: list[Draw]) -> DataFrame:
    """Return the rows of the pool that some draw may take, with that draw's number, quota and weight.

    The comparison with the highest threshold is what Parquet skips row groups by. The stratum's own is then
    looked up, which costs a row the same however many strata there are.
    """
    rows = [
        (*draw[:3], number, draw.quota, draw.threshold, draw.available / draw.quota)
        for number, draw in enumerate(draws)
    ]
    names = ", ".join([*KEYS, "draw", "quota", "threshold", "sampling_weight"])
    highest = max(draw.threshold for draw in draws)
    return (
        pool.where(F.col("sampling_priority") <= highest)
        .join(F.broadcast(table(pool.sparkSession, rows, names)), list(KEYS))
        .where("sampling_priority <= threshold")
        .drop("threshold")
    )


class Settled(NamedTuple):
    """Draws whose thresholds are exact, and what was met on the way.

    ``copies`` are rows beyond the first of one TARGETID in one stratum and pool.
    """

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
    short = [d for i, d in enumerate(draws) if d.threshold < PRIORITY_MAX and found.sources(i) < d.quota]
    if short:
        draws = [d._replace(threshold=PRIORITY_MAX) if d in short else d for d in draws]
        found = last_rows(pool, draws)
    exact = [d._replace(threshold=found.priority(i)) for i, d in enumerate(draws) if found.sources(i)]
    return Settled(exact, found.candidates, found.candidates - found.all_sources, short)


class LastRows(NamedTuple):
    """For each draw, by its number: its candidates, the sources among them, and the last priority taken."""

    by_draw: dict[int, tuple[int, int, int]]

    def sources(self, draw: int) -> int:
        """Return how many sources a draw can choose from."""
        return self.by_draw[draw][1] if draw in self.by_draw else 0

    def priority(self, draw: int) -> int:
        """Return the priority of the last row of a draw that finds any."""
        return self.by_draw[draw][2]

    @property
    def candidates(self) -> int:
        """Rows below the thresholds."""
        return sum(rows for rows, _, _ in self.by_draw.values())

    @property
    def all_sources(self) -> int:
        """Sources among them."""
        return sum(sources for _, sources, _ in self.by_draw.values())


def last_rows(pool: DataFrame, draws: list[Draw]) -> LastRows:
    """Rank the candidates of some draws: their priorities alone, one sorted array for each draw."""
    if not draws:
        return LastRows({})
    counted = (
        candidates_of(pool, draws)
        .groupBy("draw", "quota")
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sort_array(F.collect_set("sampling_priority")).alias("priorities"),
        )
        .withColumn("sources", F.size("priorities"))
        .withColumn("last", F.expr("element_at(priorities, int(least(quota, sources)))"))
        .select("draw", "rows", "sources", "last")
    )
    return LastRows({row["draw"]: (row["rows"], row["sources"], row["last"]) for row in counted.collect()})


def slots_of(spark: SparkSession, count: int) -> list[int]:
    """Return, for each of so many partitions, a number that Spark's hash partitioning puts there."""
    numbers = table(spark, [(number,) for number in range(20 * count + 100)], "number")
    slots: dict[int, int] = {}
    for row in numbers.select("number", F.pmod(F.hash("number"), F.lit(count)).alias("partition")).collect():
        slots.setdefault(row["partition"], row["number"])
    return [slots[partition] for partition in range(count)]


def drawn_rows(pool: DataFrame, settled: Settled) -> DataFrame:
    """Return all columns of the rows of settled draws and their weight: a partition for each draw, in order.

    Of a source that stands in several rows, the first by sweep file and row is taken.
    """
    spark, draws = pool.sparkSession, settled.draws
    if not draws:
        return pool.where(F.lit(False)).withColumn("sampling_weight", F.lit(0.0))
    slots = table(spark, list(enumerate(slots_of(spark, len(draws)))), "draw, slot")
    rows = candidates_of(pool, draws).join(F.broadcast(slots), "draw").repartition(len(draws), "slot")
    if settled.copies:
        copies = Window.partitionBy("slot", "sampling_priority").orderBy("sweep_file", "row_index")
        rows = rows.withColumn("copy", F.row_number().over(copies)).where("copy = 1").drop("copy")
    # One key of 64 bits: Spark sorts by it with a radix sort.
    return rows.sortWithinPartitions("sampling_priority").drop("draw", "slot", "quota")


def split_column(rule: dict[str, Any]) -> Column:
    """Return the split of each row, by its HEALPix pixel.

    u is the first four bytes, big-endian, of the SHA-256 of ``"{pixel}_{seed}"``, divided by 2^32.
    """
    text = F.concat(F.col("healpix_128").cast("string"), F.lit(f"_{rule['seed']}"))
    # Compared as hexadecimal digits: u is below an edge if its 32 bits are below the edge times 2^32.
    first_bytes = F.substring(F.sha2(text, 256), 1, 8)
    split = F.lit(rule["names"][-1])
    for name, edge in reversed(list(zip(rule["names"], rule["edges"], strict=False))):
        digits = f"{math.ceil(edge * 2**32):08x}"
        split = F.when(first_bytes < F.lit(digits), F.lit(name)).otherwise(split)
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
        .select(*quotas["columns"])
    )


def in_order(positives: DataFrame, quotas: dict[str, Any]) -> DataFrame:
    """Return the positives in one partition, in the manifest's order, with their weight."""
    ranks = [(s["nobs_z_bin"], s["type_bin"], rank) for rank, s in enumerate(quotas["strata"])]
    strata = table(positives.sparkSession, ranks, "nobs_z_bin, type_bin, stratum_rank")
    return (
        positives.join(F.broadcast(strata), ["nobs_z_bin", "type_bin"])
        .withColumn("sampling_weight", F.lit(1.0))
        .repartition(1)
        .sortWithinPartitions("stratum_rank", "pool", "sampling_priority", "targetid")
    )


#: Columns in which a value hardly comes twice: a dictionary would only cost time.
UNLIKE = ("galaxy_id", "row_index", "targetid", "sampling_priority")


def write(rows: DataFrame, uri: str, rows_per_file: int) -> None:
    """Write a table in files of at most so many rows."""
    writer = rows.write.mode("overwrite").option("maxRecordsPerFile", rows_per_file)
    for field in rows.schema.fields:
        if field.name in UNLIKE or isinstance(field.dataType, DoubleType | FloatType):
            writer = writer.option(f"parquet.enable.dictionary#{field.name}", "false")
    writer.parquet(uri)


def count_rows(negatives: DataFrame) -> dict[tuple[str, ...], int]:
    """Return the rows of each stratum and pool."""
    counted = negatives.groupBy(*KEYS).agg(F.count(F.lit(1)).alias("rows")).collect()
    return {tuple(row[key] for key in KEYS): row["rows"] for row in sorted(counted)}


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
    reader = spark.read.option("parquet.filter.columnindex.enabled", "false")
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
    pool = read_pool(spark, f"{root}/pool", quotas["pool_files"])
    output = f"{root}/sample/negatives"

    progress.step("drawing")
    settled = settle(pool, draws)

    progress.step("writing negatives")
    write(finish(drawn_rows(pool, settled), quotas), output, quotas["rows_per_file"])

    progress.step("writing positives")
    positives = spark.read.parquet(f"{root}/matched_positives.parquet")
    write(finish(in_order(positives, quotas), quotas), f"{root}/sample/positives", quotas["rows_per_file"])

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
