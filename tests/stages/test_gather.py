"""The sample: gathered from pool files by the draw's last priorities, against plain Python over all rows."""

import hashlib
import os
import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import edited
from hypothesis import given, settings
from hypothesis import strategies as st

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema import pool as poolfile
from lensneg.schema.columns import ANNOTATED_SCHEMA, POOL_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.pool import Footer
from lensneg.schema.quotas import DrawKey, Quotas
from lensneg.schema.run import Run
from lensneg.schema.tables import read_table, write_table
from lensneg.stages.check_sample import gather as sample

RUN_COLUMNS = {
    "pipeline_version": "1.2.3",
    "git_commit": "abc",
    "extraction_timestamp": "2026-01-02T03:04:05Z",
}
BINS = [("3-5", "SER"), ("3-5", "DEV"), ("11+", "SER")]


Row = dict[str, Any]


def source(targetid: int, where: tuple[str, str, str], priority: int, place: tuple[str, int]) -> Row:
    """A row of a pool file: numbers that follow from the TARGETID and the place."""
    row: Row = {}
    for field in POOL_SCHEMA:
        row[field.name] = "x" if field.type == pa.string() else targetid % 1000
    row.update(
        targetid=targetid, sampling_priority=priority, nobs_z_bin=where[0], type_bin=where[1], pool=where[2],
        sweep_file=place[0], row_index=place[1], brickname=f"b{targetid % 7}", objid=targetid,
        healpix_128=targetid * 31 % 196608, confuser_category="ring" if where[2] == "N2" else None,
        mag_g=None if targetid % 5 == 0 else 20.0 + targetid % 11,
    )  # fmt: skip
    return row


def run_in(root: str, plan_dict: dict[str, Any], rows_per_file: int = 1000) -> Run:
    config = Config.parse(edited(plan_dict, {"execution.rows_per_manifest_file": rows_per_file}))
    record: Any = SimpleNamespace(columns=RUN_COLUMNS)
    lenses: Any = None
    return Run(record, config, RunFiles(root, "one"), lenses)


def write_pool(run: Run, files: dict[str, list[Row]], rows_per_group: int, **options: Any) -> Any:
    """Write pool files, each row group sorted by nothing; return quotas.json's part on them."""
    row_groups, footers = {}, {}
    for name, rows in files.items():
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.Table.from_pylist(rows, POOL_SCHEMA), sink, row_group_size=rows_per_group,
            write_page_checksum=True, **options,
        )  # fmt: skip
        footers[name] = Footer.of(sink.getvalue().to_pybytes())
        storage.write_bytes(storage.join(run.files.pool_folder, name), sink.getvalue())
        groups = [rows[i : i + rows_per_group] for i in range(0, len(rows), rows_per_group)]
        row_groups[name] = [[len(g), min(row["sampling_priority"] for row in g)] for g in groups]
    return Quotas(
        run_id="one", pool_files=tuple(sorted(files)), row_groups=row_groups, footers=footers, strata=()
    )


def made_up(seed: int, copies: int = 0) -> dict[str, list[Row]]:
    """Three pool files of some 150 sources; some of them stand in several rows."""
    rng = random.Random(seed)
    files = defaultdict(list)
    for targetid in range(450):
        where = (*rng.choice(BINS), rng.choice(["N1", "N2"]))
        priority = rng.getrandbits(64) - 2**63
        for _ in range(1 + (copies if targetid % 9 == 0 else 0)):
            file = rng.randrange(3)
            place = (f"sweep-{2 - file}", rng.randrange(10**6))
            files[f"{file}.parquet"].append(source(targetid, where, priority, place))
    return dict(files)


def wanted_of(files: dict[str, list[Row]], draws: list[sample.Draw]) -> list[Row]:
    """What the manifest has to hold, row by row."""
    found = []
    for draw in draws:
        by_source: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for rows in files.values():
            for row in rows:
                if (row["nobs_z_bin"], row["type_bin"], row["pool"]) == draw.key:
                    by_source[row["sampling_priority"]].append(row)
        for priority in sorted(by_source):
            if priority <= draw.last_priority:
                row = min(by_source[priority], key=lambda row: (row["sweep_file"], row["row_index"]))
                found.append({**row, "sampling_weight": draw.available / draw.rows})
    return found


