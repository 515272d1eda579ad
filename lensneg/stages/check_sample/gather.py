"""Gather the sample: the drawn rows of the pool files, and the positives.

The draw gives the priority of the last row of each stratum and pool. A row group whose lowest priority is
above all of these holds no drawn row, and is not read.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
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
from lensneg.schema.content import content_sha256
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import ManifestPart, PartFile
from lensneg.schema.quotas import DrawKey, Quotas, draws_of
from lensneg.schema.run import Run
from lensneg.schema.sample_summary import SampleSummary
from lensneg.schema.tables import read_table, write_table

#: The columns that decide whether a row was drawn.
_KEYS: Final = ("nobs_z_bin", "type_bin", "pool", "sampling_priority")

#: Columns of repeated strings. They are read as dictionaries, which is faster than one string for each row.
_DICTIONARIES: Final = tuple(
    f.name for f in POOL_SCHEMA if pa.types.is_string(f.type) and f.name in REPETITIVE
)

#: All columns of a row group up to this size, in bytes, are read at once: on S3 a second request would cost
#: more. Of a larger one, ``_KEYS`` are read first, and the rest only if they hold drawn rows.
_SMALL_ROW_GROUP: Final = 2 << 20

#: Threads that read pool files in S3, where each row group costs a round trip. A thread holds one file. Local
#: files are read by one thread for each core: more of them are not faster.
_S3_THREADS: Final = 16


class Draw(NamedTuple):
    """The draw of one stratum and pool: all its sources up to ``last_priority``."""

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
        The summary that the Spark job wrote.
    """
    drawn = summary.drawn
    return [
        Draw(key, pool.available, drawn[key].rows, drawn[key].last_priority)
        for key, pool in draws_of(quotas.strata)
        if key in drawn and drawn[key].rows
    ]


class _Drawn(NamedTuple):
    """Drawn rows of pool files, and the number of the draw of each."""

    rows: pa.Table
    draw: IntArray


class _Membership:
    """Finds the drawn rows among others, and the draw of each."""

    def __init__(self, draws: list[Draw]) -> None:
        self._bins = [
            sorted({draw.key.nobs_z_bin for draw in draws}),
            sorted({draw.key.type_bin for draw in draws}),
            list(POOLS),
        ]
        # Each axis has one more place: the code of a bin that nothing is drawn from is -1.
        shape = [len(values) + 1 for values in self._bins]
        self._draw = np.full(shape, -1, dtype=np.int64)
        self._last = np.full(shape, PRIORITY_MIN, dtype=np.int64)
        for number, draw in enumerate(draws):
            place = tuple(values.index(key) for values, key in zip(self._bins, draw.key, strict=True))
            self._draw[place], self._last[place] = number, draw.last_priority
        #: The highest priority of all drawn rows.
        self.highest = int(self._last.max())

    def of(self, keys: pa.Table) -> tuple[IntArray, IntArray]:
        """Return the indices of the drawn rows, and the number of the draw of each."""
        place = tuple(_codes(keys[name], values) for name, values in zip(_KEYS, self._bins, strict=False))
        draw = self._draw[place]
        drawn = np.flatnonzero((draw >= 0) & (keys["sampling_priority"].to_numpy() <= self._last[place]))
        return drawn, draw[drawn]


def _codes(column: pa.ChunkedArray, values: list[str]) -> npt.NDArray[np.int32]:
    """Return for each row of a dictionary column the index of its value in ``values``, or -1."""
    array = column.combine_chunks()
    codes = np.asarray(pc.fill_null(pc.index_in(array.dictionary, pa.array(values)), -1), np.int32)
    rows: npt.NDArray[np.int32] = codes[array.indices.to_numpy()]
    return rows


