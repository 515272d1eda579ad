"""The map: a sweep file's rows in; survivors, candidate matches and counts out.

One item is worked on at a time, chunk by chunk, so memory is bounded by the item's survivors and not by
its file. The stats file is written last: it is the commit mark that says the item is done.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from lensneg import storage
from lensneg.config import CONFUSER_CATEGORIES, Config
from lensneg.datamodel import Cell
from lensneg.errors import SweepError
from lensneg.ids import sampling_priority, targetid
from lensneg.manifest import COLUMNS, POOL_SCHEMA, POSITIVES_SCHEMA
from lensneg.photometry import magnitude
from lensneg.pools import POOLS, classify
from lensneg.run import Item, Run, write_table
from lensneg.selection import CUT_REASONS, IntArray, Rows, first_failed_rule, select
from lensneg.sky import PositionIndex, healpix_pixel
from lensneg.strata import nobs_z_bin, type_order
from lensneg.sweep import iter_rows, probe_sweep

Columns = dict[str, npt.NDArray[Any]]

#: What stands in the ``pool`` column of a positive.
POSITIVE: Final = "positive"

#: A source may lie outside its file's cell by at most a brick, which is how sweeps are put together.
_CELL_MARGIN_DEG: Final = 0.25


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
    bytes_read: int
    bytes_written: int
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
    pool, matches, cut = _filter_rows(run, item)
    pool_table = _pool_table(pool, run.config)
    match_table = _match_table(matches)
    written = write_table(run.files.pool(item.id), pool_table)
    written += write_table(run.files.positives(item.id), match_table)
    stats = ItemStats(
        item=item,
        config_sha256=run.record.config.sha256,
        code_version=run.record.code.code_version,
        rows_in=item.n_rows,
        rows_kept=len(pool_table),
        cut=cut,
        counts=_count(pool_table),
        confusers=_value_counts(pool_table["confuser_category"]),
        candidate_matches=len(match_table),
        bytes_read=item.n_bytes,
        bytes_written=written,
        seconds=round(time.perf_counter() - started, 3),
    )
    storage.write_json(run.files.stats(item.id), stats.model_dump(mode="json"))
    return stats


def finished(run: Run, item: Item) -> ItemStats | None:
    """Return an item's stats if it is done: same bytes of the file, same config, same code."""
    try:
        stats = ItemStats.model_validate_json(storage.read_bytes(run.files.stats(item.id)))
    except (FileNotFoundError, ValueError):
        return None
    same = (
        stats.item == item
        and stats.config_sha256 == run.record.config.sha256
        and stats.code_version == run.record.code.code_version
    )
    return stats if same else None


def _filter_rows(run: Run, item: Item) -> tuple[list[Columns], list[Columns], dict[str, int]]:
    """Return survivors and candidate matches, a dict of columns for each chunk, and the cuts."""
    config = run.config
    info = storage.stat(item.sweep)
    if (info.size, info.etag) != (item.size, item.etag):
        raise SweepError(
            f"{item.sweep}: the file changed after the run was planned ({item.size:,} bytes then, "
            f"{info.size:,} now); start a new run"
        )
    file = probe_sweep(info).file
    if item.first_row + item.n_rows > file.n_rows:
        raise SweepError(f"{item.sweep}: planned with more than its {file.n_rows:,} rows; start a new run")
    lenses, positives = _indices_near(run, file.cell)
    pools: list[Columns] = []
    matches: list[Columns] = []
    cut: Counter[str] = Counter(dict.fromkeys(CUT_REASONS, 0))
    for start, rows in iter_rows(file, info.size, item.first_row, item.n_rows):
        dec = rows["DEC"]
        _check_cell(dec, start, file.cell, item.sweep)
        kept, cut_here = select(rows, config.selection)
        cut.update(cut_here)
        candidates = rows.take(kept)
        pool, category = classify(candidates, config.pools)
        in_pool = pool >= 0
        near = np.zeros(len(kept), dtype=bool)
        near[lenses.pairs(candidates["RA"], candidates["DEC"]).source] = True
        cut["no_pool"] += int((~in_pool).sum())
        cut["near_lens"] += int((in_pool & near).sum())
        survivors = np.flatnonzero(in_pool & ~near)
        pools.append(
            _describe(
                rows.take(kept[survivors]),
                start + kept[survivors],
                np.array(POOLS, dtype=object)[pool[survivors]],
                np.array([*CONFUSER_CATEGORIES, None], dtype=object)[category[survivors]],
                run,
                item,
            )
        )
        found = _candidate_matches(rows, dec, start, positives, run, item)
        if found is not None:
            matches.append(found)
    return pools, matches, dict(cut)


