"""A made-up pool: pool files as the map leaves them, and a run over them that is ready for the draw.

Sources are drawn from simple laws: sixteen strata of two pools with skewed sizes, TARGETIDs that are unique,
and priorities that follow from these. The files are written by the map's own writer, and the quotas are
computed by the fan-in's own code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import harness
import healpy
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from harness import BenchmarkError

from lensneg import storage
from lensneg.rules import priority as ids
from lensneg.rules.pools import POOLS
from lensneg.rules.quotas import largest_remainder
from lensneg.rules.selection import CUT_REASONS
from lensneg.rules.strata import strata_of
from lensneg.schema import columns as manifest
from lensneg.schema import pool as poolfile
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.code_version import code_version
from lensneg.schema.columns import POOL_SCHEMA, POSITIVE, POSITIVES_SCHEMA
from lensneg.schema.config import Config, config_sha256
from lensneg.schema.item import Item, ItemStats, StratumCount
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.run import CatalogInput, CodeInput, ConfigInput, RunRecord, SweepInput
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.schema.tables import WrittenFile, write_table
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out
from lensneg.survey.names import Cell, sweep_name

RELEASE = 10002
RUN_ID = "draw"

CONFIG_TEXT = harness.CONFIG.read_text(encoding="utf-8")
CONFIG = Config.parse(CONFIG_TEXT)
STRATA = strata_of(CONFIG.strata)

#: Shares of galaxies with z < 20 by bin of nobs_z and by type, of N2 within a type, and of lenses by type.
_BIN_SHARES = (0.06, 0.30, 0.44, 0.20)
_TYPE_SHARES = {"SER": 0.24, "DEV": 0.23, "REX": 0.33, "EXP": 0.20}
_N2_SHARES = {"SER": 0.35, "DEV": 0.65, "REX": 0.05, "EXP": 0.15}
_LENS_SHARES = {"SER": 0.60, "DEV": 0.27, "REX": 0.11, "EXP": 0.02}
_SWEEP_ROWS_PER_POOL_ROW = 20


# --- Pool files


def galaxies(n: int, file: int, stratum: npt.NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
    """Return plausible columns of the pool for sources of given strata, in one file's cell.

    TARGETIDs differ from source to source and from file to file.
    """
    row = np.arange(n)
    brick, objid = row % 400, 7 * (row // 400) + 3
    brickid = 400 * file + brick
    cell = cell_of(file)
    ra = cell.ra_min + 0.25 * (brick % 20) + rng.uniform(0, 0.25, n)
    dec = cell.dec_min + 0.25 * (brick // 20) + rng.uniform(0, 0.25, n)
    limits = [(low, 20 if high is None else high) for low, high in CONFIG.strata.bin_limits]
    low, high = np.array(limits).T
    bins = stratum // len(CONFIG.strata.types)
    types = np.array(CONFIG.strata.types, dtype=object)[stratum % len(CONFIG.strata.types)]
    flux_z = 10.0 ** (0.4 * rng.exponential(0.9, n) + 1)
    flux = {band: flux_z * 10 ** (-0.4 * rng.normal(c, 0.3, n)) for band, c in (("g", 1.9), ("r", 0.8))}
    flux |= {"z": flux_z, "w1": flux_z * 10 ** (0.4 * rng.normal(0.6, 0.3, n))}
    mags = {band: 22.5 - 2.5 * np.log10(values) for band, values in flux.items()}
    targetid = ids.targetid(np.full(n, RELEASE), brickid, objid)
    names = np.array([f"{4 * ra_:04.0f}{'m' if d < 0 else 'p'}{abs(d):03.0f}" for ra_, d in bricks_of(cell)])
    columns: dict[str, Any] = {
        "brickname": names[brick],
        "objid": objid,
        "ra": ra,
        "dec": dec,
        "type": types,
        "nobs_z": rng.integers(low[bins], high[bins] + 1),
        "nobs_z_bin": np.array(CONFIG.strata.nobs_z_bins, dtype=object)[bins],
        "type_bin": types,
        **{f"mag_{band}": mags[band] for band in "grz"},
        "g_minus_r": mags["g"] - mags["r"],
        "r_minus_z": mags["r"] - mags["z"],
        "z_minus_w1": mags["z"] - mags["w1"],
        **{f"flux_{band}": values for band, values in flux.items()},
        "maskbits": np.where(rng.random(n) < 0.06, 1 << rng.integers(8, 10, n), 0),
        "fitbits": np.where(rng.random(n) < 0.3, 8192, 0),
        "healpix_64": healpy.ang2pix(64, ra, dec, nest=True, lonlat=True),
        "healpix_128": healpy.ang2pix(128, ra, dec, nest=True, lonlat=True),
        "sweep_file": np.full(n, sweep_name(cell), dtype=object),
        "row_index": _SWEEP_ROWS_PER_POOL_ROW * row,
        "targetid": targetid,
        "release": np.full(n, RELEASE),
        "sampling_priority": ids.sampling_priority(targetid, CONFIG.negative_pools.seed),
    }
    for field in POOL_SCHEMA:  # depths, sizes, shapes: numbers that differ from row to row
        if field.name not in columns and pa.types.is_floating(field.type):
            columns[field.name] = np.exp(0.4 * rng.standard_normal(n, np.float32))
    return columns


def cell_of(file: int) -> Cell:
    """Return the cell of a file: the grid's cells from Dec 0 upwards."""
    ra, dec = 5 * (file % 72), 5 * (file // 72)
    return Cell(ra, ra + 5, dec, dec + 5)


def bricks_of(cell: Cell) -> list[tuple[float, float]]:
    """Return the middles of a cell's bricks, Dec in tenths of a degree."""
    return [
        (cell.ra_min + 0.25 * (i % 20) + 0.125, 10 * (cell.dec_min + 0.25 * (i // 20) + 0.125))
        for i in range(400)
    ]


def as_table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Return columns as a table of a schema."""
    return pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)


def write_pool_file(path: str, rows: int, file: int, seed: int) -> dict[str, Any]:
    """Write one pool file; return what its item's stats say of it."""
    rng = np.random.default_rng([seed, file])
    shares = [
        bin_share * _TYPE_SHARES[s.type_bin] * part
        for bin_share, s in zip(np.repeat(_BIN_SHARES, len(CONFIG.strata.types)), STRATA, strict=True)
        for part in (1 - _N2_SHARES[s.type_bin], _N2_SHARES[s.type_bin])
    ]
    kind = rng.choice(len(shares), rows, p=np.array(shares) / sum(shares))
    columns = galaxies(rows, file, kind // 2, rng)
    columns["pool"] = np.array(POOLS, dtype=object)[kind % 2]
    categories = CONFIG.negative_pools.pool_n2.tractor_criteria.categories
    category = rng.integers(0, len(categories), rows)
    columns["confuser_category"] = np.where(kind % 2 == 1, np.array(categories, dtype=object)[category], None)
    columns["confuser_flags"] = np.where(kind % 2 == 1, 1 << category, 0)
    order = poolfile.pool_order(kind, columns["sampling_priority"])
    written = poolfile.write_pool(path, as_table(columns, POOL_SCHEMA).take(pa.array(order)))
    counts = np.bincount(kind, minlength=len(shares)).tolist()
    return {
        "rows": rows,
        "bytes": written.bytes,
        "sha256": written.sha256,
        "footer": written.footer.as_json(),
        "row_groups": [group.model_dump() for group in written.row_groups],
        "counts": [
            {**STRATA[k // 2]._asdict(), "pool": POOLS[k % 2], "rows": n} for k, n in enumerate(counts) if n
        ],
    }


def make_pool(rows: int, files: int, seed: int = 1) -> Path:
    """Return a folder of pool files with so many rows in all, and ``pool.json``, which describes them."""

    def make(folder: Path) -> None:
        numbers = range(files)
        paths = [str(folder / f"{item_id(file)}.parquet") for file in numbers]
        share = [rows * (file + 1) // files - rows * file // files for file in numbers]
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            found = list(pool.map(write_pool_file, paths, share, numbers, [seed] * files))
        storage.write_json(str(folder / "pool.json"), found)

    made_by = [Path(module.__file__ or "") for module in (poolfile, manifest, ids)] + [Path(__file__)]
    return harness.prepared(harness.SCRATCH / f"pool-{rows}", made_by, make)


def item_id(file: int) -> str:
    """Return the item's id of a file."""
    return sweep_name(cell_of(file)).removesuffix(".fits")


# --- A run whose map is done


def plan_draw(pool: Path, positives: int) -> str:
    """Make a run over a pool, up to the draw: the fan-in's own code computes its quotas.

    Returns
    -------
    str
        The run's folder, in which the pool's files are hard links.
    """
    out = harness.SCRATCH / f"{pool.name}-{positives}"
    shutil.rmtree(out, ignore_errors=True)
    files = RunFiles(str(out), RUN_ID)
    described = storage.read_json(str(pool / "pool.json"))
    sweeps = [made_up_sweep(out, file, entry["rows"]) for file, entry in enumerate(described)]
    items = [
        Item(
            id=item_id(file),
            sweep=sweep.uri,
            size=sweep.size,
            etag=sweep.etag,
            first_row=0,
            n_rows=entry["rows"] * _SWEEP_ROWS_PER_POOL_ROW,
            n_bytes=sweep.size,
        )
        for file, (sweep, entry) in enumerate(zip(sweeps, described, strict=True))
    ]
    record = record_of(out, items, positives)
    storage.write_json(files.run, record.model_dump(mode="json"))
    storage.write_json(files.items, [item.model_dump(mode="json") for item in items])
    matches = write_matches(files, items[0], positives)
    Path(files.pool_folder).mkdir(parents=True)
    for i, (item, entry) in enumerate(zip(items, described, strict=True)):
        os.link(pool / f"{item.id}.parquet", files.pool(item.id))
        stats = ItemStats(
            item=item,
            config_sha256=record.config.sha256,
            code_version=record.code.code_version,
            rows_in=item.n_rows,
            rows_kept=entry["rows"],
            cut=dict.fromkeys(CUT_REASONS, 0) | {"faint": item.n_rows - entry["rows"]},
            counts=tuple(StratumCount(**count) for count in entry["counts"]),
            confusers={},
            candidate_matches=0 if i else positives,
            row_groups=tuple(poolfile.RowGroup(**group) for group in entry["row_groups"]),
            bytes_read=item.n_bytes,
            pool_bytes=entry["bytes"],
            pool_sha256=entry["sha256"],
            pool_footer=poolfile.Footer(**entry["footer"]),
            positives_bytes=0 if i else matches.bytes,
            positives_sha256="" if i else matches.sha256,
            seconds=0.0,
        )
        storage.write_json(files.stats(item.id), stats.model_dump(mode="json"))
    gate = summarize_fan_out(files.root).gate
    drawn = sum(p["quota"] for s in storage.read_json(files.quotas)["strata"] for p in s["pools"])
    if not gate.passed or drawn != positives * CONFIG.negative_pools.neg_pos_ratio:
        raise BenchmarkError(f"the quotas of the made-up pool draw {drawn:,} rows: {gate.cause}")
    return files.root


def made_up_sweep(out: Path, file: int, pool_rows: int) -> storage.FileInfo:
    """Make the sweep file behind a pool file: a hole of the right size, for the fan-in to look at."""
    path = out / "sweeps" / f"{item_id(file)}.fits"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as hole:
        hole.truncate(pool_rows * _SWEEP_ROWS_PER_POOL_ROW * sweep_dtype().itemsize)
    return storage.stat(str(path))


def made_up_catalog(out: Path, positives: int) -> CatalogInput:
    """Make an empty file in the place of the lenses' catalogue, for the fan-in to look at."""
    path = out / "lenses.csv"
    path.touch()
    info = storage.stat(str(path))
    return CatalogInput(
        spec=CatalogSpec(uri=str(path)),
        role="positives",
        size=info.size,
        etag=info.etag,
        sha256=hashlib.sha256().hexdigest(),
        rows=positives,
        positions=positives,
    )


def record_of(out: Path, items: list[Item], positives: int) -> RunRecord:
    """Return the run's record."""
    code = code_version()
    return RunRecord(
        run_id=RUN_ID,
        mode="test",
        started_at="2025-01-01T00:00:00Z",
        out=str(out),
        config=ConfigInput(uri=str(harness.CONFIG.name), sha256=config_sha256(CONFIG_TEXT), text=CONFIG_TEXT),
        code=CodeInput(
            pipeline_version=code.pipeline_version,
            git_commit=code.git_commit,
            code_version=code.code_version,
        ),
        sweeps=tuple(
            SweepInput(
                uri=item.sweep,
                size=item.size,
                etag=item.etag,
                rows=item.n_rows,
                release=RELEASE,
                row_bytes=sweep_dtype().itemsize,
            )
            for item in items
        ),
        ignored_files=0,
        catalogs=(made_up_catalog(out, positives),),
    )


def write_matches(files: RunFiles, item: Item, positives: int) -> WrittenFile:
    """Write the catalogue of lenses, and a match of each in the first file; return the latter's file."""
    rng = np.random.default_rng(positives)
    weights = tuple(
        round(1e6 * share * _LENS_SHARES[s.type_bin])
        for share, s in zip(np.repeat(_BIN_SHARES, len(CONFIG.strata.types)), STRATA, strict=True)
    )
    stratum = np.repeat(np.arange(len(STRATA)), largest_remainder(positives, weights))
    columns = galaxies(positives, 0, stratum, rng)
    # Other sources than the pool's: a lens is not its own negative.
    columns["objid"] = columns["objid"] + 1
    columns["targetid"] = columns["targetid"] + 1
    columns["sampling_priority"] = ids.sampling_priority(columns["targetid"], CONFIG.negative_pools.seed)
    columns["pool"] = np.full(positives, POSITIVE, dtype=object)
    columns["confuser_category"] = columns["cut"] = np.full(positives, None, dtype=object)
    columns["confuser_flags"] = np.zeros(positives, dtype=np.int32)
    columns["catalog_row"] = np.arange(positives)
    columns["separation_arcsec"] = rng.uniform(0, 0.3, positives)
    names = [f"lens {i}" for i in range(positives)]
    is_positive, catalog = np.ones(positives, dtype=bool), np.zeros(positives, dtype=np.int32)
    Lenses(columns["ra"], columns["dec"], is_positive, names, catalog).write(files.lenses)
    return write_table(files.positives(item.id), as_table(columns, POSITIVES_SCHEMA))
