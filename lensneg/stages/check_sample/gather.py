"""The sample: the rows that the draw settled on, gathered from the pool files, and the positives.

The draw says for each stratum and pool the priority of its last row. A pool file's row groups that begin
above all of these hold nothing of the sample, and are not read.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.rules.pools import POOLS
from lensneg.rules.priority import PRIORITY_MIN
from lensneg.rules.split import split_of_pixel
from lensneg.schema.arrays import IntArray
from lensneg.schema.columns import ANNOTATED_SCHEMA, POOL_SCHEMA, REPETITIVE
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import DrawKey, Quotas, draws_of
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import SampleSummary
from lensneg.schema.tables import read_table, write_table

#: What decides whether a row was drawn.
_KEYS: Final = ("nobs_z_bin", "type_bin", "pool", "sampling_priority")

#: Strings that repeat: read as dictionaries, they need not be made row by row.
_DICTIONARIES: Final = tuple(
    f.name for f in POOL_SCHEMA if pa.types.is_string(f.type) and f.name in REPETITIVE
)

#: Of a row group up to this size all columns are read at once: on S3 a second request would cost more. Of a
#: larger one, the keys tell whether its rest is read at all.
_SMALL_ROW_GROUP: Final = 2 << 20

#: Pool files in S3 are read by this many threads, as each row group costs a round trip; a thread holds one.
#: Local files are read by one for each core: more would only stand in each other's way.
_S3_THREADS: Final = 16


#: Rows of each row group of a pool file, and the lowest priority among them.
RowGroups = tuple[tuple[int, int], ...]


class Draw(NamedTuple):
    """What was drawn from one stratum and pool: all its sources up to ``last_priority``."""

    key: DrawKey
    available: int
    rows: int
    last_priority: int


def settled_draws(quotas: Quotas, summary: SampleSummary) -> list[Draw]:
    """Return the draws of a run, in the manifest's order.

    Parameters
    ----------
    quotas : Quotas
    summary : SampleSummary
        What the Spark job wrote.
    """
    drawn = summary.drawn
    return [
        Draw(key, pool.available, drawn[key].rows, drawn[key].last_priority)
        for key, pool in draws_of(quotas.strata)
        if key in drawn and drawn[key].rows
    ]


class _Drawn(NamedTuple):
    """Rows of pool files that were drawn, and the number of the draw of each."""

    rows: pa.Table
    draw: IntArray


class _Membership:
    """Tells which rows were drawn, and by which draw."""

    def __init__(self, draws: list[Draw]) -> None:
        self._bins = [
            sorted({draw.key.nobs_z_bin for draw in draws}),
            sorted({draw.key.type_bin for draw in draws}),
            list(POOLS),
        ]
        # One place more on each axis: a bin that nothing is drawn from has index -1.
        shape = [len(values) + 1 for values in self._bins]
        self._draw = np.full(shape, -1, dtype=np.int64)
        self._last = np.full(shape, PRIORITY_MIN, dtype=np.int64)
        for number, draw in enumerate(draws):
            place = tuple(values.index(key) for values, key in zip(self._bins, draw.key, strict=True))
            self._draw[place], self._last[place] = number, draw.last_priority

    def of(self, keys: pa.Table) -> tuple[IntArray, IntArray]:
        """Return the indices of the drawn among some rows, and their draws."""
        place = tuple(_codes(keys[name], values) for name, values in zip(_KEYS, self._bins, strict=False))
        draw = self._draw[place]
        drawn = np.flatnonzero((draw >= 0) & (keys["sampling_priority"].to_numpy() <= self._last[place]))
        return drawn, draw[drawn]


def _codes(column: pa.ChunkedArray, values: list[str]) -> npt.NDArray[np.int32]:
    """Return which of some values stands in each row of a dictionary column; -1 for another."""
    array = column.combine_chunks()
    codes = np.asarray(pc.fill_null(pc.index_in(array.dictionary, pa.array(values)), -1), np.int32)
    rows: npt.NDArray[np.int32] = codes[array.indices.to_numpy()]
    return rows


def gather_negatives(run: Run, quotas: Quotas, draws: list[Draw]) -> pa.Table:
    """Return the rows of some draws from the pool files, as they stand in the manifest.

    Of a source that stands in several rows of one stratum and pool, the first by sweep file and row is
    taken.

    Parameters
    ----------
    run : Run
    quotas : Quotas
        The pool files and their row groups.
    draws : list of Draw

    Returns
    -------
    pyarrow.Table
        Columns of ``ANNOTATED_SCHEMA``, in the manifest's order.

    Raises
    ------
    RunStateError
        If a pool file is missing, damaged, or not the one that was counted.
    """
    membership = _Membership(draws)
    highest = max((draw.last_priority for draw in draws), default=PRIORITY_MIN)

    sizes = _sizes(run.files)

    def gather(name: str) -> _Drawn:
        groups = quotas.row_groups[name]
        return _drawn_of_file(run.files, name, sizes.get(name), groups, highest, membership)

    with _readers(run.files) as threads:
        found = _together(list(threads.map(gather, quotas.pool_files)) if draws else [])
    rows = found.rows.unify_dictionaries().combine_chunks()
    order = _manifest_order(rows, found.draw)
    weight = np.array([d.available / d.rows for d in draws], dtype=np.float64)
    return _annotate(rows.take(pa.array(order)), weight[found.draw[order]], run)


@contextmanager
def _pool_file(
    files: RunFiles, name: str, size: int | None, row_groups: RowGroups
) -> Iterator[pq.ParquetFile]:
    """Open a pool file; whatever proves that it is not the one that was counted is a RunStateError."""
    uri = storage.join(files.pool_folder, name)
    try:
        if size is None:
            raise FileNotFoundError(uri)
        with storage.open_file(uri, size) as stream:
            file = pq.ParquetFile(stream, read_dictionary=_DICTIONARIES, pre_buffer=storage.is_s3(uri))
            counted = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            if counted != [rows for rows, _ in row_groups]:
                raise pa.ArrowInvalid("its row groups are not those that were counted")
            yield file
    except (pa.ArrowException, OSError, KeyError) as error:  # damaged pages are an OSError to Arrow
        reason = "it is missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        item = name.removesuffix(".parquet")
        raise RunStateError(
            f"not the pool file that was counted: {reason}",
            where=uri,
            remedy=(
                f"remove {files.stats(item)} and start again with the same run id: that item is "
                "then done again"
            ),
        ) from error


def _sizes(files: RunFiles) -> dict[str, int]:
    return {storage.basename(info.uri): info.size for info in storage.list_files(files.pool_folder)}


def _readers(files: RunFiles) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_S3_THREADS if storage.is_s3(files.root) else os.cpu_count())


def other_pool_files(files: RunFiles, quotas: Quotas) -> list[str]:
    """Return what is wrong with pool files that are not those that were counted, as far as footers tell."""
    sizes = _sizes(files)

    def reason(name: str) -> str:
        try:
            with _pool_file(files, name, sizes.get(name), quotas.row_groups[name]):
                return ""
        except RunStateError as error:
            return str(error)

    with _readers(files) as threads:
        return [text for text in threads.map(reason, quotas.pool_files) if text]


def _drawn_of_file(
    files: RunFiles,
    name: str,
    size: int | None,
    row_groups: RowGroups,
    highest: int,
    membership: _Membership,
) -> _Drawn:
    """Return the drawn rows of a pool file."""
    with _pool_file(files, name, size, row_groups) as file:
        small: list[int] = []
        large: list[int] = []
        for number, (_, lowest) in enumerate(row_groups):
            if lowest <= highest:
                size_in_file = file.metadata.row_group(number).total_byte_size
                (small if size_in_file <= _SMALL_ROW_GROUP else large).append(number)
        found = [_drawn_at_once(file, small, membership)] if small else []
        return _together(found + [_drawn_by_keys(file, number, membership) for number in large])


def _together(parts: list[_Drawn]) -> _Drawn:
    tables = [part.rows for part in parts if len(part.rows)] or [POOL_SCHEMA.empty_table()]
    draws = [np.empty(0, dtype=np.int64), *(part.draw for part in parts)]
    return _Drawn(pa.concat_tables(tables), np.concatenate(draws))


def _drawn_at_once(file: pq.ParquetFile, numbers: list[int], membership: _Membership) -> _Drawn:
    """Return the drawn rows of small row groups: each is twice the one before, so together they are small."""
    rows = file.read_row_groups(numbers, POOL_SCHEMA.names, use_threads=False)
    drawn, draw = membership.of(rows)
    # Without the file's own schema, whose columns may be declared other than another file's.
    columns = {name: rows[name] for name in POOL_SCHEMA.names}
    return _Drawn(pa.table(columns).take(pa.array(drawn)), draw)


def _drawn_by_keys(file: pq.ParquetFile, number: int, membership: _Membership) -> _Drawn:
    """Return the drawn rows of a large row group, of which the rest is read only if there are any."""
    keys = file.read_row_groups([number], list(_KEYS), use_threads=False)
    drawn, draw = membership.of(keys)
    if not len(drawn):
        return _Drawn(POOL_SCHEMA.empty_table(), draw)
    others = [name for name in POOL_SCHEMA.names if name not in _KEYS]
    rest = file.read_row_groups([number], others, use_threads=False)
    columns = {name: (keys if name in _KEYS else rest)[name] for name in POOL_SCHEMA.names}
    return _Drawn(pa.table(columns).take(pa.array(drawn)), draw)


def _manifest_order(rows: pa.Table, draw: IntArray) -> IntArray:
    """Return the indices of the rows in the manifest's order, each source of a draw once."""
    priority = rows["sampling_priority"].to_numpy()
    order: IntArray = np.lexsort((priority, draw))
    again = np.flatnonzero((np.diff(draw[order]) == 0) & (np.diff(priority[order]) == 0))
    if not len(again):
        return order
    # Rare: then the order of the files must not decide.
    file = np.asarray(rows["sweep_file"].cast(pa.string()))
    order = np.lexsort((rows["row_index"].to_numpy(), file, priority, draw))
    first = (np.diff(draw[order], prepend=-1) != 0) | (np.diff(priority[order], prepend=0) != 0)
    first[:1] = True
    return order.take(np.flatnonzero(first))