def draws_of(files: dict[str, list[Row]], seed: int) -> list[sample.Draw]:
    """Draws of some of the strata and pools, each up to the priority of some row of it."""
    rng, draws = random.Random(seed), []
    for nobs, type_ in BINS:
        for pool in ("N1", "N2"):
            mine = {
                row["sampling_priority"]
                for rows in files.values()
                for row in rows
                if (row["nobs_z_bin"], row["type_bin"], row["pool"]) == (nobs, type_, pool)
            }
            if mine and rng.random() < 0.7:
                rows = rng.randint(1, len(mine))
                draws.append(sample.Draw(DrawKey(nobs, type_, pool), len(mine), rows, sorted(mine)[rows - 1]))
    return draws


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), copies=st.integers(0, 2), rows_per_group=st.sampled_from([7, 64, 1000]))
def test_what_is_gathered_is_all_up_to_the_last_priority_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    plan_dict: dict[str, Any],
    seed: int,
    copies: int,
    rows_per_group: int,
) -> None:
    run = run_in(str(tmp_path_factory.mktemp("gather")), plan_dict)
    files = made_up(seed, copies)
    draws = draws_of(files, seed)
    quotas = write_pool(run, files, rows_per_group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "_SMALL_ROW_GROUP", 10_000)  # some row groups are smaller, some larger
        found = sample.gather_negatives(run, quotas, draws)
    assert found.schema == ANNOTATED_SCHEMA
    rows, wanted = found.to_pylist(), wanted_of(files, draws)
    assert len(rows) == sum(draw.rows for draw in draws)
    names = [*POOL_SCHEMA.names, "sampling_weight"]
    assert [[row[name] for name in names] for row in rows] == [
        [row[name] for name in names] for row in wanted
    ]


