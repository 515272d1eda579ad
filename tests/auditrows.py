"""Rows of a manifest that obey every rule, worked out by hand, for the audit to judge."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import reference

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content, Subject
from lensneg.audit.tally import Tally
from lensneg.schema.check import Check
from lensneg.schema.columns import WRITTEN_SCHEMA, part_schema
from lensneg.schema.config import Config
from lensneg.schema.manifest import Part

Row = dict[str, Any]

#: What the columns that name the run hold.
RUN_COLUMNS = {
    "pipeline_version": "1.2.3",
    "git_commit": "abc",
    "extraction_timestamp": "2026-01-02T03:04:05Z",
}


def row(i: int = 1, **changes: Any) -> Row:
    """Source i of a brick: a SER of z = 17.5 in N1, at the first of the facts' positions, in train."""
    targetid = 10002 * 2**42 + 336_000 * 2**22 + i
    return {
        "galaxy_id": f"1512p025_{i}", "object_id": f"1512p025-{i}",
        "brickname": "1512p025", "objid": i, "ra": 165.4754, "dec": -6.04226,
        "type": "SER", "nobs_z": 4, "nobs_z_bin": "3-5", "type_bin": "SER",
        "flux_g": 1.0, "flux_r": 10.0, "flux_z": 100.0, "flux_w1": 1000.0,
        "mag_g": 22.5, "mag_r": 20.0, "mag_z": 17.5, "g_minus_r": 2.5, "r_minus_z": 2.5, "z_minus_w1": 2.5,
        **{f"{name}_{band}": 1.25 for name in ("psfsize", "psfdepth", "galdepth") for band in "grz"},
        "ebv": 0.05, "maskbits": 0, "fitbits": 0, **{f"mw_transmission_{band}": 0.9 for band in "grz"},
        "shape_r": 1.0, "shape_e1": 0.1, "shape_e2": 0.0, "sersic": 1.0,
        "healpix_64": 26914, "healpix_128": 107657, "split": "train", "pool": "N1", "confuser_category": None,
        "confuser_flags": 0, "fracflux_r": None, "rchisq_r": None, "flux_ivar_r": None,
        "sweep_file": "sweep-165m010-170m005.fits", "row_index": i, "pipeline_version": "1.2.3",
        "git_commit": "abc", "extraction_timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "targetid": targetid, "release": 10002,
        "sampling_priority": reference.sampling_priority(targetid, 42), "sampling_weight": 1.0,
        "draw": str(changes.get("pool", "N1")).lower(), "fold": None,
        **changes,
    }  # fmt: skip


def positive(i: int = 1000, **changes: Any) -> Row:
    """Source i as a positive."""
    return row(i, **{"pool": "positive", **changes})


def table(rows: Iterable[Row]) -> pa.Table:
    """Rows as they are in the files."""
    return pa.Table.from_pylist(list(rows), WRITTEN_SCHEMA)


def part_table(part: str, rows: Iterable[Row]) -> pa.Table:
    """Rows of a part as they are published; of a lens that a row does not name, nothing is known."""
    return pa.Table.from_pylist(list(rows), part_schema(part))


def subject(config: Config, **claims: Any) -> Subject:
    """A manifest without files, quotas or lenses, but for what is claimed."""
    nothing: dict[str, Any] = {"files": {}, "promised": {}, "strata": (), "sweeps": {}}
    nothing |= {"ra": np.empty(0), "dec": np.empty(0)}
    return Subject(config=config, run_columns=RUN_COLUMNS, **(nothing | claims))


class JudgedRows(Content):
    """Rows to judge, in batches, and what they are compared with."""

    def __init__(self, subject: Subject, negatives: pa.Table, positives: pa.Table) -> None:
        self._tables = {"negatives": negatives, "positives": positives}
        self.subject, self.config = subject, subject.config
        self.rows = {part: len(rows) for part, rows in self._tables.items()}

    def column(self, part: Part, name: str) -> Iterator[pa.Array]:
        return (rows.table[name].combine_chunks() for rows in self.batches() if rows.part == part)

    def batches(self) -> Iterator[Rows]:
        """Two rows at a time, so that what a check keeps of one batch matters for the next."""
        for part in ("positives", "negatives"):
            for start in range(0, self.rows[part], 2):
                yield Rows(self._tables[part].slice(start, 2), part)


def content(
    config: Config, negatives: Iterable[Row] = (), positives: Iterable[Row] = (), **claims: Any
) -> JudgedRows:
    """Rows to judge, and what they are compared with."""
    return JudgedRows(subject(config, **claims), table(negatives), table(positives))


def checks_of(make: Callable[[Content], Tally], judged: JudgedRows) -> list[Check]:
    """The checks that are made of some rows."""
    tally = make(judged)
    for rows in judged.batches():
        tally.add(rows)
    return list(tally.checks())


def only(make: Callable[[Content], Tally], judged: JudgedRows) -> Check:
    """The one check that is made of some rows."""
    [found] = checks_of(make, judged)
    return found