def read_positives(run: Run) -> pa.Table:
    """Return the run's positives as they stand in the manifest: SummarizeFanOut has put them in order."""
    rows = read_table(run.files.matched_positives, POOL_SCHEMA)
    return _annotate(rows, np.ones(len(rows)), run)


def _annotate(rows: pa.Table, weight: npt.NDArray[np.float64], run: Run) -> pa.Table:
    """Add the columns that depend on the whole run, and put all into the manifest's order."""
    ids = pc.binary_join_element_wise(
        rows["brickname"].cast(pa.string()), rows["objid"].cast(pa.string()), "_"
    )
    added = {
        "galaxy_id": ids,
        "split": pa.array(split_of_pixel(rows["healpix_128"].to_numpy(), run.config.split)),
        "sampling_weight": pa.array(weight),
    } | {name: pa.repeat(pa.scalar(value), len(rows)) for name, value in run.record.columns.items()}
    return pa.table(
        [
            (added[field.name] if field.name in added else rows[field.name]).cast(field.type)
            for field in ANNOTATED_SCHEMA
        ],
        schema=ANNOTATED_SCHEMA,
    )


def write_part(run: Run, part: str, rows: pa.Table) -> None:
    """Write the sample's ``negatives`` or ``positives``, in files of at most so many rows as the config says.

    Files that an earlier attempt left there and that this one does not write are removed.
    """
    files, most = run.files, run.config.execution.rows_per_manifest_file
    starts = range(0, max(1, len(rows)), most)
    uris = [files.sample_part(part, number) for number in range(len(starts))]
    for uri, start in zip(uris, starts, strict=True):
        write_table(uri, rows.slice(start, most), dictionary=REPETITIVE)
    for uri in files.sample_parts(part):
        if uri not in uris:
            storage.delete(uri)
