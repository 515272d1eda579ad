"""The global draw, as an EMR Serverless job: draw each stratum's rows, and write them.

The job imports PySpark and the standard library alone, and has no Python UDF. Every expression runs in the
JVM, so nothing has to be installed on EMR, and a laptop runs the same job. It runs on Python 3.9 and later.

    spark-submit sample_negatives.py --run s3://bucket/prefix/runs/<run_id>

It reads ``quotas.json``, which holds all that the draw needs, and the pool files named there. It writes the
drawn rows with all columns of the manifest, in its order, to ``draw/negatives/``, and then
``draw/summary.json``, which names the parts and counts what they hold. ``lensneg/stages/check_sample``
checks them.

First the last priority of each draw is found, from a few columns. Then the rows up to it are written, a task
and a file for each part.

Pool files hold the rows of lowest priority in row groups of their own, and Parquet's statistics exclude the
others. So the cost follows the sample. If a range of priorities holds too few rows for a draw, the pool is
read again without its end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
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
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}

STEPS = ("reading the pool", "drawing", "writing", "counting")


class Range(NamedTuple):
    """Some rows of a stratum in the pool files, by the values of ``pool`` and ``confuser_category`` there.

    An empty category stands for any. The cell is -1 if nothing is matched.
    """

    source_pool: str
    category: str
    cell: int
    lowest: int
    highest: int


class Draw(NamedTuple):
    """Rows that a stratum takes for a pool: the ``quota`` of lowest priority in the ranges.

    ``group`` numbers the strata and their pools, in the manifest's order.
    """

    group: int
    nobs_z_bin: str
    type_bin: str
    draw: str
    pool: str
    sampling_weight: float
    quota: int
    is_exact: bool  # the ranges hold the drawn rows alone
    ranges: tuple[Range, ...]

    @property
    def highest(self) -> int:
        """The highest priority of the ranges."""
        return max(each.highest for each in self.ranges)

    def until(self, highest: int) -> Draw:
        """Return the draw with ranges that end at a priority."""
        return self._replace(ranges=tuple(each._replace(highest=highest) for each in self.ranges))


def draws_of(quotas: dict[str, Any]) -> list[Draw]:
    """Return the draws of quotas.json, in the manifest's order."""
    draws = []
    for number, stratum in enumerate(quotas["strata"]):
        for draw in stratum["draws"]:
            keys = (stratum["nobs_z_bin"], stratum["type_bin"], draw["draw"], draw["pool"])
            weight = draw["available"] / draw["quota"]
            ranges = tuple(each for entry in draw["ranges"] for each in ranges_of(entry, stratum["edges"]))
            draws.append(
                Draw(
                    2 * number + (draw["pool"] == "N2"),
                    *keys,
                    weight,
                    draw["quota"],
                    draw["is_exact"],
                    ranges,
                )
            )
    return sorted(draws, key=lambda draw: draw.group)


def ranges_of(entry: dict[str, Any], edges: list[list[float]]) -> Iterator[Range]:
    """Yield a range of quotas.json for each of its classes, categories and cells."""
    count = math.prod(len(ends) + 1 for ends in edges)
    cells = [-1] if not edges else range(count) if entry["cell"] is None else [entry["cell"]]
    for pool, category, cell in itertools.product(entry["classes"], entry["categories"] or [""], cells):
        yield Range(pool, category, cell, entry["lowest"], entry["highest"])


class Piece(NamedTuple):
    """A range of a draw, whose rows are written to a part."""

    nobs_z_bin: str
    type_bin: str
    source_pool: str
    cell: int
    category: str
    lowest: int
    highest: int
    number: int  # of the draw
    part: int


def pieces_of(draws: list[Draw], size: int) -> list[Piece]:
    """Cut the ranges of all draws at the ends of parts of about ``size`` rows, in the manifest's order."""
    pieces, part, filled = [], 0, 0.0
    for _, same in itertools.groupby(enumerate(draws), key=lambda numbered: numbered[1].group):
        group = list(same)
        cuts, part_before = [], part
        for low, high, rows in density_of([draw for _, draw in group]):
            while filled + rows > size and high - low > 1:
                low, rows, filled = (
                    low + max(1, int((high - low) * (size - filled) / rows)),
                    filled + rows - size,
                    0.0,
                )
                cuts.append(min(low, high))
                part += 1
            filled += rows
        for number, draw in group:
            for each in draw.ranges:
                edges = [
                    each.lowest,
                    *(cut for cut in cuts if each.lowest < cut <= each.highest),
                    each.highest + 1,
                ]
                for low, following in zip(edges, edges[1:]):
                    own = part_before + sum(cut <= low for cut in cuts)
                    place = (draw.nobs_z_bin, draw.type_bin, each.source_pool, each.cell, each.category)
                    pieces.append(Piece(*place, low, following - 1, number, own))
    return pieces


