"""The rows that the Spark job wrote, checked independently of Spark, a batch at a time."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.rules.pools import POOLS
from lensneg.rules.priority import PRIORITY_MAX, PRIORITY_MIN, sampling_priority
from lensneg.rules.split import fold_of_pixel, split_of_pixel
from lensneg.rules.strata import strata_of
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.check import Check
from lensneg.schema.columns import ANNOTATED_SCHEMA, MANIFEST_SCHEMA, WRITTEN_SCHEMA
from lensneg.schema.quotas import Draw, DrawKey, Quotas, draws_of
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import DrawnPart, SampleSummary
from lensneg.stages.check_sample.populations import Populations

#: Rows that are checked at once.
_BATCH: Final = 1 << 17

_REQUIRED: Final = [field.name for field in MANIFEST_SCHEMA if not field.nullable]


class _Draw(NamedTuple):
    """What a row of a draw has to have. The group numbers stratum and pool, in the manifest's order."""

    key: DrawKey
    group: int
    rule: Draw
    last_priority: int


class CheckedRows:
    """Reads the parts once, in order, and keeps what is wrong with them.

    Parameters
    ----------
    run : Run
        The run.
    quotas : Quotas
        The quotas of its draws.
    summary : SampleSummary
        What the job says that it wrote.
    """

    def __init__(self, run: Run, quotas: Quotas, summary: SampleSummary) -> None:
        self._run, self._summary = run, summary
        drawn, number = summary.drawn, {quota[:2]: i for i, quota in enumerate(strata_of(run.config.strata))}
        draws = [
            _Draw(key, 2 * number[key[:2]] + POOLS.index(draw.pool), draw, drawn[key].last_priority)
            for key, draw in draws_of(quotas.strata)
        ]
        self._draws, self._population = draws, Populations(quotas, [draw.rule for draw in draws])
        # The last element is that of rows of no draw, whose number is -1.
        self._group = np.array([*(draw.group for draw in draws), -1])
        self._pool = pa.array([*(draw.rule.pool for draw in draws), None], pa.string())
        self._weight = np.array([*(draw.rule.weight for draw in draws), np.nan])
        self._first = np.array([*(draw.rule.lowest for draw in draws), PRIORITY_MIN])
        self._last = np.array([*(draw.last_priority for draw in draws), PRIORITY_MAX])
        self._before = (-1, 0)  # the group and the priority of the row before
        self._counts: Counter[tuple[DrawKey, str]] = Counter()
        self._faults: dict[str, list[str]] = {"files_as_summarized": [], "in_order": [], "rows_as_ruled": []}

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows in the manifest's form. Reading ends where a part cannot be read."""
        for part in self._summary.parts:
            uri = storage.join(self._run.files.draw_folder, part.name)
            try:
                for rows in self._read(uri, part):
                    self._check(rows, uri)
                    yield rows.cast(ANNOTATED_SCHEMA)
            except (pa.ArrowException, OSError) as error:
                reason = "missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
                self._faults["files_as_summarized"].append(f"{uri}: {reason}")
                return

    def _read(self, uri: str, part: DrawnPart) -> Iterator[pa.Table]:
        size = storage.stat(uri).size
        with (
            storage.open_file(uri, size) as stream,
            pq.ParquetFile(stream, pre_buffer=storage.is_s3(uri), page_checksum_verification=True) as file,
        ):
            for name, kind in zip(WRITTEN_SCHEMA.names, WRITTEN_SCHEMA.types, strict=True):
                index = file.schema_arrow.get_field_index(name)
                found = file.schema_arrow.field(index).type if index >= 0 else "missing"
                if found != kind:
                    raise pa.ArrowInvalid(f"column {name} is {found}; expected {kind}")
            if file.metadata.num_rows != part.rows:
                raise pa.ArrowInvalid(f"{file.metadata.num_rows:,} rows; the summary says {part.rows:,}")
            for batch in file.iter_batches(_BATCH, columns=WRITTEN_SCHEMA.names):
                rows = pa.Table.from_batches([batch])
                if empty := [name for name in _REQUIRED if rows[name].null_count]:
                    raise pa.ArrowInvalid(f"no value in some rows of {', '.join(empty)}")
                yield rows.select(WRITTEN_SCHEMA.names)

    def _check(self, rows: pa.Table, uri: str) -> None:
        """Compare rows with the rules, and count them."""
        draw, priority = self._draw_of(rows), rows["sampling_priority"].to_numpy()
        self._count(rows)
        for what, wrong in (
            ("nobs_z_bin, type_bin, draw: there is no such draw", draw < 0),
            ("sampling_priority: above the last one", priority > self._last[draw]),
            ("sampling_priority: below the first one", priority < self._first[draw]),
            ("not of what is drawn from", ~self._population.hold(rows, draw)),
        ):
            self._note("rows_as_ruled", what, wrong, rows, uri)
        (before_group, before), group = self._before, self._group[draw]
        step = np.diff(group, prepend=before_group)
        rising = np.concatenate([[before], priority[:-1]]) < priority
        self._note("in_order", "not after the row before", (step < 0) | ((step == 0) & ~rising), rows, uri)
        self._before = (int(group[-1]), int(priority[-1]))
        for name, expected in self._expected(rows, draw).items():
            equal = pc.fill_null(pc.equal(rows[name], expected), False)
            if name == "fold":  # null in the split that is kept for tests
                equal = pc.or_(equal, pc.and_(rows[name].is_null(), expected.is_null()))
            self._note("rows_as_ruled", name, ~np.asarray(equal), rows, uri)

    def _expected(self, rows: pa.Table, draw: IntArray) -> dict[str, pa.Array | pa.Scalar]:
        """Return what the columns have to hold that the job computes, or draws by."""
        config = self._run.config
        priority = sampling_priority(rows["targetid"].to_numpy(), config.negative_pools.seed)
        objid = rows["objid"].cast(pa.string())
        fold = fold_of_pixel(rows["healpix_128"].to_numpy(), config.spatial_splits)
        return {
            "sampling_priority": pa.array(priority),
            "split": pa.array(split_of_pixel(rows["healpix_128"].to_numpy(), config.spatial_splits)),
            "pool": self._pool.take(pa.array(np.where(draw < 0, len(self._draws), draw))),
            "sampling_weight": pa.array(self._weight[draw]),
            "fold": pa.array(fold, pa.int16(), mask=fold < 0),
            "galaxy_id": pc.binary_join_element_wise(rows["brickname"], objid, "_"),
            "object_id": pc.binary_join_element_wise(rows["brickname"], objid, "-"),
            **{
                name: pa.scalar(value).cast(WRITTEN_SCHEMA.field(name).type)
                for name, value in self._run.record.columns.items()
            },
        }

    def _draw_of(self, rows: pa.Table) -> IntArray:
        """Return the number of each row's draw in the manifest's order, or -1."""
        names = pa.array(["/".join(draw.key) for draw in self._draws])
        keys = pc.binary_join_element_wise(*(rows[name] for name in DrawKey._fields), "/")
        return np.asarray(pc.fill_null(pc.index_in(keys, names), -1), dtype=np.int64)

    def _count(self, rows: pa.Table) -> None:
        groups = rows.group_by([*DrawKey._fields, "split"]).aggregate([([], "count_all")]).to_pylist()
        for group in groups:
            key = DrawKey(*(group[name] for name in DrawKey._fields))
            self._counts[key, group["split"]] += group["count_all"]

    def _note(self, check: str, what: str, wrong: BoolArray, rows: pa.Table, uri: str) -> None:
        if wrong.any():
            first = rows["targetid"][int(np.flatnonzero(wrong)[0])]
            self._faults[check].append(f"{uri}: {what}, in {wrong.sum():,} rows, first of TARGETID {first}")

    def checks(self) -> Iterator[Check]:
        """Yield the checks of the rows that were read."""
        said = {(e.key, split): rows for e in self._summary.rows for split, rows in e.splits.items()}
        files = self._faults["files_as_summarized"] or [
            f"{key}/{split}: {self._counts[key, split]:,} rows, {said.get((key, split), 0):,} in the summary"
            for key, split in sorted({*self._counts, *said})
            if self._counts[key, split] != said.get((key, split), 0)
        ]
        total = f"{self._counts.total():,} rows"
        again = "start again with the same run id: the job writes them again"
        yield Check.of_faults(
            "files_as_summarized",
            files,
            expected="the parts of draw/ to hold what the summary says, by stratum, draw and split",
            found=total,
            remedy=again,
        )
        yield Check.of_faults(
            "in_order",
            self._faults["in_order"],
            expected="each row after the one before it, by stratum, pool and priority, so no source twice",
            found=total,
            remedy=again,
        )
        yield Check.of_faults(
            "rows_as_ruled",
            self._faults["rows_as_ruled"],
            expected="priority, split, weight, names and run of each row as the rules have them",
            found=total,
            remedy=again + "; if that does not help, please report it",
        )