def gather_negatives(run: Run, quotas: Quotas, draws: list[Draw]) -> pa.Table:
    """Return the drawn rows of the pool files in the manifest's form and order.

    Of a source that is in several rows of one stratum and pool, the first by sweep file and row is taken.

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
    sizes = _sizes(run.files)

    def gather(name: str) -> _Drawn:
        with _pool_file(run.files, quotas, name, sizes) as file:
            return _drawn_of_file(file, quotas.row_groups[name], membership)

    with _readers(run.files) as threads:
        found = _together(list(threads.map(gather, quotas.pool_files)) if draws else [])
    rows = found.rows.unify_dictionaries().combine_chunks()
    order = _manifest_order(rows, found.draw)
    weight = np.array([d.available / d.rows for d in draws], dtype=np.float64)
    return _annotate(rows.take(pa.array(order)), weight[found.draw[order]], run)


@contextmanager
def _pool_file(
    files: RunFiles, quotas: Quotas, name: str, sizes: Mapping[str, int]
) -> Iterator[pq.ParquetFile]:
    """Open a pool file. If it is not the one that was counted, a RunStateError says so."""
    uri = storage.join(files.pool_folder, name)
    try:
        if name not in sizes:
            raise FileNotFoundError(uri)
        footer = storage.read_bytes(uri, max(0, sizes[name] - quotas.footers[name].size))
        if hashlib.sha256(footer).hexdigest() != quotas.footers[name].sha256:
            raise pa.ArrowInvalid("its footer is another one")
        with storage.open_file(uri, sizes[name]) as stream:
            file = pq.ParquetFile(
                stream,
                metadata=pq.read_metadata(pa.BufferReader(b"PAR1" + footer)),
                read_dictionary=_DICTIONARIES,
                pre_buffer=storage.is_s3(uri),
                page_checksum_verification=True,
            )
            counted = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            if counted != [rows for rows, _ in quotas.row_groups[name]]:
                raise pa.ArrowInvalid("its row groups are not those that were counted")
            yield file
    except (pa.ArrowException, OSError, KeyError) as error:  # Arrow raises OSError for damaged pages
        reason = "it is missing" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise RunStateError(
            f"not the pool file that was counted: {reason}",
            where=uri,
            remedy="start again with the same run id: that item is then done again",
        ) from error


def _sizes(files: RunFiles) -> dict[str, int]:
    return {storage.basename(info.uri): info.size for info in storage.list_files(files.pool_folder)}


def _readers(files: RunFiles) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_S3_THREADS if storage.is_s3(files.root) else os.cpu_count())


def other_pool_files(files: RunFiles, quotas: Quotas) -> list[str]:
    """Say of each pool file that is not the one that was counted what is wrong with it, by its footer."""
    sizes = _sizes(files)

    def fault(name: str) -> str:
        try:
            with _pool_file(files, quotas, name, sizes):
                return ""
        except RunStateError as error:
            return str(error)

    with _readers(files) as threads:
        return list(filter(None, threads.map(fault, quotas.pool_files)))


def _drawn_of_file(
    file: pq.ParquetFile, row_groups: Sequence[tuple[int, int]], membership: _Membership
) -> _Drawn:
    """Return the drawn rows of a pool file."""
    read = [number for number, (_, lowest) in enumerate(row_groups) if lowest <= membership.highest]
    sizes = [file.metadata.row_group(number).total_byte_size for number in read]
    small = [number for number, size in zip(read, sizes, strict=True) if size <= _SMALL_ROW_GROUP]
    # Each row group is twice as large as the one before it, so all small ones together are small, too.
    found = [_drawn(file, small, POOL_SCHEMA.names, membership)] if small else []
    found += [_drawn(file, [number], _KEYS, membership) for number in read if number not in small]
    return _together(found)


def _drawn(
    file: pq.ParquetFile, row_groups: list[int], first: Sequence[str], membership: _Membership
) -> _Drawn:
    """Return the drawn rows of some row groups. Only the columns ``first`` are read if there are none."""
    keys = file.read_row_groups(row_groups, list(first), use_threads=False)
    drawn, draw = membership.of(keys)
    if not len(drawn):
        return _Drawn(POOL_SCHEMA.empty_table(), draw)
    others = [name for name in POOL_SCHEMA.names if name not in first]
    rest = file.read_row_groups(row_groups, others, use_threads=False) if others else keys
    # A table of its own: two files may declare the type of a column differently.
    columns = {name: (rest if name in others else keys)[name] for name in POOL_SCHEMA.names}
    return _Drawn(pa.table(columns).take(pa.array(drawn)), draw)


def _together(parts: list[_Drawn]) -> _Drawn:
    tables = [part.rows for part in parts if len(part.rows)] or [POOL_SCHEMA.empty_table()]
    draws = [np.empty(0, dtype=np.int64), *(part.draw for part in parts)]
    return _Drawn(pa.concat_tables(tables), np.concatenate(draws))


def _manifest_order(rows: pa.Table, draw: IntArray) -> IntArray:
    """Return the indices of the rows in the manifest's order, each source of a draw once."""
    priority = rows["sampling_priority"].to_numpy()
    order: IntArray = np.lexsort((priority, draw))
    again = np.flatnonzero((np.diff(draw[order]) == 0) & (np.diff(priority[order]) == 0))
    if not len(again):
        return order
    # Some source is in several rows, which is rare. The order of the files must not decide between them.
    file = np.asarray(rows["sweep_file"].cast(pa.string()))
    order = np.lexsort((rows["row_index"].to_numpy(), file, priority, draw))
    first = (np.diff(draw[order], prepend=-1) != 0) | (np.diff(priority[order], prepend=0) != 0)
    first[:1] = True
    return order.take(np.flatnonzero(first))


def read_positives(run: Run) -> pa.Table:
    """Return the run's positives in the manifest's form. SummarizeFanOut wrote them in its order."""
    rows = read_table(run.files.matched_positives, POOL_SCHEMA)
    return _annotate(rows, np.ones(len(rows)), run)


def _annotate(rows: pa.Table, weight: npt.NDArray[np.float64], run: Run) -> pa.Table:
    """Add the columns that depend on the whole run, and put all columns in the manifest's order."""
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns |= {name: pa.repeat(pa.scalar(value), len(rows)) for name, value in run.record.columns.items()}
    columns["galaxy_id"] = pc.binary_join_element_wise(
        rows["brickname"].cast(pa.string()), rows["objid"].cast(pa.string()), "_"
    )
    columns["split"] = pa.array(split_of_pixel(rows["healpix_128"].to_numpy(), run.config.spatial_splits))
    columns["sampling_weight"] = pa.array(weight)
    arrays = [columns[field.name].cast(field.type) for field in ANNOTATED_SCHEMA]
    return pa.table(arrays, schema=ANNOTATED_SCHEMA)


def write_part(run: Run, part: str, rows: pa.Table) -> ManifestPart:
    """Write the sample's ``negatives`` or ``positives``; the config sets the most rows of a file.

    Files that an earlier attempt left are removed. The audit compares the files with what is returned.
    """
    files, most = run.files, run.config.execution.rows_per_manifest_file
    starts = range(0, max(1, len(rows)), most)
    uris = [files.sample_part(part, number) for number in range(len(starts))]
    written = []
    for uri, start in zip(uris, starts, strict=True):
        some = rows.slice(start, most)
        size, sha256 = write_table(uri, some, dictionary=REPETITIVE)
        name = f"{part}/{storage.basename(uri)}"
        written.append(PartFile(name=name, rows=len(some), bytes=size, sha256=sha256))
    for uri in files.sample_parts(part):
        if uri not in uris:
            storage.delete(uri)
    return ManifestPart(files=tuple(written), content_sha256=content_sha256(rows))