def _check_cell(dec: npt.NDArray[np.float64], start: int, cell: Cell, uri: str) -> None:
    """Refuse rows that belong to another part of the sky: lenses are looked up by the file's cell."""
    outside = (dec < cell.dec_min - _CELL_MARGIN_DEG) | (dec > cell.dec_max + _CELL_MARGIN_DEG)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise SweepError(
            f"{uri}: row {start + row:,} is at Dec {dec[row]:.4f}, outside the cell {cell.dec_min:g} to "
            f"{cell.dec_max:g} that the file's name stands for; was it renamed? fetch it again"
        )


class _Positions:
    """An index over some of the run's catalogue positions that answers with their row numbers."""

    def __init__(self, run: Run, rows: IntArray, radius_arcsec: float) -> None:
        self.rows = rows
        self._index = PositionIndex(run.lenses.ra[rows], run.lenses.dec[rows], radius_arcsec)
        self.pairs = self._index.pairs


def _indices_near(run: Run, cell: Cell) -> tuple[_Positions, _Positions]:
    """Return indices of all lenses and of the positives that can lie next to a cell's sources.

    They are chosen by declination alone: right ascension has an edge at 0/360 and is worth nothing near
    the poles.
    """
    exclusion = run.config.lenses.exclusion_radius_arcsec
    matching = run.config.positives.match_radius_arcsec
    reach = _CELL_MARGIN_DEG + max(exclusion, matching) / 3600
    dec = run.lenses.dec
    near = (dec >= cell.dec_min - reach) & (dec <= cell.dec_max + reach)
    return (
        _Positions(run, np.flatnonzero(near), exclusion),
        _Positions(run, np.flatnonzero(near & run.lenses.is_positive), matching),
    )


def _candidate_matches(
    rows: Rows,
    dec: npt.NDArray[np.float64],
    start: int,
    positives: _Positions,
    run: Run,
    item: Item,
) -> Columns | None:
    """Return the sources of a chunk that lie within the match radius of a positive."""
    pairs = positives.pairs(rows["RA"], dec)
    real = rows.take(pairs.source)["TYPE"] != "DUP"
    source = pairs.source[real]
    if len(source) == 0:
        return None
    matched = rows.take(source)
    none = np.full(len(source), None, dtype=object)
    columns = _describe(
        matched, start + source, np.full(len(source), POSITIVE, dtype=object), none, run, item
    )
    columns["catalog_row"] = positives.rows[pairs.position[real]]
    columns["separation_arcsec"] = pairs.separation_arcsec[real]
    columns["cut"] = np.array(first_failed_rule(matched, run.config.selection), dtype=object)
    return columns


