"""The global draw, as an EMR Serverless job: draw each stratum and pool's rows, and write them.

The job imports PySpark and the standard library alone, and has no Python UDF. Every expression runs in the
JVM, so nothing has to be installed on EMR, and a laptop runs the same job. It runs on Python 3.9 and later.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json``, which holds all that the draw needs, and the pool files named there. It writes the
drawn rows with all columns of the manifest, in its order, to ``draw/negatives/``, and then
``draw/summary.json``, which names the parts and counts what they hold. ``lensneg/stages/check_sample``
checks them.

Each draw is cut into *segments*, ranges of sampling priority of about the size of a part. Rows are ranked
within their segment, so a task ranks one segment at a time, however many rows a draw takes.

Pool files hold the rows of lowest priority in row groups of their own, and Parquet's statistics exclude the
others. So the cost follows the sample. If a threshold is too low, the pool is read again without it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

from pyspark.sql import DataFrame, DataFrameReader, Observation, Row, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (the name under which PySpark code knows it)

#: The lowest and highest sampling priority: priorities are signed 64-bit integers.
PRIORITY_MIN, PRIORITY_MAX = -(2**63), 2**63 - 1

#: The columns that identify a draw.
KEYS = ("nobs_z_bin", "type_bin", "pool")

#: The columns of the written parts that are counted for the summary.
COUNTED = "nobs_z_bin string, type_bin string, pool string, split string, sampling_priority long"

#: What is counted while the candidates are ranked.
SEEN = ("candidates", "duplicate_targetids")

#: The settings of the session.
SETTINGS = {
    # The plan is simple and its tables are small, so planning it again between stages only takes time.
    "spark.sql.adaptive.enabled": "false",
    # This rule would sort all candidates once more, to find the copies of sources.
    "spark.sql.optimizer.windowGroupLimitThreshold": "-1",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}

STEPS = ("reading the pool", "drawing", "counting")


class Draw(NamedTuple):
    """The rows that one stratum takes from one pool."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    available: int
    quota: int
    threshold: int


def draws_of(quotas: dict[str, Any]) -> list[Draw]:
    """Return the strata and pools of quotas.json that take any rows, in the manifest's order."""
    return [
        Draw(stratum["nobs_z_bin"], stratum["type_bin"], *(pool[name] for name in Draw._fields[2:]))
        for stratum in quotas["strata"]
        for pool in stratum["pools"]
        if pool["quota"] > 0
    ]


