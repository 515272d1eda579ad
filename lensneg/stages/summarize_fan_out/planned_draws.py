"""Plan the draws that depend on each other, from a few columns of all rows of the pool."""

from collections import Counter
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.rules.cells import (
    Edges,
    bins_for,
    cell_edges,
    cells_in_strata,
    matched_values,
    stratum_numbers,
)
from lensneg.rules.draws import StratumPool, plan_stratum
from lensneg.rules.strata import strata_of
from lensneg.schema.arrays import FloatArray, IntArray
from lensneg.schema.config import Config
from lensneg.schema.item import ItemStats
from lensneg.schema.pools_config import CONFUSER_CATEGORIES, EXTERNAL
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.run import Run
from lensneg.schema.tables import read_batches
from lensneg.stages.summarize_fan_out.results import each

#: The columns of the pool files that say in which draw a row can be, besides the matched ones.
_READ: Final = ("nobs_z_bin", "type_bin", "confuser_category", "sampling_priority")


_NONE: Final = np.empty(0, dtype=np.int64)


class _Sources(NamedTuple):
    """Rows of the pool: the number of their stratum, their cell in it, their category and their priority."""

    stratum: IntArray
    cell: IntArray
    group: IntArray
    priority: IntArray


def plan_draws(run: Run, stats: list[ItemStats], positives: pa.Table) -> tuple[StratumQuota, ...]:
    """Plan the draws of all strata.

    Memory holds 12 bytes for each row of the pool.

    Parameters
    ----------
    run : Run
        The run.
    stats : list of ItemStats
        Those of the items that are done.
    positives : pyarrow.Table
        The positives, with the pool's columns.

    Returns
    -------
    tuple of StratumQuota
        All strata of the config, in its order.
    """
    config, strata = run.config, strata_of(run.config.strata)
    external = {name for s in stats for name in s.confusers if name.startswith(EXTERNAL)}
    categories = (*CONFUSER_CATEGORIES, *sorted(external))
    names = list(map(str, strata))
    matched = tuple(config.matching.bins) if config.matching else ()
    of_positives, values = stratum_numbers(positives, names), matched_values(positives, matched)
    edges = [_edges(values[of_positives == number], config) for number in range(len(strata))]

    def sources_of(item: ItemStats) -> _Sources:
        rows = pa.concat_tables(read_batches(run.files.pool(item.item.id), [*_READ, *matched]))
        stratum = stratum_numbers(rows, names)
        group = pc.fill_null(pc.index_in(rows["confuser_category"], pa.array(categories)), -1)
        return _Sources(
            stratum.astype(np.int8),
            cells_in_strata(matched_values(rows, matched), stratum, edges).astype(np.int16),
            (np.asarray(group) + 1).astype(np.int8),
            rows["sampling_priority"].to_numpy(),
        )

    found = each(sources_of, [s for s in stats if s.rows_kept])
    pool = _Sources(*map(np.concatenate, zip(*found, strict=True))) if found else _Sources(*[_NONE] * 4)
    positive_cells = cells_in_strata(values, of_positives, edges)
    return tuple(
        plan_stratum(
            stratum,
            Counter(positive_cells[of_positives == number].tolist()),
            StratumPool(*_unique(pool, number), categories),
            edges[number],
            config,
        )
        for number, stratum in enumerate(strata)
    )


def _edges(positives: FloatArray, config: Config) -> Edges:
    """Return where the bins of a stratum's matched columns end."""
    if config.matching is None:
        return ()
    return cell_edges(positives, bins_for(len(positives), config.matching))


def _unique(pool: _Sources, number: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return the sources of a stratum, each once, by cell and priority. Copies of a source are alike."""
    own = np.flatnonzero(pool.stratum == number)
    own = own[np.lexsort((pool.priority[own], pool.cell[own]))]
    priority = pool.priority[own]
    own = own[np.diff(priority, prepend=~priority[:1]) != 0]
    return pool.cell[own], pool.group[own], pool.priority[own]
