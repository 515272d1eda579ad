"""Rows looked up again in their sweep files."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.source_rows import unlike_sweep
from lensneg.audit.subject import Content
from lensneg.schema.check import Check, brief

#: Rows of sweep files are fetched by this many threads: on S3 each costs a round trip.
_FETCH_THREADS: Final = 32


def found_again(content: Content) -> Iterator[Check]:
    """Look up a random sample of rows in the sweep files."""
    subject, table = content.subject, content.both.table
    wanted = min(subject.config.gates.rows_found_again, len(table))
    rng = np.random.default_rng(subject.config.negative_pools.seed)
    chosen = table.take(pa.array(np.sort(rng.choice(len(table), wanted, replace=False))))
    at_hand = np.asarray(pc.is_in(chosen["sweep_file"], pa.array(list(subject.sweeps), pa.string())))
    missing = sorted(set(chosen["sweep_file"].filter(pa.array(~at_hand)).to_pylist()))
    if missing or not subject.all_at_hand:
        yield Check(
            name="sweeps_at_hand",
            passed=not missing,
            expected=f"the sweep files of {wanted:,} random rows",
            actual=f"not there: {brief(missing, 3)}" if missing else f"{int(at_hand.sum()):,} rows' files",
            remedy="name their folder or prefix, so that rows can be looked up in them",
            critical=subject.all_at_hand,
        )
    rows = chosen.filter(pa.array(at_hand))
    if not len(rows):
        return
    names = rows["sweep_file"].to_numpy()
    groups = [(name, rows.filter(pa.array(names == name))) for name in np.unique(names).tolist()]

    def look(group: tuple[str, pa.Table]) -> list[str]:
        return unlike_sweep(subject.sweeps[group[0]], group[1])

    with ThreadPoolExecutor(_FETCH_THREADS) as threads:
        wrong = [fault for faults in threads.map(look, groups) for fault in faults]
    yield Check(
        name="rows_found_again",
        passed=not wrong,
        expected=f"{len(rows):,} random rows in their sweep files at row_index, with the same values",
        actual=f"{len(wrong):,} not: {brief(wrong, 3)}"
        if wrong
        else f"{len(rows):,} in {len(groups):,} files",
        remedy="the sweep files are not those of this run, or rows were changed; fetch them again",
    )
