"""Pool files: their order, also where priorities tie, what is read again; and the rows gathered for them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweepfile import sweep_dtype, table

from lensneg.schema.columns import POOL_SCHEMA
from lensneg.schema.pool import pool_order, priority_tiers, write_pool
from lensneg.schema.sweep_columns import SOURCE_TYPES
from lensneg.survey.sweep_rows import GatheredRows, SweepRows

LOWEST, HIGHEST = -(2**63), 2**63 - 1
#: Priorities that only their last bits tell apart, and some that nothing does.
CLOSE = st.sampled_from([LOWEST, LOWEST + 1, -2, -1, 0, 1, 2, HIGHEST - 1, HIGHEST])


@given(st.lists(st.tuples(st.integers(-9, 70), st.one_of(CLOSE, st.integers(LOWEST, HIGHEST))), max_size=40))
def test_rows_are_in_order_of_segment_then_priority_then_their_own(rows: list[tuple[int, int]]) -> None:
    """Python's own sort, which keeps the order of equals, decides; so few rows are one tier."""
    segment, priority = (np.array(column, dtype=np.int64) for column in (zip(*rows) if rows else ((), ())))  # noqa: B905
    assert pool_order(segment, priority).tolist() == sorted(range(len(rows)), key=lambda i: rows[i])


@pytest.mark.parametrize("doubled", [False, True])
def test_tiers_come_first(doubled: bool) -> None:
    """9,000 rows are four tiers; with every source doubled, too."""
    random = np.random.default_rng(5)
    priority = random.integers(LOWEST, HIGHEST, 9000)
    segment = random.integers(-2, 40, 9000)
    if doubled:
        priority[1::2], segment[1::2] = priority[::2], segment[::2]
    share = [(p + 2**63) / 2**64 for p in priority.tolist()]
    tier = [sum(s >= limit for limit in (1 / 2, 1 / 4, 1 / 8)) for s in share]
    assert priority_tiers(priority).tolist() == tier
    wanted = sorted(range(9000), key=lambda i: (tier[i], segment[i], priority[i]))
    assert pool_order(segment, priority).tolist() == wanted


