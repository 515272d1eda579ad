"""The map: a sweep file's rows in; survivors, candidate matches and counts out.

One item is worked on at a time, chunk by chunk, so memory is bounded by the item's survivors and not by
its file. The stats file is written last: it is the commit mark that says the item is done.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from lensneg import storage
from lensneg.config import CONFUSER_CATEGORIES
from lensneg.datamodel import SOURCE_TYPES, Cell
from lensneg.errors import SweepError
from lensneg.ids import sampling_priority, targetid
from lensneg.manifest import COLUMNS, NULL_FOR_NAN, POOL_SCHEMA, POSITIVES_SCHEMA
from lensneg.photometry import magnitude
from lensneg.poolfile import RowGroup, pool_order, write_pool
from lensneg.pools import POOLS, classify
from lensneg.run import Item, Run, write_table
from lensneg.selection import CUT_REASONS, RULES, SIEVE, first_failed_rule, is_one_of, select
from lensneg.sky import PositionIndex, healpix_pixel, unit_vectors
from lensneg.strata import nobs_z_bin, type_order
from lensneg.sweep import GatheredRows, KeptRows, SweepFile, iter_rows, probe_sweep

#: What stands in the ``pool`` column of a positive.
POSITIVE: Final = "positive"

#: A source may lie outside its file's cell by at most a brick, which is how sweeps are put together.
_CELL_MARGIN_DEG: Final = 0.25

#: Sources in the positives' bands of declination are compared with them this many at a time.
_MATCHED_AT_ONCE: Final = 50_000

#: Room is made for one row in so many to pass the sieve: two or three times as many as do.
_ROWS_FOR_ONE_SIEVED: Final = 8

#: The sweep column behind each column that is copied.
_SWEEP_COLUMN: Final = {column.name: column.sweep for column in COLUMNS if column.sweep is not None}


class StratumCount(BaseModel):
    """Rows of the pool in one stratum and pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nobs_z_bin: str
    type_bin: str
    pool: str
    rows: int


class ItemStats(BaseModel):
    """stats/<item>.json: what became of an item's rows, and of which code and config it is the work."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: Item
    config_sha256: str
    code_version: str
    rows_in: int
    rows_kept: int
    cut: dict[str, int]
    counts: tuple[StratumCount, ...]
    confusers: dict[str, int]
    candidate_matches: int
    row_groups: tuple[RowGroup, ...]
    bytes_read: int
    pool_bytes: int
    positives_bytes: int
    seconds: float


def filter_item(run: Run, item: Item) -> ItemStats:
    """Work on one item, or find it done.

    Parameters
    ----------
    run : Run
    item : Item

    Returns
    -------
    ItemStats
        As written to the item's stats file.

    Raises
    ------
    SweepError
        If the sweep file is broken, of another release, or not the one that was planned.
    """
    done = finished(run, item)
    if done is not None:
        return done
    started = time.perf_counter()
    info, file = _planned_file(item)
    near = _Surroundings(run, file.cell)
    gathered, matches, cut = _read_rows(run, item, info, file, near)
    pool = _pool_table(run, item, gathered, near, cut)
    del gathered
    written = write_pool(run.files.pool(item.id), pool)
    best = best_matches(matches)
    positives_bytes = 0
    if len(best):  # so few that a codec takes its time and saves nothing
        positives_bytes = write_table(run.files.positives(item.id), best, durable=False, codec="none")
    stats = ItemStats(
        item=item,
        config_sha256=run.record.config.sha256,
        code_version=run.record.code.code_version,
        rows_in=item.n_rows,
        rows_kept=len(pool),
        cut=cut,
        counts=_count(pool),
        confusers=_value_counts(pool["confuser_category"]),
        candidate_matches=len(best),
        row_groups=written.row_groups,
        bytes_read=item.n_bytes,
        pool_bytes=written.bytes,
        positives_bytes=positives_bytes,
        seconds=round(time.perf_counter() - started, 3),
    )
    # Not waited for either: what a loss of power leaves of it is not JSON, and the item is done again.
    storage.write_json(run.files.stats(item.id), stats.model_dump(mode="json"), durable=False)
    return stats


def finished(run: Run, item: Item) -> ItemStats | None:
    """Return an item's stats if it is done: same bytes of the file, same config, same code.

    Its tables must be there, too, and whole: they are written before the stats, but not waited for.
    """
    try:
        stats = ItemStats.model_validate_json(storage.read_bytes(run.files.stats(item.id)))
        tables = [(run.files.pool(item.id), stats.pool_bytes)]
        if stats.positives_bytes:
            tables.append((run.files.positives(item.id), stats.positives_bytes))
        if any(storage.stat(uri).size != size for uri, size in tables):
            return None
    except (FileNotFoundError, ValueError):
        return None
    same = (
        stats.item == item
        and stats.config_sha256 == run.record.config.sha256
        and stats.code_version == run.record.code.code_version
    )
    return stats if same else None


def _planned_file(item: Item) -> tuple[storage.FileInfo, SweepFile]:
    """Return the item's sweep file, if it is still the one that was planned."""
    info = storage.stat(item.sweep)
    if (info.size, info.etag) != (item.size, item.etag):
        raise SweepError(
            f"{item.sweep}: the file changed after the run was planned ({item.size:,} bytes then, "
            f"{info.size:,} now); start a new run"
        )
    file = probe_sweep(info).file
    if item.first_row + item.n_rows > file.n_rows:
        raise SweepError(f"{item.sweep}: planned with more than its {file.n_rows:,} rows; start a new run")
    return info, file


