"""Gate 4 on a whole survey's manifest: ``lensneg validate`` beside reading the same Parquet files.

A small mock run makes a manifest that passes every gate. Its rows are then laid out anew, many times over:
each copy has other bricks, so other TARGETIDs and priorities, lies elsewhere on the sky, and stands in sweep
files of its own, in which the audit looks its random rows up. What is timed is the audit of all of it, from
the manifest's folder to the last check, which must all pass.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import harness
import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from harness import BenchmarkError

from lensneg.audit import source_rows
from lensneg.audit.audit import audit
from lensneg.rules.priority import sampling_priority
from lensneg.rules.split import split_of_pixel
from lensneg.schema.columns import COLUMNS, WRITTEN_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.content import content_sha256
from lensneg.schema.gate import Gate
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.stages import validate_manifest as validation

ROWS: Final = 450_000
LENSES: Final = 16_000
CONFIG = Config.parse(harness.CONFIG.read_text(encoding="utf-8"))


def base_manifest() -> Path:
    """Return the manifest of a local run over four mock sweep files."""

    def make(folder: Path) -> None:
        sky = harness.mock_sky(4, 150_000)
        done = subprocess.run(
            [
                sys.executable, "-m", "lensneg", "run", "--config", str(harness.CONFIG),
                "--sweeps", str(sky / "sweeps"), "--positives", str(sky / "positives.csv"),
                "--out", str(folder / "out"), "--run-id", "base",
            ],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkError(done.stdout + done.stderr)

    made_by = [harness.CONFIG]
    return harness.prepared(harness.SCRATCH / "audit-base", made_by, make) / "out" / "manifests" / "base"


def copy_of(rows: pa.Table, number: int, ra_step: float) -> pa.Table:
    """Return rows as other sources: other bricks, turned about the pole, in sweep files of their own."""
    ids = rows["targetid"].to_numpy()
    brick = number * len(rows) + np.arange(len(rows))  # below 2^20, as BRICKID must be
    ids = (ids & ~np.int64(0xFFFFF << 22)) | (brick << 22)
    ra, dec = (rows["ra"].to_numpy() + number * ra_step) % 360, rows["dec"].to_numpy()
    pixel = healpy.ang2pix(128, ra, dec, nest=True, lonlat=True)
    changed = {
        "targetid": ids,
        "sampling_priority": sampling_priority(ids, CONFIG.negative_pools.seed),
        "ra": ra,
        "healpix_64": pixel // 4,
        "healpix_128": pixel,
        "split": split_of_pixel(pixel, CONFIG.spatial_splits),
        "sweep_file": [f"copy-{number:03d}.fits"] * len(rows),
        "row_index": np.arange(len(rows)),
    }
    columns = [
        pa.array(changed[field.name], field.type) if field.name in changed else rows[field.name]
        for field in WRITTEN_SCHEMA
    ]
    return pa.table(columns, schema=WRITTEN_SCHEMA)


def write_sweep(path: Path, rows: pa.Table) -> None:
    """Write the sweep file in which some rows stand, in the data model of DR10."""
    table = np.zeros(len(rows), sweep_dtype())
    for column in COLUMNS:
        if column.sweep is not None:
            table[column.sweep] = rows[column.name].to_numpy(zero_copy_only=False)
    table["BRICKID"] = (rows["targetid"].to_numpy() >> 22) & 0xFFFFF
    fits.BinTableHDU(table, name="SWEEP").writeto(path)


def make_manifest(base: Path, rows: int) -> Path:
    """Return a published manifest of about so many negatives, with its sweep files beside it."""

    def make(folder: Path) -> None:
        described = json.loads((base / "manifest.json").read_text())
        copies = round(rows / described["rows"]["negatives"])
        (folder / "sweeps").mkdir()
        tables: dict[str, list[pa.Table]] = {"negatives": [], "positives": []}
        plain = {part: pq.ParquetFile(next((base / part).iterdir())).read() for part in tables}
        for number in range(copies):
            both = pa.concat_tables([plain[part].cast(WRITTEN_SCHEMA) for part in tables])
            copied = copy_of(both, number, 360 / copies)
            write_sweep(folder / "sweeps" / f"copy-{number:03d}.fits", copied)
            tables["negatives"].append(copied.slice(0, len(plain["negatives"])))
            tables["positives"].append(copied.slice(len(plain["negatives"])))
        for part, parts in tables.items():
            table = pa.concat_tables(parts)
            path = folder / part / "part-00000.parquet"
            path.parent.mkdir()
            pq.write_table(table, path, compression="zstd")
            data = path.read_bytes()
            described[part] = {
                "files": [
                    {
                        "name": f"{part}/{path.name}",
                        "rows": len(table),
                        "bytes": len(data),
                        "sha256": hashlib.sha256(data).hexdigest(),
                    }
                ],
                "content_sha256": content_sha256(table),
            }
        for stratum in described["strata"]:
            for name in ("positives", "target", "shortfall"):
                stratum[name] *= copies
            for pool in stratum["pools"]:
                for name in ("available", "target", "backfill", "quota"):
                    pool[name] *= copies
        add_lenses(folder, described, pa.concat_tables(tables["negatives"]))
        (folder / "manifest.json").write_text(json.dumps(described))

    made_by = [Path(__file__), Path(audit.__file__), Path(source_rows.__file__)]
    return harness.prepared(harness.SCRATCH / f"audit-{rows}", made_by, make)


def add_lenses(folder: Path, described: dict[str, Any], negatives: pa.Table) -> None:
    """Put a catalogue of lenses all over the sky, clear of every negative, in the place of the run's."""
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, LENSES), np.degrees(np.arcsin(rng.uniform(-1, 1, LENSES)))
    there = (negatives["ra"].to_numpy(), negatives["dec"].to_numpy())
    clear = ~audit.near_any(ra, dec, *there, CONFIG.exclusion.known_lens_radius_arcsec)
    path = folder / "lenses.csv"
    np.savetxt(path, np.stack([ra, dec], 1)[clear], delimiter=",", header="ra,dec", comments="", fmt="%.9f")
    [source, *_] = described["run"]["catalogs"]
    described["run"]["catalogs"] = [{**source, "spec": {**source["spec"], "uri": str(path)}}]


