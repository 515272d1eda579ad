"""Filter one item of the map: some rows of a sweep file.

Rows are read chunk by chunk, so an item's survivors bound the memory, not its file. The stats file is the
commit mark of an item, and is written last.
"""

import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.rules.matching import best_matches
from lensneg.rules.priority import targetids_of
from lensneg.rules.rows import Rows
from lensneg.rules.selection import CUT_REASONS, RULES, SIEVE, needed_columns, select
from lensneg.rules.sources import brick_ranges
from lensneg.rules.usable import allowed_bad_rows, count_unusable, has_identity
from lensneg.schema.arrays import IntArray
from lensneg.schema.code_version import code_version
from lensneg.schema.columns import BRICK_PRIMARY, POSITIVES_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.item import Item, ItemStats, StratumCount
from lensneg.schema.pool import write_pool
from lensneg.schema.run import Run
from lensneg.schema.tables import WrittenFile, write_table
from lensneg.stages.commit_mark import finished, tables_are_those_written
from lensneg.stages.filter_sweep.nearby_lenses import NearbyLenses
from lensneg.stages.filter_sweep.pool_table import candidate_matches, check_releases, pool_table
from lensneg.stages.filter_sweep.source_file import source_file
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.inputs import check_left_out, iter_input, probe_input
from lensneg.survey.parquet_rows import RowGroup
from lensneg.survey.photo_z import WithPhotoZ
from lensneg.survey.remote import is_streamed
from lensneg.survey.row_gatherer import Chunk, RowGatherer
from lensneg.survey.table_rows import table_row_groups

_log = logging.getLogger(__name__)

#: Sources that may be near a positive are gathered, and matched so many at a time.
_MATCHED_AT_ONCE: Final = 50_000


def filter_item(run: Run, item: Item, scratch: str = "") -> ItemStats:
    """Filter one item, unless it is done.

    Parameters
    ----------
    run : Run
    item : Item
    scratch : str
        A local folder to which a file on a web server is fetched while it is filtered.

    Returns
    -------
    ItemStats
        The content of the item's stats file.

    Raises
    ------
    SweepError
        If the sweep file is broken, of another release, or not the one that was planned.
    """
    done = finished(run, item)
    if done is not None and tables_are_those_written(run, done):
        _log.info("%s: skipped, as it is done", item.id)
        return done
    started = time.perf_counter()
    with source_file(item, scratch) as source:
        file = _planned_file(run, item, source)
        near = NearbyLenses(run, file.cell)
        outside = [] if file.footer is None else near.outside(table_row_groups(file), run.config.selection)
        looked_at = check_left_out(file, outside) if outside else 0
        gathered, matches, cut, unusable = _read_rows(run, item, file, near, outside)
        if storage.stat(source.uri).etag != source.etag:
            remedy = "start a new run"
            raise SweepError("the file changed while it was read", where=item.sweep, remedy=remedy)
    pool = pool_table(run, item, gathered, near, cut)
    del gathered
    written = write_pool(run.files.pool(item.id), pool)
    best = best_matches(matches, uncut_first_from=len(run.lenses))
    positives = WrittenFile(0, "")
    if len(best):  # too few rows for a codec to save anything
        positives = write_table(run.files.positives(item.id), best, durable=False, codec="none")
    stats = ItemStats(
        item=item,
        config_sha256=run.record.config.sha256,
        code_version=code_version().code_version,
        rows_in=item.n_rows,
        rows_kept=len(pool),
        cut=cut,
        unusable=unusable,
        counts=_count(pool),
        confusers=_count_categories(pool["confuser_category"], run.config, near.external),
        candidate_matches=len(best),
        brick_ranges=tuple(brick_ranges(pool["targetid"].to_numpy())),
        row_groups=written.row_groups,
        bytes_read=item.n_bytes - sum(group.n_bytes for group in outside) + looked_at,
        pool_bytes=written.bytes,
        pool_sha256=written.sha256,
        pool_footer=written.footer,
        positives_bytes=positives.bytes,
        positives_sha256=positives.sha256,
        seconds=round(time.perf_counter() - started, 3),
        ended=datetime.now(UTC),
    )
    # Not durable: after a loss of power the file is not valid JSON, and the item is done again.
    stats.write(run.files.stats(item.id), durable=False)
    _log.info(
        "%s: %d rows in, %d kept, %d bytes read, %.2f s",
        *(item.id, stats.rows_in, stats.rows_kept, stats.bytes_read, stats.seconds),
    )
    _log.debug("%s: cut %s; %d candidate matches", item.id, cut, len(best))
    return stats


def _planned_file(run: Run, item: Item, source: storage.FileInfo) -> SweepFile:
    """Return the item's sweep file, if it is still the one that was planned.

    One that was fetched has the SHA-256 that was planned.
    """
    same = source.etag == item.etag or is_streamed(item.sweep)
    if source.size != item.size or not same:
        raise SweepError(
            f"the file changed after the run was planned ({item.size:,} bytes then, {source.size:,} now)",
            where=item.sweep,
            remedy="start a new run",
        )
    file = probe_input(source, needed_columns(run.config))
    if item.first_row + item.n_rows > file.n_rows:
        raise SweepError(
            f"planned with more than its {file.n_rows:,} rows", where=item.sweep, remedy="start a new run"
        )
    return file


