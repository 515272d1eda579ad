"""The global draw, as an EMR Serverless job: draw each stratum's rows, and write them.

The job imports PySpark and the standard library alone, and has no Python UDF. Every expression runs in the
JVM, so nothing has to be installed on EMR, and a laptop runs the same job. It runs on Python 3.9 and later.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json``, which holds all that the draw needs, and the pool files named there. It writes the
drawn rows with all columns of the manifest, in its order, to ``draw/negatives/``, and then
``draw/summary.json``, which names the parts and counts what they hold. ``lensneg/stages/check_sample``
checks them.

A task for each part gets the rows that may be drawn, ranks them, and writes a file. A draw that is too large
for one part is in several, so no task can rank it. Its last priority is found first, from a few columns.

Pool files hold the rows of lowest priority in row groups of their own, and Parquet's statistics exclude the
others. So the cost follows the sample. If a range of priorities holds too few rows for a draw, all is drawn
again without its end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, DataFrameReader, Observation, Row, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (the name under which PySpark code knows it)

#: The lowest and highest sampling priority: priorities are signed 64-bit integers.
PRIORITY_MIN, PRIORITY_MAX = -(2**63), 2**63 - 1

#: The columns that identify a draw.
KEYS = ("nobs_z_bin", "type_bin", "draw")

#: The columns of the written parts that are counted for the summary.
COUNTED = "nobs_z_bin string, type_bin string, draw string, split string, sampling_priority long"

#: The settings of the session.
SETTINGS = {
    # The plan is simple and its tables are small, so planning it again between stages only takes time.
    "spark.sql.adaptive.enabled": "false",
    # This rule would sort the candidates once more.
    "spark.sql.optimizer.windowGroupLimitThreshold": "-1",
    # The lowest row groups of a pool file are of 1,000 rows. For each file a buffer of so many is allocated.
    "spark.sql.parquet.columnarReaderBatchSize": "1024",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}

STEPS = ("reading the pool", "finding last priorities", "drawing and writing", "counting")


class Draw(NamedTuple):
    """Rows that a stratum takes for a pool: the ``quota`` of lowest priority in its pieces.

    ``group`` numbers the strata and their pools, in the manifest's order.
    """

    group: int
    nobs_z_bin: str
    type_bin: str
    draw: str
    pool: str
    sampling_weight: float
    quota: int
    is_exact: bool  # the pieces hold the drawn rows alone


class Piece(NamedTuple):
    """Rows of a draw that are written to a part: those of a class, category, cell and range of priority.

    The class is the value of ``pool`` in the pool files. An empty category stands for any. The cell is -1 if
    nothing is matched.
    """

    number: int  # of the draw
    part: int
    nobs_z_bin: str
    type_bin: str
    source_pool: str
    category: str
    cell: int
    lowest: int
    highest: int


def draws_of(quotas: dict[str, Any]) -> list[Draw]:
    """Return the draws of quotas.json, by their number."""
    return [
        Draw(
            2 * number + (draw["pool"] == "N2"),
            stratum["nobs_z_bin"],
            stratum["type_bin"],
            draw["draw"],
            draw["pool"],
            draw["available"] / draw["quota"],
            draw["quota"],
            draw["is_exact"],
        )
        for number, stratum in enumerate(quotas["strata"])
        for draw in stratum["draws"]
    ]


def until(pieces: list[Piece], ends: dict[int, int]) -> list[Piece]:
    """Return the pieces up to the last priorities of draws, by their number."""
    ended = [
        piece._replace(highest=min(piece.highest, ends.get(piece.number, PRIORITY_MAX))) for piece in pieces
    ]
    return [piece for piece in ended if piece.lowest <= piece.highest]


def widened(pieces: list[Piece], numbers: list[int]) -> list[Piece]:
    """Return the pieces with those of some draws that reach their highest priority going on to the end."""
    highest = highest_of(pieces)
    return [
        piece._replace(highest=PRIORITY_MAX)
        if piece.number in numbers and piece.highest == highest[piece.number]
        else piece
        for piece in pieces
    ]


def highest_of(pieces: list[Piece]) -> dict[int, int]:
    """Return the highest priority in the pieces of each draw."""
    highest: dict[int, int] = {}
    for piece in pieces:
        highest[piece.number] = max(piece.highest, highest.get(piece.number, PRIORITY_MIN))
    return highest


def table(spark: SparkSession, rows: Sequence[tuple[Any, ...]], names: str) -> DataFrame:
    """Return a small table as part of the query. Rows sent from Python would need a Python worker."""
    fields = [name.split() for name in names.split(", ")]
    text = json.dumps([{name: value for (name, _), value in zip(fields, row)} for row in rows])
    parsed = F.from_json(
        F.lit(text), f"array<struct<{', '.join(f'{name}: {kind}' for name, kind in fields)}>>"
    )
    return spark.range(1).select(F.inline(parsed))


PIECE = (
    "number int, slot int, nobs_z_bin string, type_bin string, source_pool string, category string, "
    "cell int, lowest bigint, highest bigint"
)


def located(pool: DataFrame, pieces: list[Piece], matching: Matching) -> DataFrame:
    """Return the rows of the pool in some pieces, each with its piece.

    Parquet skips row groups by the comparison with the highest priority. A join looks up the pieces of a
    row's stratum, class and cell. Its cost does not depend on the number of strata.
    """
    spark = pool.sparkSession
    rows = pool.where(F.col("sampling_priority") <= max(piece.highest for piece in pieces))
    rows = rows.withColumnRenamed("pool", "source_pool")
    keys = ["nobs_z_bin", "type_bin", "source_pool"]
    if matching.columns:
        rows, keys = matching.with_cells(rows), [*keys, "cell"]
    places = F.broadcast(table(spark, pieces, PIECE))
    found = rows.join(places if matching.columns else places.drop("cell"), keys)
    found = found.where("sampling_priority BETWEEN lowest AND highest")
    if any(piece.category for piece in pieces):
        found = found.where("category = '' OR category = confuser_category")
    return found


class Matching(NamedTuple):
    """The matched columns, and by stratum the values at which their bins end."""

    columns: list[str]
    edges: dict[tuple[str, str], list[list[float]]]

    def with_cells(self, rows: DataFrame) -> DataFrame:
        """Return rows with their cell: a bin of each column, which ends at a value that belongs to it.

        A missing value is in the last bin.
        """
        count = len(self.columns)
        most = [max((len(edges[k]) for edges in self.edges.values()), default=0) for k in range(count)]
        ends = [[f"end_{k}_{i}" for i in range(most[k])] for k in range(count)]
        bins = [f"bins_{k}" for k in range(count)]
        listed = []
        for stratum, edges in self.edges.items():
            padded = [
                value for k in range(count) for value in (*edges[k], *[None] * (most[k] - len(edges[k])))
            ]
            listed.append((*stratum, *padded, *(len(some) + 1 for some in edges)))
        doubles = [name for some in ends for name in some]
        kinds = [f"{name} double" for name in doubles] + [f"{name} int" for name in bins]
        names = ", ".join(["nobs_z_bin string", "type_bin string", *kinds])
        rows = rows.join(F.broadcast(table(rows.sparkSession, listed, names)), ["nobs_z_bin", "type_bin"])
        cell: Column = F.lit(0)
        for k, column in enumerate(self.columns):
            cell = cell * F.col(bins[k])
            for end in ends[k]:
                beyond = F.col(column).isNull() | (F.col(column).cast("double") > F.col(end))
                cell = cell + F.when(F.col(end).isNotNull() & beyond, 1).otherwise(0)
        return rows.withColumn("cell", cell).drop(*bins, *doubles)


def last_priorities(
    pool: DataFrame, draws: list[Draw], pieces: list[Piece], matching: Matching, has_copies: bool
) -> dict[int, int]:
    """Return the last priorities of the draws in some pieces, by their number."""
    rows = located(pool, pieces, matching).select("number", "sampling_priority")
    if has_copies:
        rows = rows.distinct()
    numbered = [(number, draw.quota) for number, draw in enumerate(draws)]
    quota = F.broadcast(table(pool.sparkSession, numbered, "number int, quota int"))
    place = F.row_number().over(Window.partitionBy("number").orderBy("sampling_priority"))
    drawn = rows.withColumn("place", place).join(quota, "number").where("place <= quota")
    return dict(drawn.groupBy("number").agg(F.max("sampling_priority")).collect())


def not_in_one_part(draws: list[Draw], pieces: list[Piece], widened: list[int]) -> list[Piece]:
    """Return the pieces of the draws that no task can rank: of several parts, or of far too many rows."""
    parts: dict[int, set[int]] = {}
    for piece in pieces:
        parts.setdefault(piece.number, set()).add(piece.part)
    ranked_first = {number for number in parts if len(parts[number]) > 1 or number in widened}
    return [p for p in pieces if p.number in ranked_first and not draws[p.number].is_exact]


def manifest_of(drawn: DataFrame, manifest: dict[str, Any]) -> DataFrame:
    """Return drawn rows with the columns of the manifest, which is that part of quotas.json."""
    split = F.lit(manifest["splits"][-1])
    for name, edge in reversed(list(zip(manifest["splits"], manifest["split_edges"]))):
        split = F.when(F.col("share") < edge, name).otherwise(split)
    fold = F.lit(None)
    if manifest["folds"] is not None:
        number = F.shiftright(hashed(f"{manifest['split_seed']}_fold") * manifest["folds"], 32)
        fold = F.when(split != manifest["splits"][-1], number)
    computed = {
        "galaxy_id": F.concat_ws("_", "brickname", "objid"),
        "object_id": F.concat_ws("-", "brickname", "objid"),
        "split": split,
        "fold": fold,
        **{name: F.lit(value) for name, value in manifest["run"].items()},
    }
    columns = manifest["columns"].items()
    # A column of its own, or Spark computes it for each edge.
    hashed_rows = drawn.withColumn("share", hashed(manifest["split_seed"]) / float(1 << 32))
    return hashed_rows.select(*(computed.get(n, F.col(n)).cast(kind).alias(n) for n, kind in columns))


def hashed(seed: int | str) -> Column:
    """Return the first four bytes of the SHA-256 of pixel and seed, as a whole number."""
    digest = F.sha2(F.concat_ws("_", F.col("healpix_128"), F.lit(seed)), 256)
    return F.conv(F.substring(digest, 1, 8), 16, 10).cast("bigint")


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
    pool: DataFrame,
    draws: list[Draw],
    pieces: list[Piece],
    matching: Matching,
    quotas: dict[str, Any],
    folder: str,
) -> dict[str, int]:
    """Write the drawn rows of the pieces, a task and a file for each part.

    Of a source in several rows, the first by file and row is written. Return the number of the rows in the
    pieces, ``candidates``, and of those among them that repeat a source, ``copies``.
    """
    spark, count = pool.sparkSession, max(piece.part for piece in pieces) + 1
    places = {(piece.part, draws[piece.number].group) for piece in pieces}
    slots = slots_of(spark, sorted(places), count)
    placed = [piece._replace(part=slots[piece.part, draws[piece.number].group]) for piece in pieces]
    rows = located(pool, placed, matching).repartition(count, "slot")
    order, seen = ["slot", "sampling_priority"], Observation()
    counts = [F.count(F.lit(1)).alias("candidates")]
    if quotas["repeated_rows"]:
        source = Window.partitionBy(*order).orderBy("sweep_file", "row_index")
        rows = rows.withColumn("copy", F.row_number().over(source))
        counts.append(F.count_if(F.col("copy") > 1).alias("copies"))
    rows = rows.observe(seen, *counts)
    if quotas["repeated_rows"]:
        rows = rows.where("copy = 1")
    is_ranked = not all(draw.is_exact for draw in draws)
    if is_ranked:
        place = F.row_number().over(Window.partitionBy("slot").orderBy("sampling_priority"))
        rows = rows.withColumn("place", place)
    names = "number int, draw string, pool string, sampling_weight double, quota int"
    listed = [(n, d.draw, d.pool, d.sampling_weight, d.quota) for n, d in enumerate(draws)]
    rows = rows.join(F.broadcast(table(spark, listed, names)), "number")
    if is_ranked:
        rows = rows.where("place <= quota")
    # Ranked rows are in this order already, so Spark does not sort them again.
    written = manifest_of(rows.sortWithinPartitions(*order), quotas["manifest"])
    # Such values differ from row to row, and to look for repetitions takes half of the time of writing.
    kinds, names_of_sources = {"string", "timestamp"}, {"galaxy_id", "object_id", "brickname"}
    plain = [name for name, kind in written.dtypes if kind not in kinds or name in names_of_sources]
    options = {f"parquet.enable.dictionary#{name}": "false" for name in plain}
    written.write.options(**options).mode("overwrite").parquet(folder)
    found: dict[str, int] = seen.get
    return found


def slots_of(spark: SparkSession, places: list[tuple[int, int]], count: int) -> dict[tuple[int, int], int]:
    """Return a number for the rows of each part and group, which tells their task and their order in it.

    Spark hashes the number to find the task. The numbers of a part rise in the order of ``places``.
    """
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    murmur3 = jvm.org.apache.spark.unsafe.hash.Murmur3_x86_32(42)
    slots, waiting = dict[tuple[int, int], int](), dict[int, list[tuple[int, int]]]()
    for place in reversed(places):
        waiting.setdefault(place[0], []).append(place)
    for number in itertools.count():
        if len(slots) == len(places):
            break
        if of_part := waiting.get(murmur3.hashInt(number) % count):
            slots[of_part.pop()] = number
    return slots


def read_back(spark: SparkSession, folder: str) -> list[Row]:
    """Count the rows of the parts, as written, by draw and split, and find the highest priorities."""
    counted = (
        reader_of(spark, COUNTED).parquet(folder).groupBy(F.input_file_name().alias("name"), *KEYS, "split")
    )
    rows = counted.agg(F.count(F.lit(1)).alias("rows"), F.max("sampling_priority").alias("last_priority"))
    return sorted(rows.collect())


def drawn_rows(draw: Draw, counted: list[Row]) -> dict[str, Any]:
    """Return what the parts hold of a draw, as the summary gives it."""
    keys = tuple(getattr(draw, key) for key in KEYS)
    found = [row for row in counted if tuple(row[key] for key in KEYS) == keys]
    return {
        **dict(zip(KEYS, keys)),
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
    """Print a step of the job to standard error, and add to its seconds."""
    print(f"lensneg: step {STEPS.index(name) + 1} of {len(STEPS)}: {name}", file=sys.stderr, flush=True)
    begun = time.monotonic()
    yield
    seconds[name] = round(seconds[name] + time.monotonic() - begun, 3)


def row_groups(quotas: dict[str, Any], highest: int) -> dict[str, int]:
    """Return the number of the pool's row groups, and of those that begin at or below a priority."""
    lowest = [priority for file in quotas["row_groups"].values() for _, priority in file]
    return {
        "row_groups_read": sum(priority <= highest for priority in lowest),
        "row_groups_total": len(lowest),
    }