class _Surroundings:
    """A cell of the sky: the lenses and the positives in and around it.

    They are chosen by their distance from its centre, which knows no edge at RA 0/360 and no pole.
    """

    def __init__(self, run: Run, cell: Cell) -> None:
        self.cell = cell
        corners = unit_vectors(*(np.array(x) for x in zip(*cell.corners, strict=True)))
        centre = unit_vectors(*(np.array([x]) for x in cell.centre))[0]
        # A box of 5 by 5 degrees reaches farthest in its corners; a degree more holds its margin.
        radius = np.arccos((corners @ centre).min()) + np.radians(1.0)
        config, lenses = run.config, run.lenses
        near = lenses.vectors @ centre >= np.cos(radius)
        self.positive_rows = np.flatnonzero(near & lenses.is_positive)
        self.lenses = PositionIndex(lenses.ra[near], lenses.dec[near], config.lenses.exclusion_radius_arcsec)
        self.positives = PositionIndex(
            lenses.ra[self.positive_rows],
            lenses.dec[self.positive_rows],
            config.positives.match_radius_arcsec,
        )

    def check_positions(self, rows: KeptRows, uri: str) -> None:
        """Refuse rows of another part of the sky: their lenses would be looked for in the wrong place."""
        cell, ra, dec = self.cell, rows["RA"], rows["DEC"]
        # Written so that NaN, which compares as false, is outside, too.
        outside = ~((ra >= 0) & (ra < 360) & (np.abs(dec) <= 90))
        outside |= (dec < cell.dec_min - _CELL_MARGIN_DEG) | (dec > cell.dec_max + _CELL_MARGIN_DEG)
        farthest = max(abs(cell.dec_min), abs(cell.dec_max)) + _CELL_MARGIN_DEG
        if farthest < 89:  # every right ascension is near at the pole
            half = (cell.ra_max - cell.ra_min) / 2 + _CELL_MARGIN_DEG / np.cos(np.radians(farthest))
            outside |= np.abs((ra - cell.centre[0] + 180) % 360 - 180) > half
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise SweepError(
                f"{uri}: row {rows.row_index[i]:,} is at RA {ra[i]:.4f}, Dec {dec[i]:.4f}, outside the cell "
                "that the file's name stands for; was it renamed? fetch it again"
            )