def some_pool(rows: int) -> pa.Table:
    """Rows of every column's type, with missing magnitudes and numbers that are no numbers."""
    random = np.random.default_rng(6)
    columns: dict[str, Any] = {}
    for field in POOL_SCHEMA:
        if pa.types.is_string(field.type):
            columns[field.name] = pa.array([f"{field.name[:3]}{i % 7}" for i in range(rows)])
        elif pa.types.is_floating(field.type):
            values = random.normal(size=rows)
            values[::5] = np.nan
            missing = (
                np.isnan(values) if field.name.startswith(("mag_", "g_", "r_minus", "z_minus")) else None
            )
            columns[field.name] = pa.array(values, mask=missing).cast(field.type)
        else:
            bits = field.type.bit_width - 1
            columns[field.name] = pa.array(random.integers(-(2**bits), 2**bits - 1, rows), field.type)
    columns["confuser_category"] = pa.array([None, "ring_proxy"] * (rows // 2), pa.string())
    pool = pa.table(columns, schema=POOL_SCHEMA)
    priority = pool["sampling_priority"].to_numpy()
    return pool.take(pool_order(np.zeros(rows, np.int64), priority))


@pytest.mark.parametrize("texts", ["plain", "dictionaries"])
@pytest.mark.parametrize("rows", [0, 2, 5000])
def test_what_is_written_is_read_again(tmp_path: Path, rows: int, texts: str) -> None:
    pool = some_pool(rows)
    given_table = pool
    if texts == "dictionaries":
        given_table = pa.table(
            [c.dictionary_encode() if pa.types.is_string(c.type) else c for c in pool.columns],
            schema=pa.schema(
                f.with_type(pa.dictionary(pa.int32(), f.type)) if pa.types.is_string(f.type) else f
                for f in POOL_SCHEMA
            ),
        )
    path = tmp_path / "pool.parquet"
    written = write_pool(str(path), given_table)
    file = pq.ParquetFile(path)
    read = file.read()
    assert read.schema.names == POOL_SCHEMA.names
    assert read.schema.types == POOL_SCHEMA.types
    for name in POOL_SCHEMA.names:  # NaN is itself here, and not equal to null
        assert str(read[name].to_pylist()) == str(pool[name].to_pylist()), name
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert [group.rows for group in written.row_groups] == groups
    assert sum(groups) == rows
    assert written.bytes == path.stat().st_size


def test_a_value_that_may_not_be_missing_is_refused(tmp_path: Path) -> None:
    pool = some_pool(10)
    place = pool.schema.get_field_index("flux_g")
    holed = pool.set_column(place, pool.schema.field("flux_g"), pa.nulls(10, pa.float32()))
    with pytest.raises((ValueError, pa.ArrowException)):
        write_pool(str(tmp_path / "pool.parquet"), holed)


# ---------------------------------------------------------------- rows that are gathered


@pytest.mark.parametrize("room", [0, 1, 3000, 100_000])
def test_gathered_rows_are_those_that_were_added(room: int) -> None:
    """Whatever room there was: in pieces from none to more than are moved at once, whole and by index."""
    rows = np.repeat(table([{}]), 9000)
    random = np.random.default_rng(7)
    for name in ("RA", "FLUX_Z", "OBJID"):
        rows[name] = random.integers(0, 1 << 20, 9000)
    rows["TYPE"] = random.choice([b"PSF", b"SER", b"rex"], 9000)
    gathered, kept = GatheredRows(sweep_dtype(), room), []
    for first, last in ((0, 0), (0, 1), (1, 5000), (5000, 5001), (5001, 9000)):
        chunk = rows[first:last].copy()
        index = np.flatnonzero(random.random(last - first) < 0.7)
        if first == 5001:
            index = np.arange(last - first)
        some = SweepRows(chunk).take(index) if first != 5001 else SweepRows(chunk)
        gathered.append(some, first + index)
        chunk.view(np.uint8)[:] = 0xFF  # as a chunk's buffer is used again
        kept += (first + index).tolist()
    assert len(gathered) == len(kept)
    assert gathered.row_index.tolist() == kept
    some_of = random.permutation(len(kept))[:500]
    for name in ("RA", "FLUX_Z", "OBJID"):
        assert gathered[name].tolist() == rows[name][kept].tolist()
        assert gathered.take(some_of)[name].tolist() == rows[name][kept][some_of].tolist()
    assert gathered.take(some_of).take(np.array([3, 1])).row_index.tolist() == [
        kept[some_of[3]],
        kept[some_of[1]],
    ]


@pytest.mark.parametrize("width", [2, 3, 4, 6])
def test_types_are_known_by_all_their_bytes(width: int) -> None:
    """Every name of up to three letters, in columns of several widths, with both kinds of padding."""
    letters = "ABDEFPRSUVXZ "
    names = [a + b + c for a in letters for b in letters for c in letters]
    names += [name.lower() for name in SOURCE_TYPES] + list(SOURCE_TYPES)
    names = sorted({name.strip()[:width] for name in names})
    place = [(name, sweep_dtype()[name]) for name in ("RELEASE", "RA")]
    dtype = np.dtype([place[0], ("TYPE", f"S{width}"), place[1]])
    for pad in (b" ", b"\0"):
        rows = np.zeros(len(names), dtype)
        rows["TYPE"] = [name.encode().ljust(width, pad) for name in names]
        rows["RA"] = -1.23456789e200  # the byte behind a type of three bytes is the next column's
        wanted = [SOURCE_TYPES.index(n.upper()) if n.upper() in SOURCE_TYPES else -1 for n in names]
        assert SweepRows(rows).source_type().tolist() == wanted
        backwards = np.arange(len(names))[::-1]
        assert SweepRows(rows, backwards).source_type().tolist() == wanted[::-1]
        last = np.dtype([place[0], ("TYPE", f"S{width}")])
        assert SweepRows(rows[["RELEASE", "TYPE"]].astype(last)).source_type().tolist() == wanted
