"""Find sources that are in more than one row of the pool files."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.rules.sources import brick_of, shared_bricks
from lensneg.schema.item import ItemStats
from lensneg.schema.run import Run
from lensneg.schema.tables import read_table
from lensneg.stages.summarize_fan_out.results import each


class PoolKey(NamedTuple):
    """A stratum, and one of the pool files' values of ``pool``."""

    nobs_z_bin: str
    type_bin: str
    pool: str


_KEYS = list(PoolKey._fields)


class Repeats(NamedTuple):
    """Rows beyond the first of each source, by stratum and pool, and by confuser category.

    ``disagreeing`` is the number of sources in two strata or pools.
    """

    rows: Counter[PoolKey]
    confusers: Counter[str]
    disagreeing: int


def find_repeats(run: Run, stats: list[ItemStats]) -> Repeats:
    """Find the sources that are in more than one row of the pool.

    Only the files that hold a brick in two overlapping ranges are read. A survey's files have none.
    """
    bricks = shared_bricks([pair for s in stats for pair in s.brick_ranges])
    if not len(bricks):
        return Repeats(Counter(), Counter(), 0)
    holders = [s for s in stats if np.isin(brick_of([low for low, _ in s.brick_ranges]), bricks).any()]

    def rows_of(item: ItemStats) -> pa.Table:
        table = read_table(run.files.pool(item.item.id)).select([*_KEYS, "targetid", "confuser_category"])
        return table.filter(pa.array(np.isin(brick_of(table["targetid"].to_numpy()), bricks)))

    rows = pa.concat_tables(each(rows_of, holders))
    sources = rows.group_by([*_KEYS, "targetid"]).aggregate([([], "count_all"), ("confuser_category", "min")])
    found = Repeats(Counter(), Counter(), len(sources) - len(sources["targetid"].unique()))
    for source in sources.filter(pc.field("count_all") > 1).to_pylist():
        extra = source["count_all"] - 1
        found.rows[PoolKey(*(source[name] for name in _KEYS))] += extra
        found.confusers[source["confuser_category_min"] or ""] += extra
    return found