def sample(spark: SparkSession, root: str) -> dict[str, Any]:
    """Write a run's drawn rows and the summary, and return that."""
    seconds = dict.fromkeys(STEPS, 0.0)
    with step("reading the pool", seconds):
        quotas = read_json(spark, f"{root}/quotas.json")
        manifest, folder = quotas["manifest"], f"{root}/draw/negatives"
        schema = ", ".join(f"{name} {manifest['columns'][name]}" for name in manifest["pool"])
        pool = read_pool(spark, f"{root}/pool", quotas["pool_files"], schema)
        matching = Matching(
            quotas["matched"], {(s["nobs_z_bin"], s["type_bin"]): s["edges"] for s in quotas["strata"]}
        )
    draws, pieces = draws_of(quotas), [Piece(*piece) for piece in quotas["pieces"]]
    seen, counted, rows, too_low = dict[str, int](), list[Row](), list[dict[str, Any]](), list[int]()
    while pieces:
        highest, lasts = highest_of(pieces), dict[int, int]()
        if large := not_in_one_part(draws, pieces, too_low):
            with step("finding last priorities", seconds):
                lasts = last_priorities(pool, draws, large, matching, bool(quotas["repeated_rows"]))
        with step("drawing and writing", seconds):
            seen = write_parts(pool, draws, until(pieces, lasts), matching, quotas, folder)
        with step("counting", seconds):
            counted = read_back(spark, folder)
            rows = [drawn_rows(draw, counted) for draw in draws]
        short = [
            n for n, draw in enumerate(draws) if rows[n]["rows"] < draw.quota and highest[n] < PRIORITY_MAX
        ]
        if not short:
            break
        pieces, too_low = widened(pieces, short), too_low + short
    summary = {
        "run_id": quotas["run_id"],
        "spark_version": spark.version,
        "rows": rows,
        "negatives": sum(row["rows"] for row in rows),
        "candidates": seen.get("candidates", 0),
        "duplicate_targetids": seen.get("copies", 0),
        **row_groups(quotas, max(highest_of(pieces).values(), default=PRIORITY_MIN)),
        "widened": [[getattr(draws[number], key) for key in KEYS] for number in too_low],
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