class Segment(NamedTuple):
    """A range of a draw's priorities. Its ``take`` lowest sources are drawn, and written to a part."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    sampling_weight: float
    lowest: int
    highest: int
    take: int
    part: int = 0


def segments_of(draw: Draw, size: int) -> list[Segment]:
    """Cut a draw into ranges of equal width up to its threshold, of about ``size`` rows each."""
    count = -(-draw.quota // size)
    width = draw.threshold - PRIORITY_MIN + 1
    edges = [PRIORITY_MIN + width * number // count for number in range(count + 1)]
    weight = draw.available / draw.quota
    return [
        Segment(*draw[:3], weight, lowest, following - 1, draw.quota)
        for lowest, following in zip(edges, edges[1:])
    ]


def cut_off(segments: list[Segment], quota: int, sources: dict[int, int]) -> list[Segment]:
    """Return the segments that hold drawn rows. ``sources`` counts those of each, by its lowest priority."""
    found = []
    for segment in segments:
        take = min(quota, sources.get(segment.lowest, 0))
        found.append(segment._replace(take=take))
        quota -= take
    return [segment for segment in found if segment.take]


def plan(pool: DataFrame, draws: list[Draw], size: int) -> list[Segment]:
    """Return the segments of all draws, in the manifest's order, in parts of about ``size`` rows.

    If a draw has several segments and takes a part of its pool, they are counted, from a few columns.
    """
    cut = [segments_of(draw, size) for draw in draws]
    open_ = [n for n, draw in enumerate(draws) if len(cut[n]) > 1 and draw.quota < draw.available]
    if open_:
        candidates = candidates_of(pool, [segment for n in open_ for segment in cut[n]])
        sources = F.countDistinct("sampling_priority").alias("sources")
        counted = candidates.groupBy(*KEYS, "lowest").agg(sources).collect()
        for n in open_:
            own = {row["lowest"]: row["sources"] for row in counted if tuple(row)[:3] == draws[n][:3]}
            cut[n] = cut_off(cut[n], draws[n].quota, own)
    placed, before = [], 0
    for draw, segments in zip(draws, cut):
        for segment in segments:
            placed.append(segment._replace(part=before // size))
            before += draw.quota // len(segments)
    return placed


def table(spark: SparkSession, rows: list[tuple[Any, ...]], names: str) -> DataFrame:
    """Return a small table as part of the query. Rows sent from Python would need a Python worker."""
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return spark.sql(f"SELECT * FROM VALUES {values} AS t ({names})")  # noqa: S608 (literals, escaped)


def literal(value: str | int | float) -> str:
    """Return a value in Spark's SQL, whose strings are escaped as JSON's are."""
    if isinstance(value, str):
        return json.dumps(value)
    return f"{value!r}D" if isinstance(value, float) else f"{value}L"


def candidates_of(pool: DataFrame, segments: list[Segment]) -> DataFrame:
    """Return the rows of the pool that some draw may take, with their segment.

    Parquet skips row groups by the comparison with the highest threshold. Each row is then compared with its
    own stratum's segments, which a join looks up. Its cost does not depend on the number of strata.
    """
    rows = [(*segment, number) for number, segment in enumerate(segments)]
    names = ", ".join([*Segment._fields, "segment"])
    return (
        pool.where(F.col("sampling_priority") <= max(segment.highest for segment in segments))
        .join(F.broadcast(table(pool.sparkSession, rows, names)), list(KEYS))
        .where("sampling_priority BETWEEN lowest AND highest")
    )


def drawn_of(candidates: DataFrame, observation: Observation) -> DataFrame:
    """Return the candidates that are drawn. Of a source in several rows, the first by file and row is taken.

    Both windows are computed from one sort of each part. The numbers of candidates, and of those that repeat
    a source, are observed.
    """
    segment = ("part", "segment")
    copy = Window.partitionBy(*segment, "sampling_priority").orderBy("sweep_file", "row_index")
    place = Window.partitionBy(*segment).orderBy("sampling_priority")
    return (
        candidates.withColumn("copy", F.row_number().over(copy))
        .observe(
            observation,
            F.count(F.lit(1)).alias("candidates"),
            F.count_if(F.col("copy") > 1).alias("duplicate_targetids"),
        )
        .where("copy = 1")
        .withColumn("place", F.row_number().over(place))
        .where("place <= take")
    )


def manifest_of(drawn: DataFrame, manifest: dict[str, Any]) -> DataFrame:
    """Return drawn rows with the columns of the manifest, in its order.

    ``manifest`` is that part of quotas.json.
    """
    pixel = F.concat_ws("_", F.col("healpix_128"), F.lit(manifest["split_seed"]))
    share = F.conv(F.substring(F.sha2(pixel, 256), 1, 8), 16, 10).cast("double") / float(1 << 32)
    split = F.lit(manifest["splits"][-1])
    for name, edge in reversed(list(zip(manifest["splits"], manifest["split_edges"]))):
        split = F.when(share < edge, name).otherwise(split)
    computed = {
        "galaxy_id": F.concat_ws("_", "brickname", "objid"),
        "object_id": F.concat_ws("-", "brickname", "objid"),
        "split": split,
        **{name: F.lit(value) for name, value in manifest["run"].items()},
    }
    columns = manifest["columns"].items()
    return drawn.select(*(computed.get(name, F.col(name)).cast(kind).alias(name) for name, kind in columns))


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


def reader_of(spark: SparkSession, schema: str) -> DataFrameReader:
    r"""Return a reader of Parquet files, which verifies the checksums of their pages.

    Row groups are skipped by their statistics. Pages are not: a row group mixes the priorities of all strata,
    and joining the pages that are left takes longer than decoding all of them. As the schema is given, Spark
    reads no footer to find it. Names are taken as they are: by default Spark takes one with
    ``[ ] { } * ? \\`` for a pattern.
    """
    return (
        spark.read.schema(schema)
        .option("parquet.filter.columnindex.enabled", "false")
        .option("parquet.page.verify-checksum.enabled", "true")
        .option("__globPaths__", "false")
    )


def read_pool(spark: SparkSession, folder: str, names: list[str], schema: str) -> DataFrame:
    """Return the pool: the rows of the files that were counted.

    Spark lists a folder with one request and looks up files one by one, so it reads the folder if that holds
    these files alone.
    """
    reader = reader_of(spark, schema)
    pool = reader.parquet(folder)
    found = {unquote(file.rpartition("/")[2]) for file in pool.inputFiles()}
    # An item that failed, if that is tolerated, may have left a file.
    return pool if found == set(names) else reader.parquet(*(f"{folder}/{name}" for name in names))


def write_parts(
    pool: DataFrame, segments: list[Segment], manifest: dict[str, Any], folder: str
) -> dict[str, int]:
    """Write the drawn rows in the manifest's order, a task and a file for each part.

    Return the numbers of candidates, and of those that repeat a source.
    """
    count = segments[-1].part + 1
    codes = codes_of(pool.sparkSession, count)
    placed = [segment._replace(part=codes[segment.part]) for segment in segments]
    observation = Observation()
    drawn = drawn_of(candidates_of(pool, placed).repartition(count, "part"), observation)
    manifest_of(drawn, manifest).write.mode("overwrite").parquet(folder)
    seen: dict[str, int] = observation.get
    return seen


def codes_of(spark: SparkSession, count: int) -> list[int]:
    """Return a number for each of ``count`` parts, whose hash by Spark puts each part in its own task."""
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    murmur3 = jvm.org.apache.spark.unsafe.hash.Murmur3_x86_32(42)
    codes: dict[int, int] = {}
    for number in itertools.count():
        codes.setdefault(murmur3.hashLong(number) % count, number)
        if len(codes) == count:
            break
    return [codes[part] for part in range(count)]


def read_back(spark: SparkSession, folder: str) -> list[Row]:
    """Count the rows of the parts, as written, by draw and split, and find the highest priorities."""
    counted = (
        reader_of(spark, COUNTED).parquet(folder).groupBy(F.input_file_name().alias("name"), *KEYS, "split")
    )
    rows = counted.agg(F.count(F.lit(1)).alias("rows"), F.max("sampling_priority").alias("last_priority"))
    return sorted(rows.collect())


def drawn_rows(draw: Draw, counted: list[Row]) -> dict[str, Any]:
    """Return what the parts hold of a draw, as the summary gives it."""
    found = [row for row in counted if tuple(row[key] for key in KEYS) == draw[:3]]
    return {
        **dict(zip(KEYS, draw[:3])),
        "rows": sum(row["rows"] for row in found),
        "splits": added_up(found, "split"),
        "last_priority": max((row["last_priority"] for row in found), default=PRIORITY_MIN),
    }


def added_up(counted: list[Row], name: str) -> dict[str, int]:
    """Return the numbers of rows by the values of a column, in the order in which these come first."""
    rows: dict[str, int] = {}
    for row in counted:
        rows[row[name]] = rows.get(row[name], 0) + row["rows"]
    return rows


@contextmanager
def step(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Print a step of the job to standard error, and keep its seconds."""
    print(f"lensneg: step {STEPS.index(name) + 1} of {len(STEPS)}: {name}", file=sys.stderr, flush=True)
    begun = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - begun, 3)