def density_of(draws: list[Draw]) -> Iterator[tuple[int, int, float]]:
    """Yield intervals of priority, and about how many rows some draws take there: each its own evenly."""
    spans = [(min(each.lowest for each in draw.ranges), draw.highest + 1, draw.quota) for draw in draws]
    edges = sorted({edge for low, high, _ in spans for edge in (low, high)})
    for low, high in zip(edges, edges[1:]):
        shares = [quota * (high - low) / (end - start) for start, end, quota in spans if start <= low < end]
        yield low, high, sum(shares)


def table(spark: SparkSession, rows: Sequence[tuple[Any, ...]], names: str) -> DataFrame:
    """Return a small table as part of the query. Rows sent from Python would need a Python worker."""
    fields = [name.split() for name in names.split(", ")]
    text = json.dumps([{name: value for (name, _), value in zip(fields, row)} for row in rows])
    parsed = F.from_json(
        F.lit(text), f"array<struct<{', '.join(f'{name}: {kind}' for name, kind in fields)}>>"
    )
    return spark.range(1).select(F.inline(parsed))


PIECE = (
    "nobs_z_bin string, type_bin string, source_pool string, cell int, category string, "
    "lowest bigint, highest bigint, number int, part int"
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


class Found(NamedTuple):
    """The rows in the ranges that were read, their highest priority, and the draws that had too few."""

    candidates: int
    highest: int
    widened: list[Draw]


def exact_draws(
    pool: DataFrame, draws: list[Draw], matching: Matching, has_copies: bool
) -> tuple[list[Draw], Found]:
    """Return the draws with ranges that end at the last priority drawn."""
    draws, widened, read = list(draws), list[Draw](), draws
    candidates = sum(draw.quota for draw in draws if draw.is_exact)
    open_ = [number for number, draw in enumerate(draws) if not draw.is_exact]
    while open_:
        lasts, candidates = last_priorities(pool, [draws[number] for number in open_], matching, has_copies)
        too_low = []
        read = list(draws)
        for number, (last, rows) in zip(open_, lasts):
            if rows < draws[number].quota and draws[number].highest < PRIORITY_MAX:
                widened.append(draws[number])
                draws[number] = draws[number].until(PRIORITY_MAX)
                too_low.append(number)
            else:
                draws[number] = draws[number].until(last)
        open_ = too_low
    highest = max((draw.highest for draw in read), default=PRIORITY_MIN)
    return draws, Found(candidates, highest, widened)


def last_priorities(
    pool: DataFrame, draws: list[Draw], matching: Matching, has_copies: bool
) -> tuple[list[tuple[int, int]], int]:
    """Return the last priority and the sources of each draw, and the number of rows that were compared."""
    observation = Observation()
    rows = located(pool, pieces_of(draws, sys.maxsize), matching).select("number", "sampling_priority")
    rows = rows.observe(observation, F.count(F.lit(1)).alias("candidates"))
    if has_copies:
        rows = rows.distinct()
    numbered = [(number, draw.quota) for number, draw in enumerate(draws)]
    quota = F.broadcast(table(pool.sparkSession, numbered, "number int, quota int"))
    place = F.row_number().over(Window.partitionBy("number").orderBy("sampling_priority"))
    drawn = rows.withColumn("place", place).join(quota, "number").where("place <= quota")
    found = drawn.groupBy("number").agg(F.max("sampling_priority"), F.count(F.lit(1)))
    lasts = {row[0]: (row[1], row[2]) for row in found.collect()}
    seen: dict[str, int] = observation.get
    return [lasts.get(number, (PRIORITY_MIN, 0)) for number in range(len(draws))], seen["candidates"]


def manifest_of(drawn: DataFrame, draws: list[Draw], manifest: dict[str, Any]) -> DataFrame:
    """Return drawn rows with the columns of the manifest, by part, and in its order.

    ``manifest`` is that part of quotas.json.
    """
    split = F.lit(manifest["splits"][-1])
    share = hashed(manifest["split_seed"]) / float(1 << 32)
    for name, edge in reversed(list(zip(manifest["splits"], manifest["split_edges"]))):
        split = F.when(share < edge, name).otherwise(split)
    fold = F.lit(None)
    if manifest["folds"] is not None:
        number = F.shiftright(hashed(f"{manifest['split_seed']}_fold") * manifest["folds"], 32)
        fold = F.when(split != manifest["splits"][-1], number)
    computed = {
        "galaxy_id": F.concat_ws("_", "brickname", "objid"),
        "split": split,
        "fold": fold,
        **{name: F.lit(value) for name, value in manifest["run"].items()},
    }
    names = "number int, group int, draw string, pool string, sampling_weight double"
    listed = [(n, d.group, d.draw, d.pool, d.sampling_weight) for n, d in enumerate(draws)]
    rows = drawn.join(F.broadcast(table(drawn.sparkSession, listed, names)), "number")
    columns = manifest["columns"].items()
    return rows.sortWithinPartitions("part", "group", "sampling_priority").select(
        *(computed.get(name, F.col(name)).cast(kind).alias(name) for name, kind in columns)
    )


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
    pool: DataFrame, draws: list[Draw], matching: Matching, quotas: dict[str, Any], size: int, folder: str
) -> int:
    """Write the drawn rows, a task and a file for each part.

    Of a source in several rows, the first by file and row is written. Return the number of the others.
    """
    pieces = pieces_of(draws, size)
    count = max(piece.part for piece in pieces) + 1
    codes = codes_of(pool.sparkSession, count)
    placed = [piece._replace(part=codes[piece.part]) for piece in pieces]
    rows = located(pool, placed, matching).repartition(count, "part")
    observation = Observation()
    if quotas["repeated_rows"]:
        source = Window.partitionBy("part", "number", "sampling_priority").orderBy("sweep_file", "row_index")
        rows = rows.withColumn("copy", F.row_number().over(source))
        rows = rows.observe(observation, F.count_if(F.col("copy") > 1).alias("copies")).where("copy = 1")
    manifest_of(rows, draws, quotas["manifest"]).write.mode("overwrite").parquet(folder)
    seen: dict[str, int] = observation.get if quotas["repeated_rows"] else {"copies": 0}
    return seen["copies"]


