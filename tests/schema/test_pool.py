"""Pool files: their order, also where priorities tie, what is read again."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensneg.schema.columns import POOL_SCHEMA
from lensneg.schema.pool import pool_order, priority_tiers, write_pool

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


def test_a_tier_begins_with_its_lowest_priority_and_takes_a_thousand_rows() -> None:
    """Half of all priorities are below 0, a quarter below -2^62; 2,000 rows are two tiers, 1,999 one."""
    edges = [LOWEST, -(2**62) - 1, -(2**62), -1, 0, HIGHEST]
    for rows, tiers in ((1999, [0, 0, 0, 0, 0, 0]), (2000, [0, 0, 0, 0, 1, 1]), (4000, [0, 0, 1, 1, 2, 2])):
        priority = np.array(edges + [LOWEST] * (rows - len(edges)), dtype=np.int64)
        assert priority_tiers(priority)[: len(edges)].tolist() == tiers


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
            missing = np.isnan(values) if field.nullable else None
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
    lowest = [file.read_row_group(i)["sampling_priority"].to_numpy().min() for i in range(len(groups))]
    assert [group.priority_min for group in written.row_groups] == lowest
    data = path.read_bytes()
    assert (written.bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    end = data[-written.footer.size :]
    assert written.footer.sha256 == hashlib.sha256(end).hexdigest()
    assert pq.read_metadata(pa.BufferReader(b"PAR1" + end)).num_rows == rows


def test_a_value_that_may_not_be_missing_is_refused(tmp_path: Path) -> None:
    pool = some_pool(10)
    place = pool.schema.get_field_index("ra")
    holed = pool.set_column(place, pool.schema.field("ra"), pa.nulls(10, pa.float64()))
    with pytest.raises((ValueError, pa.ArrowException)):
        write_pool(str(tmp_path / "pool.parquet"), holed)