def test_what_the_draw_adds(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    files = made_up(3)
    found = sample.gather_negatives(run, write_pool(run, files, 50), draws_of(files, 3)).to_pylist()
    for row in found:
        u = int(hashlib.sha256(f"{row['healpix_128']}_42".encode()).hexdigest()[:8], 16) / 2**32
        assert row["split"] == ("train" if u < 0.7 else "val" if u < 0.85 else "test")
        assert row["galaxy_id"] == f"b{row['targetid'] % 7}_{row['targetid']}"
        assert (row["pipeline_version"], row["git_commit"]) == ("1.2.3", "abc")
        assert row["extraction_timestamp"].isoformat() == "2026-01-02T03:04:05+00:00"
    assert {row["split"] for row in found} == {"train", "val", "test"}


def test_row_groups_above_the_last_priority_are_not_read(
    tmp_path: Path, plan_dict: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_in(str(tmp_path), plan_dict)
    where = ("3-5", "SER", "N1")
    rows = [source(i, where, 10 * i, ("s", i)) for i in range(100)]
    other = [source(1000 + i, ("11+", "SER", "N1"), 10 * i + 5, ("t", i)) for i in range(100)]
    quotas = write_pool(run, {"a.parquet": rows, "b.parquet": other}, 10)
    monkeypatch.setattr(sample, "_SMALL_ROW_GROUP", 0)
    read = []
    real = pq.ParquetFile.read_row_groups

    def spy(self: Any, numbers: list[int], columns: list[str], **options: Any) -> pa.Table:
        read.extend((number, len(columns)) for number in numbers)
        return real(self, numbers, columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    found = sample.gather_negatives(run, quotas, [sample.Draw(DrawKey(*where), 100, 15, 140)])
    assert found["targetid"].to_pylist() == list(range(15))
    # Two row groups of each file begin at or below 140; those without a drawn row give only their keys.
    assert sorted(number for number, columns in read if columns == 4) == [0, 0, 1, 1]
    assert sorted(number for number, columns in read if columns > 4) == [0, 1]


@pytest.mark.parametrize("small", [0, 1 << 30])
def test_a_row_group_that_begins_with_the_last_drawn_row_is_read(
    tmp_path: Path, plan_dict: dict[str, Any], monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    """The eleventh row is drawn, and it is the first of its row group; the twelfth is not."""
    run = run_in(str(tmp_path), plan_dict)
    where = ("3-5", "SER", "N1")
    rows = [source(i, where, 10 * i, ("s", i)) for i in range(30)]
    quotas = write_pool(run, {"a.parquet": rows}, 10)
    monkeypatch.setattr(sample, "_SMALL_ROW_GROUP", small)
    found = sample.gather_negatives(run, quotas, [sample.Draw(DrawKey(*where), 30, 11, 100)])
    assert found["targetid"].to_pylist() == list(range(11))


def test_no_draws_give_no_rows(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    quotas = write_pool(run, made_up(1), 50)
    assert sample.gather_negatives(run, quotas, []).to_pylist() == []
    sample.write_part(run, "negatives", sample.gather_negatives(run, quotas, []))
    [uri] = run.files.sample_parts("negatives")
    assert read_table(uri).schema.names == ANNOTATED_SCHEMA.names


def test_from_s3_the_same_rows_come_as_from_a_disk(
    s3: str, tmp_path: Path, plan_dict: dict[str, Any]
) -> None:
    files = made_up(8, copies=1)
    draws = draws_of(files, 8)
    gathered = []
    for root in (str(tmp_path), s3):
        run = run_in(root, plan_dict)
        gathered.append(sample.gather_negatives(run, write_pool(run, files, 20), draws))
    assert gathered[0].equals(gathered[1])
    assert len(gathered[0]) > 50


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def overwritten_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)


def of_another_item(path: Path) -> None:
    path.write_bytes(path.with_name("1.parquet").read_bytes())


def without_a_column(path: Path) -> None:
    table = pq.read_table(path).drop_columns(["ra"])
    pq.write_table(table, path, row_group_size=50)


@pytest.mark.parametrize(
    "damage", [Path.unlink, cut_short, overwritten_inside, of_another_item, without_a_column]
)
def test_a_pool_file_that_is_not_the_one_that_was_counted(
    tmp_path: Path, plan_dict: dict[str, Any], damage: Any
) -> None:
    run = run_in(str(tmp_path), plan_dict)
    files = made_up(4)
    quotas = write_pool(run, files, 50)
    damage(Path(run.files.pool("0")))
    with pytest.raises(RunStateError, match=r"pool/0\.parquet: .*that item is then done again"):
        sample.gather_negatives(run, quotas, draws_of(files, 4))


def test_no_byte_of_a_pool_file_that_is_read_can_be_another_one(
    tmp_path: Path, plan_dict: dict[str, Any]
) -> None:
    """Each bit in turn: the rows are the same, or the file is named. `make test` flips some of them."""
    run = run_in(str(tmp_path), plan_dict)
    rows = [source(i, BINS[0] + ("N1",), i, ("s", i)) for i in range(1, 4)]
    path = Path(run.files.pool("0"))
    written = poolfile.write_pool(str(path), pa.Table.from_pylist(rows, POOL_SCHEMA))
    groups = tuple((group.rows, group.priority_min) for group in written.row_groups)
    quotas = Quotas(
        run_id="one", pool_files=("0.parquet",), row_groups={"0.parquet": groups},
        footers={"0.parquet": written.footer}, strata=(),
    )  # fmt: skip
    draws = [sample.Draw(DrawKey(*BINS[0], "N1"), 3, 3, 3)]
    wanted, data = sample.gather_negatives(run, quotas, draws), path.read_bytes()
    assert len(wanted) == 3
    said = []
    flips = range(0, 8 * len(data), 1 if os.environ.get("LENSNEG_FAULTS") == "long" else 185)
    for flip in flips:
        spoiled = bytearray(data)
        spoiled[flip // 8] ^= 1 << flip % 8
        path.write_bytes(spoiled)
        try:
            assert sample.gather_negatives(run, quotas, draws).equals(wanted), flip
        except RunStateError as error:
            said.append(str(error))
    assert all("0.parquet: not the pool file that was counted" in text for text in said)
    assert len(said) > 0.8 * len(flips)


def test_files_hold_at_most_so_many_rows_and_no_older_one_is_left(
    tmp_path: Path, plan_dict: dict[str, Any]
) -> None:
    run = run_in(str(tmp_path), plan_dict, rows_per_file=1000)
    write_table(run.files.matched_positives, pool_of(2300))
    rows = sample.read_positives(run)
    sample.write_part(run, "negatives", rows)
    uris = run.files.sample_parts("negatives")
    assert [len(read_table(uri)) for uri in uris] == [1000, 1000, 300]
    read = pa.concat_tables([read_table(uri) for uri in uris])
    assert read.equals(rows)
    assert read.schema.field("flux_z").metadata[b"unit"] == b"nanomaggy"
    first = Path(uris[0]).read_bytes()
    sample.write_part(run, "negatives", rows.slice(0, 1500))
    assert run.files.sample_parts("negatives") == uris[:2]
    assert Path(uris[0]).read_bytes() == first


def pool_of(count: int) -> pa.Table:
    rows = [source(i, ("3-5", "SER", "N1"), i, ("s", i)) for i in range(count)]
    return pa.Table.from_pylist(rows, POOL_SCHEMA)


@pytest.mark.parametrize(
    "options", [{"compression": "none"}, {"use_dictionary": False}, {"data_page_size": 200}]
)
def test_equal_rows_get_equal_bytes_however_the_pool_was_written(
    tmp_path: Path, plan_dict: dict[str, Any], options: dict[str, Any]
) -> None:
    files, written = made_up(6), []
    for folder, how in ((tmp_path / "a", {}), (tmp_path / "b", options)):
        run = run_in(str(folder), plan_dict)
        rows = sample.gather_negatives(run, write_pool(run, files, 50, **how), draws_of(files, 6))
        sample.write_part(run, "negatives", rows)
        written.append([Path(uri).read_bytes() for uri in run.files.sample_parts("negatives")])
    assert written[0] == written[1]


def test_positives_keep_their_order_and_weigh_one(tmp_path: Path, plan_dict: dict[str, Any]) -> None:
    run = run_in(str(tmp_path), plan_dict)
    table = pool_of(30).take(pa.array([5, 3, 20]))
    write_table(run.files.matched_positives, table)
    found = sample.read_positives(run)
    assert found["targetid"].to_pylist() == [5, 3, 20]
    assert found["sampling_weight"].to_pylist() == [1.0, 1.0, 1.0]