def codes_of(spark: SparkSession, count: int) -> list[int]:
    """Return a number for each of ``count`` parts, whose hash by Spark puts each part in its own task."""
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    murmur3 = jvm.org.apache.spark.unsafe.hash.Murmur3_x86_32(42)
    codes: dict[int, int] = {}
    for number in itertools.count():
        codes.setdefault(murmur3.hashInt(number) % count, number)
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
    seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - begun, 3)


def row_groups(quotas: dict[str, Any], highest: int) -> dict[str, int]:
    """Return the number of the pool's row groups, and of those that begin at or below a priority."""
    lowest = [priority for file in quotas["row_groups"].values() for _, priority in file]
    return {
        "row_groups_read": sum(priority <= highest for priority in lowest),
        "row_groups_total": len(lowest),
    }


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
        matching = Matching(
            quotas["matched"], {(s["nobs_z_bin"], s["type_bin"]): s["edges"] for s in quotas["strata"]}
        )
    draws = draws_of(quotas)
    with step("drawing", seconds):
        draws, found = exact_draws(pool, draws, matching, bool(quotas["repeated_rows"]))
    with step("writing", seconds):
        copies = 0
        if draws:
            size = part_size(spark, draws, manifest["rows_per_file"])
            copies = write_parts(pool, draws, matching, quotas, size, folder)
    with step("counting", seconds):
        counted = read_back(spark, folder) if draws else []
        rows = [drawn_rows(draw, counted) for draw in draws]
    summary = {
        "run_id": quotas["run_id"],
        "spark_version": spark.version,
        "rows": rows,
        "negatives": sum(row["rows"] for row in rows),
        "candidates": found.candidates,
        "duplicate_targetids": copies,
        **row_groups(quotas, found.highest),
        "widened": [[getattr(draw, key) for key in KEYS] for draw in found.widened],
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