def row_groups(quotas: dict[str, Any], draws: list[Draw]) -> dict[str, int]:
    """Return the number of the pool's row groups, and of those that begin below the highest threshold."""
    lowest = [priority for file in quotas["row_groups"].values() for _, priority in file]
    highest_threshold = max((draw.threshold for draw in draws), default=PRIORITY_MIN)
    read = sum(priority <= highest_threshold for priority in lowest)
    return {"row_groups_read": read, "row_groups_total": len(lowest)}


def part_size(spark: SparkSession, draws: list[Draw], most: int) -> int:
    """Return the rows of a part: at most those of the config, and few enough that each core writes one."""
    total, cores = sum(draw.quota for draw in draws), int(spark.sparkContext.defaultParallelism)
    return max(1, min(most, -(-total // cores)))


def sample(spark: SparkSession, root: str) -> dict[str, Any]:
    """Write a run's drawn rows and the summary, and return that."""
    seconds: dict[str, float] = {}
    with step("reading the pool", seconds):
        quotas = read_json(spark, f"{root}/quotas.json")
        manifest, folder = quotas["manifest"], f"{root}/draw/negatives"
        schema = ", ".join(f"{name} {manifest['columns'][name]}" for name in manifest["pool"])
        pool = read_pool(spark, f"{root}/pool", quotas["pool_files"], schema)
    draws, widened = draws_of(quotas), list[Draw]()
    while True:
        with step("drawing", seconds):
            segments = plan(pool, draws, part_size(spark, draws, manifest["rows_per_file"]))
            seen = write_parts(pool, segments, manifest, folder) if segments else dict.fromkeys(SEEN, 0)
        with step("counting", seconds):
            counted = read_back(spark, folder) if segments else []
            rows = [drawn_rows(draw, counted) for draw in draws]
        short = [draw for draw, found in zip(draws, rows) if found["rows"] < draw.quota]
        too_low = [draw for draw in short if draw.threshold < PRIORITY_MAX]
        if not too_low:
            break
        widened += too_low
        draws = [draw._replace(threshold=PRIORITY_MAX) if draw in too_low else draw for draw in draws]
    summary = {
        "run_id": quotas["run_id"],
        "spark_version": spark.version,
        "rows": rows,
        "negatives": sum(row["rows"] for row in rows),
        **seen,
        **row_groups(quotas, draws),
        "widened": [list(draw[:3]) for draw in widened],
        "parts": [
            {"name": uri[uri.rindex("negatives/") :], "rows": count}
            for uri, count in added_up(counted, "name").items()
        ],
        "seconds": seconds,
    }
    write_json(spark, f"{root}/draw/summary.json", summary)
    return summary


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description="Draw the negatives of a run.")
    parser.add_argument("--run", required=True, metavar="URI", help="the run's folder")
    arguments = parser.parse_args()
    builder = SparkSession.builder.appName("lensneg sample_negatives")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        sample(spark, arguments.run.rstrip("/"))
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