def _read_rows(
    run: Run, item: Item, file: SweepFile, near: NearbyLenses, outside: list[RowGroup]
) -> tuple[Rows, pa.Table, dict[str, int], dict[str, int]]:
    """Read an item's rows once, without the row groups that are outside the run's region.

    Returns
    -------
    gathered : Rows
        The rows that pass the cuts that need one source alone.
    matches : pyarrow.Table
        Candidate matches of positives.
    cut : dict of str to int
        Rows cut, by rule. The pool and the lenses cut further rows.
    unusable : dict of str to int
        Of the rows cut as unusable, those of each column.
    """
    config = run.config
    cut, first_bad = Counter(dict.fromkeys(CUT_REASONS, 0)), ""
    cut["footprint"] = sum(group.n_rows for group in outside)
    allowed = allowed_bad_rows(config, item.n_rows)
    needed = needed_columns(config) + ((BRICK_PRIMARY,) if BRICK_PRIMARY in (file.dtype.names or ()) else ())
    dtype, left_out = file.dtype, {group.number for group in outside}
    chunks = iter_input(file, item.first_row, item.n_rows, left_out)
    if item.pz is not None:
        photo_z = WithPhotoZ(item, file, needed)
        dtype, needed, chunks = photo_z.dtype, photo_z.dtype.names or (), photo_z.beside(chunks)
    sieved, near_positives = (RowGatherer(dtype, needed, file.nulls) for _ in range(2))
    matches = [POSITIVES_SCHEMA.empty_table()]
    try:
        for start, chunk in chunks:
            rows = Rows(chunk, nulls=file.nulls)
            kept, cut_here = select(rows, config, SIEVE)
            cut.update(cut_here)
            if cut_here["bad_row"]:
                first_bad = first_bad or _first_bad_row(rows, start)
                _check_bad_rows(cut["bad_row"], allowed, first_bad, item)
            sieved.append(chunk, start, kept)
            near_positives.append(chunk, start, _near_an_entry(chunk, rows, near))
            if len(near_positives) > _MATCHED_AT_ONCE:
                matches.append(candidate_matches(near_positives.gathered(), near, run, item))
                near_positives = RowGatherer(dtype, needed, file.nulls)
        matches.append(candidate_matches(near_positives.gathered(), near, run, item))
        gathered = sieved.gathered()
        kept, cut_here = select(gathered, config, RULES[len(SIEVE) :])
        cut.update(cut_here)
        unusable = count_unusable(gathered, config) if cut["unusable"] else {}
    except ValueError as error:
        raise SweepError(str(error), where=item.sweep, remedy="fetch the file again") from error
    gathered = gathered.take(kept)
    near.check_positions(gathered, item.sweep)
    check_releases(gathered, run, item)
    return gathered, pa.concat_tables(matches), dict(cut), unusable


def _near_an_entry(chunk: Chunk, rows: Rows, near: NearbyLenses) -> IntArray:
    """Return the few rows that may match a positive, or be a hard negative."""
    found, hard = near.positives.near(chunk["RA"], rows["DEC"]), near.hard_negatives
    if not len(near.hard_rows):
        return found
    ids = targetids_of(rows) if hard.has_ids else None
    return np.union1d(found, hard.near(chunk["RA"], rows["DEC"], ids))


def _first_bad_row(rows: Rows, start: int) -> str:
    """Return the place of the first row without a position or an id, and what it has."""
    i = int(np.flatnonzero(~has_identity(rows))[0])
    values = ", ".join(f"{name} {rows[name][i]}" for name in ("RA", "DEC", "RELEASE", "BRICKID", "OBJID"))
    return f"row {start + i:,} ({values})"


def _check_bad_rows(found: int, allowed: int, first: str, item: Item) -> None:
    """Refuse an item with more rows without a position or an id than the config allows."""
    if found > allowed:
        raise SweepError(
            f"at least {found:,} of {item.n_rows:,} rows lack a position or an id, and the config allows "
            f"{allowed:,}; the first is {first}",
            where=item.sweep,
            remedy="rows of zeros are a hole in the file: fetch it again; or allow more "
            "(sweeps.bad_rows_max)",
        )


def _count(pool: pa.Table) -> tuple[StratumCount, ...]:
    """Count the rows of each stratum and pool, in the order in which they first occur."""
    groups = pool.group_by(["nobs_z_bin", "type_bin", "pool"], use_threads=False)
    counted = groups.aggregate([([], "count_all")]).rename_columns({"count_all": "rows"})
    return tuple(StratumCount(**count) for count in counted.to_pylist())


def _count_categories(column: pa.ChunkedArray, config: Config, external: list[str]) -> dict[str, int]:
    counted = {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
    categories = config.negative_pools.pool_n2.tractor_criteria.categories
    return {category: counted.get(category, 0) for category in (*categories, *external)}
