"""Rows looked up again in their sweep files."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.source_rows import has_photo_z, unlike_pz, unlike_sweep
from lensneg.audit.subject import Content
from lensneg.audit.tally import Tally
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import PARTS, WRITTEN_SCHEMA

#: Rows of sweep files are fetched by this many threads: on S3 each costs a round trip.
_FETCH_THREADS: Final = 32


class FoundAgain(Tally):
    """Looks up a random sample of rows in the sweep files."""

    def __init__(self, content: Content) -> None:
        self._subject = content.subject
        total = sum(content.rows.values())
        wanted = min(self._subject.config.gates.rows_found_again, total)
        rng = np.random.default_rng(self._subject.config.negative_pools.seed)
        #: The numbers of the chosen rows. Those of the positives follow on those of the negatives.
        self._chosen = np.sort(rng.choice(total, wanted, replace=False))
        self._next = {"negatives": 0, "positives": content.rows["negatives"]}
        self._rows: dict[str, list[pa.Table]] = {part: [] for part in PARTS}

    def add(self, rows: Rows) -> None:
        """Keep the chosen ones of some rows."""
        start = self._next[rows.part]
        self._next[rows.part] = start + len(rows)
        first, last = np.searchsorted(self._chosen, [start, start + len(rows)])
        self._rows[rows.part].append(rows.table.take(pa.array(self._chosen[first:last] - start)))

    def checks(self) -> Iterator[Check]:
        """Look the chosen rows up, and yield the checks."""
        tables = [table for part in PARTS for table in self._rows[part]]
        chosen = pa.concat_tables([WRITTEN_SCHEMA.empty_table(), *tables])
        at_hand = np.asarray(
            pc.is_in(chosen["sweep_file"], pa.array(list(self._subject.sweeps), pa.string()))
        )
        missing = sorted(set(chosen["sweep_file"].filter(pa.array(~at_hand)).to_pylist()))
        if missing or not self._subject.all_at_hand:
            yield Check(
                name="sweeps_at_hand",
                passed=not missing,
                expected=f"the sweep files of {len(chosen):,} random rows",
                actual=f"not there: {brief(missing, 3)}"
                if missing
                else f"{int(at_hand.sum()):,} rows' files",
                remedy="name their folder or prefix, so that rows can be looked up in them",
                critical=self._subject.all_at_hand,
            )
        rows = chosen.filter(pa.array(at_hand))
        if not len(rows):
            return
        names = rows["sweep_file"].to_numpy()
        groups = [(name, rows.filter(pa.array(names == name))) for name in np.unique(names).tolist()]

        by_need = self._subject.config.negative_pools.pool_n2.tractor_criteria.columns

        def look(group: tuple[str, pa.Table]) -> list[str]:
            name, table = group
            pz = unlike_pz(self._subject.pz[name], table) if name in self._subject.pz else has_photo_z(table)
            return unlike_sweep(self._subject.sweeps[name], table, by_need) + pz

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