def _read_rows(
    run: Run, item: Item, info: storage.FileInfo, file: SweepFile, near: _Surroundings
) -> tuple[KeptRows, pa.Table, dict[str, int]]:
    """Read an item's rows once.

    Returns
    -------
    gathered : KeptRows
        The rows that pass the cuts that look at one source alone.
    matches : pyarrow.Table
        Candidate matches of positives.
    cut : dict of str to int
        Rows cut, by rule; without those that the pool and the lenses cut.
    """
    config = run.config.selection
    cut = dict.fromkeys(CUT_REASONS, 0)
    sieved = GatheredRows(file.dtype, item.n_rows // _ROWS_FOR_ONE_SIEVED)
    beside_positives = GatheredRows(file.dtype)
    matches = [POSITIVES_SCHEMA.empty_table()]
    try:
        for start, rows in iter_rows(file, info.size, item.first_row, item.n_rows):
            kept, cut_here = select(rows, config, SIEVE)
            sieved.append(rows.take(kept), start + kept)
            for reason, count in cut_here.items():
                cut[reason] += count
            beside = near.positives.near(rows.raw("RA"), rows["DEC"])
            beside_positives.append(rows.take(beside), start + beside)
            if len(beside_positives) > _MATCHED_AT_ONCE:
                matches.append(_candidate_matches(beside_positives, near, run, item))
                beside_positives = GatheredRows(file.dtype)
        matches.append(_candidate_matches(beside_positives, near, run, item))
        kept, cut_here = select(sieved, config, RULES[len(SIEVE) :])
        cut.update(cut_here)
    except ValueError as error:
        raise SweepError(f"{item.sweep}: {error}; fetch the file again") from error
    gathered = sieved.take(kept)
    near.check_positions(gathered, item.sweep)
    _check_releases(gathered, run, item)
    if storage.stat(item.sweep).etag != item.etag:
        raise SweepError(f"{item.sweep}: the file changed while it was read; start a new run")
    return gathered, pa.concat_tables(matches), cut


def _check_releases(rows: KeptRows, run: Run, item: Item) -> None:
    """Refuse a file in which another release hides behind a first row of the right one."""
    release = rows["RELEASE"]
    other = np.flatnonzero(~np.isin(release, run.config.sweeps.releases))
    if len(other):
        i = int(other[0])
        raise SweepError(
            f"{item.sweep}: row {rows.row_index[i]:,} is of RELEASE {release[i]}; the config allows "
            f"{', '.join(map(str, run.config.sweeps.releases))}: fetch the file again, or allow it "
            "(sweeps.releases)"
        )


def _pool_table(
    run: Run, item: Item, gathered: KeptRows, near: _Surroundings, cut: dict[str, int]
) -> pa.Table:
    """Return the survivors in the order of a pool file.

    What the pool and the lenses cut is added to ``cut``.
    """
    config = run.config
    pool, category = classify(gathered, config.pools)
    near_lens = np.zeros(len(gathered), dtype=bool)
    near_lens[near.lenses.pairs(gathered["RA"], gathered["DEC"]).source] = True
    cut["no_pool"] += int((pool < 0).sum())
    cut["near_lens"] += int(((pool >= 0) & near_lens).sum())
    ids, priority = _identity(gathered, run, item)
    type_rank = np.array([type_order(config.strata).index(name) for name in SOURCE_TYPES])
    segment = nobs_z_bin(gathered["NOBS_Z"], config.strata) * len(SOURCE_TYPES)
    segment = (segment + type_rank[gathered.source_type()]) * len(POOLS) + pool
    survivors = np.flatnonzero((pool >= 0) & ~near_lens)
    order = survivors[pool_order(segment[survivors], priority[survivors])]
    return _describe(
        gathered.take(order),
        _Identity(ids[order], priority[order]),
        pa.DictionaryArray.from_arrays(pool[order], list(POOLS)),
        pa.DictionaryArray.from_arrays(
            pa.array(category[order], mask=category[order] < 0), list(CONFUSER_CATEGORIES)
        ),
        run,
        item,
    )


def _candidate_matches(rows: KeptRows, near: _Surroundings, run: Run, item: Item) -> pa.Table:
    """Return the sources that lie within the match radius of a positive, with its catalogue row."""
    pairs = near.positives.pairs(rows["RA"], rows["DEC"])
    real = np.flatnonzero(~is_one_of(rows.take(pairs.source), ["DUP"]))
    matched = rows.take(pairs.source[real])
    positive = pa.DictionaryArray.from_arrays(np.zeros(len(real), np.int8), [POSITIVE])
    no_category = pa.nulls(len(real), pa.string())
    table = _describe(matched, _identity(matched, run, item), positive, no_category, run, item)
    return pa.table(
        [
            *table.cast(POOL_SCHEMA).columns,
            near.positive_rows[pairs.position[real]],
            pairs.separation_arcsec[real],
            pa.array(first_failed_rule(matched, run.config.selection), pa.string()),
        ],
        schema=POSITIVES_SCHEMA,
    )


class _Identity(NamedTuple):
    targetid: npt.NDArray[np.int64]
    sampling_priority: npt.NDArray[np.int64]


def _identity(rows: KeptRows, run: Run, item: Item) -> _Identity:
    try:
        ids = targetid(rows["RELEASE"], rows["BRICKID"], rows["OBJID"])
    except ValueError as error:
        raise SweepError(f"{item.sweep}: {error}; the file is damaged, fetch it again") from error
    return _Identity(ids, sampling_priority(ids, run.config.sampling.seed))


def _describe(
    rows: KeptRows, identity: _Identity, pool: pa.Array, category: pa.Array, run: Run, item: Item
) -> pa.Table:
    """Return the map's columns of the manifest for some rows; text of few values as dictionaries."""
    config = run.config
    releases = set(np.unique(rows["RELEASE"]).tolist()) - set(config.sweeps.releases)
    if releases:
        raise SweepError(
            f"{item.sweep}: holds sources of RELEASE {min(releases)}; the config takes "
            f"{', '.join(map(str, config.sweeps.releases))} (sweeps.releases)"
        )
    mags = {band: magnitude(rows[f"FLUX_{band.upper()}"]) for band in ("g", "r", "z", "w1")}
    bins = nobs_z_bin(rows["NOBS_Z"], config.strata)
    pixel = healpix_pixel(128, rows["RA"], rows["DEC"])
    kind = pa.DictionaryArray.from_arrays(rows.source_type(), list(SOURCE_TYPES))
    computed = {
        "brickname": _text(rows.raw("BRICKNAME"), item),
        "nobs_z_bin": pa.DictionaryArray.from_arrays(
            np.where(bins < 0, len(config.strata.nobs_z_bins), bins), [*config.strata.nobs_z_bins, ""]
        ),
        "type": kind,
        "type_bin": kind,
        "mag_g": mags["g"],
        "mag_r": mags["r"],
        "mag_z": mags["z"],
        "g_minus_r": mags["g"] - mags["r"],
        "r_minus_z": mags["r"] - mags["z"],
        "z_minus_w1": mags["z"] - mags["w1"],
        "healpix_64": pixel // 4,  # NESTED: four pixels make one of half the nside
        "healpix_128": pixel,
        "pool": pool,
        "confuser_category": category,
        "sweep_file": pa.DictionaryArray.from_arrays(
            np.zeros(len(rows), np.int8), [storage.basename(item.sweep)]
        ),
        "row_index": rows.row_index,
        **identity._asdict(),
    }

    def column(field: pa.Field) -> pa.Array:
        values = computed[field.name] if field.name in computed else rows[_SWEEP_COLUMN[field.name]]
        if isinstance(values, pa.Array):
            return values
        if field.name in NULL_FOR_NAN:
            return pa.array(values, field.type, mask=np.isnan(values))
        return pa.array(values.astype(field.type.to_pandas_dtype(), copy=False), field.type)

    columns = [column(field) for field in POOL_SCHEMA]
    fields = [field.with_type(values.type) for field, values in zip(POOL_SCHEMA, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))


def _text(values: npt.NDArray[np.bytes_], item: Item) -> pa.Array:
    try:
        return pc.ascii_trim_whitespace(pa.array(values, pa.binary()).cast(pa.string()))
    except pa.ArrowInvalid as error:
        raise SweepError(f"{item.sweep}: a brick's name is not text; fetch the file again") from error


def best_matches(table: pa.Table) -> pa.Table:
    """Return for each catalogue position its best candidate, ordered by catalogue row.

    Parameters
    ----------
    table : pyarrow.Table
        Candidates of one item or of many, with the columns of ``POSITIVES_SCHEMA``.

    Returns
    -------
    pyarrow.Table
        The nearest source of each position; between equally near ones that of the lowest TARGETID.
    """
    keys = ("catalog_row", "separation_arcsec", "targetid", "sweep_file", "row_index")
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    rows = table["catalog_row"].to_numpy()[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = rows[1:] != rows[:-1]
    return table.take(order[first])


def _count(pool: pa.Table) -> tuple[StratumCount, ...]:
    """Count the rows by stratum and pool, in the order in which these come first."""
    keys = ("nobs_z_bin", "type_bin", "pool")
    columns = [pool[name].combine_chunks() for name in keys]
    number = np.zeros(len(pool), dtype=np.int64)
    for column in columns:
        number = number * len(column.dictionary) + column.indices.to_numpy()
    _, first, count = np.unique(number, return_index=True, return_counts=True)
    return tuple(
        StratumCount(**{key: column[i].as_py() for key, column in zip(keys, columns, strict=True)}, rows=n)
        for i, n in sorted(zip(first.tolist(), count.tolist(), strict=True))
    )


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
    return {category: counted.get(category, 0) for category in CONFUSER_CATEGORIES}