def _describe(
    rows: Rows,
    row_index: IntArray,
    pool: npt.NDArray[np.object_],
    category: npt.NDArray[np.object_],
    run: Run,
    item: Item,
) -> Columns:
    """Return the map's columns of the manifest for some rows."""
    config = run.config
    columns: Columns = {c.name: rows[c.sweep] for c in COLUMNS if c.sweep is not None}
    releases = set(np.unique(columns["release"]).tolist()) - set(config.sweeps.releases)
    if releases:
        raise SweepError(
            f"{item.sweep}: holds sources of RELEASE {min(releases)}; the config takes "
            f"{', '.join(map(str, config.sweeps.releases))} (sweeps.releases)"
        )
    try:
        ids = targetid(columns["release"], rows["BRICKID"], columns["objid"])
    except ValueError as error:
        raise SweepError(f"{item.sweep}: {error}; the file is damaged, fetch it again") from error
    mags = {band: magnitude(columns[f"flux_{band}"]) for band in ("g", "r", "z", "w1")}
    bins = np.array([*config.strata.nobs_z_bins, ""], dtype=object)
    return {
        **columns,
        "galaxy_id": np.char.add(np.char.add(columns["brickname"], "_"), columns["objid"].astype(np.str_)),
        "nobs_z_bin": bins[nobs_z_bin(columns["nobs_z"], config.strata)],
        "type_bin": columns["type"],
        "mag_g": mags["g"],
        "mag_r": mags["r"],
        "mag_z": mags["z"],
        "g_minus_r": mags["g"] - mags["r"],
        "r_minus_z": mags["r"] - mags["z"],
        "z_minus_w1": mags["z"] - mags["w1"],
        "healpix_64": healpix_pixel(64, columns["ra"], columns["dec"]),
        "healpix_128": healpix_pixel(128, columns["ra"], columns["dec"]),
        "pool": pool,
        "confuser_category": category,
        "sweep_file": np.full(len(rows), storage.basename(item.sweep), dtype=object),
        "row_index": row_index,
        "targetid": ids,
        "sampling_priority": sampling_priority(ids, config.sampling.seed),
    }


#: Columns that are null, not NaN, where a source has no magnitude.
_NULL_FOR_NAN: Final = ("mag_g", "mag_r", "mag_z", "g_minus_r", "r_minus_z", "z_minus_w1")


def _table(chunks: list[Columns], schema: pa.Schema) -> pa.Table:
    def array(field: pa.Field) -> pa.Array:
        values = np.concatenate([chunk[field.name] for chunk in chunks])
        mask = np.isnan(values) if field.name in _NULL_FOR_NAN else None
        return pa.array(values, mask=mask).cast(field.type)

    chunks = [chunk for chunk in chunks if len(chunk["targetid"])]
    if not chunks:
        return schema.empty_table()
    return pa.table([array(field) for field in schema], schema=schema)


def _pool_table(chunks: list[Columns], config: Config) -> pa.Table:
    """Return the survivors in the order of every pool file: stratum, pool, priority, TARGETID."""
    table = _table(chunks, POOL_SCHEMA)
    if len(table) == 0:
        return table
    type_rank = {name: i for i, name in enumerate(type_order(config.strata))}
    types = np.array([type_rank[name] for name in table["type_bin"].to_pylist()])
    order = np.lexsort(
        (
            table["targetid"].to_numpy(),
            table["sampling_priority"].to_numpy(),
            table["pool"].to_numpy(zero_copy_only=False).astype(np.str_),
            types,
            nobs_z_bin(table["nobs_z"].to_numpy(), config.strata),
        )
    )
    return table.take(pa.array(order))


def _match_table(chunks: list[Columns]) -> pa.Table:
    """Return the best candidate of each catalogue position: nearest, then lowest TARGETID."""
    table = _table(chunks, POSITIVES_SCHEMA)
    return best_matches(table)


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
    table = table.sort_by(
        [
            (name, "ascending")
            for name in ("catalog_row", "separation_arcsec", "targetid", "sweep_file", "row_index")
        ]
    )
    rows = table["catalog_row"].to_numpy()
    first = np.ones(len(rows), dtype=bool)
    first[1:] = rows[1:] != rows[:-1]
    return table.filter(pa.array(first))


def _count(pool: pa.Table) -> tuple[StratumCount, ...]:
    keys = ["nobs_z_bin", "type_bin", "pool"]
    groups = pool.group_by(keys, use_threads=False).aggregate([([], "count_all")])
    return tuple(
        StratumCount(nobs_z_bin=g[keys[0]], type_bin=g[keys[1]], pool=g[keys[2]], rows=g["count_all"])
        for g in groups.to_pylist()
    )


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = {entry["values"]: entry["counts"] for entry in column.value_counts().to_pylist()}
    return {category: counted.get(category, 0) for category in CONFUSER_CATEGORIES}