def audit_it(folder: Path) -> None:
    """Audit the manifest; every check must pass, or the time means nothing."""
    _, found = validation.audit_published(str(folder), str(folder / "sweeps"))
    record = Gate.of(4, found.checks).as_json()
    failed = [check for check in record["checks"] if not check["passed"]]
    if failed:
        raise BenchmarkError(f"the audit found faults: {failed}")


def read_it(folder: Path) -> None:
    """Read every column of the same files."""
    for part in audit.PARTS:
        for path in sorted((folder / part).iterdir()):
            pq.read_table(path)


def main() -> None:
    """Measure."""
    arguments = harness.arguments(__doc__ or "")
    folder = make_manifest(base_manifest(), 20_000 if arguments.quick else ROWS)
    contestants = {
        "audit": lambda: harness.timed(lambda: audit_it(folder)),
        "read": lambda: harness.timed(lambda: read_it(folder)),
    }
    for run in contestants.values():
        run()  # warm files
    times = harness.take_turns(contestants, 3 if arguments.quick else 5, "audit")
    rows = sum(pq.read_metadata(path).num_rows for p in audit.PARTS for path in (folder / p).iterdir())
    harness.report(
        {
            "rows": rows,
            "bytes": sum(path.stat().st_size for p in audit.PARTS for path in (folder / p).iterdir()),
            "sweep_files": len(list((folder / "sweeps").iterdir())),
            "seconds": {name: harness.spread(values) for name, values in times.items()},
            "audit_over_read": harness.ratio(times, "audit", "read"),
            "memory_peak_bytes": harness.memory("VmHWM"),
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
