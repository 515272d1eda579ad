"""Gate 4 on a whole survey's manifest: ``lensneg validate`` beside reading the same Parquet files.

A small mock run makes a manifest that passes every gate. Its rows are then laid out anew, many times over:
each copy has other bricks, so other TARGETIDs and priorities. It lies elsewhere on the sky, and stands in a
sweep file of its own, in which the audit looks its random rows up. What is timed is the audit of all of it,
from the manifest's folder to the last check, which must all pass. Its peak of memory is taken in processes of
their own, of two manifests of which one has ten times the rows of the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import harness
import healpy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from astropy.io import fits
from harness import BenchmarkError
from mock_pool import cell_of

from lensneg import storage
from lensneg.audit import source_rows
from lensneg.audit.lens_checks import near_any
from lensneg.audit.published import audit_published
from lensneg.rules.priority import sampling_priority
from lensneg.rules.split import split_of_pixel
from lensneg.schema.columns import ANNOTATED_SCHEMA, COLUMNS, PARTS, part_schema
from lensneg.schema.config import Config
from lensneg.schema.content import content_sha256_of
from lensneg.schema.gate import Gate
from lensneg.schema.manifest import Manifest
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.schema.tables import write_table
from lensneg.survey.names import sweep_name

ROWS: Final = 450_000
#: Rows of the manifests whose audits' memory is compared.
MEMORY_ROWS: Final = (500_000, 5_000_000)
LENSES: Final = 16_000
CONFIG = Config.parse(harness.CONFIG.read_text(encoding="utf-8"))

Table = dict[str, Any]


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


class Copies:
    """Copies of the rows of a part as other sources, in the manifest's order."""

    def __init__(self, rows: pa.Table, copies: int, first_id: int, first_row: int, mirrored: bool) -> None:
        self._rows, self._copies, self._first_row, self._mirrored = rows, copies, first_row, mirrored
        self.rows_each = len(rows)
        self.place = np.tile(np.arange(len(rows)), copies)
        self.number = np.repeat(np.arange(copies), len(rows))
        which = first_id + np.arange(len(rows) * copies)
        self._brick, self._objid = which & 0xFFFFF, (which >> 20) + 1
        release = rows["release"].to_numpy()[self.place].astype(np.int64)
        self.targetid = release << 42 | self._brick << 22 | self._objid
        self.priority = sampling_priority(self.targetid, CONFIG.negative_pools.seed)
        ranks = [
            pc.index_in(rows[name], pa.array(values)).to_numpy()[self.place]
            for name, values in (
                ("pool", ["N1", "N2", "positive"]),
                ("type_bin", CONFIG.strata.types),
                ("nobs_z_bin", CONFIG.strata.nobs_z_bins),
            )
        ]
        self.order = np.lexsort([self.targetid, self.priority, *ranks])

    def table(self, some: Any) -> pa.Table:
        """Return some rows, by their numbers: other bricks, turned about the pole, in other sweep files."""
        rows = self._rows.take(pa.array(self.place[some]))
        number, objid = self.number[some], pa.array(self._objid[some], pa.int32())
        ra = (rows["ra"].to_numpy() + number * 360 / self._copies) % 360
        dec = rows["dec"].to_numpy()
        dec = -20 - dec if self._mirrored else dec
        pixel = healpy.ang2pix(128, ra, dec, nest=True, lonlat=True)
        names = pa.array([sweep_name(cell_of(i)) for i in range(self._copies)])
        changed = {
            "objid": objid,
            "galaxy_id": pc.binary_join_element_wise(rows["brickname"], objid.cast(pa.string()), "_"),
            "object_id": pc.binary_join_element_wise(rows["brickname"], objid.cast(pa.string()), "-"),
            "targetid": self.targetid[some],
            "sampling_priority": self.priority[some],
            "sampling_weight": np.ones(len(rows)),
            "ra": ra,
            "dec": dec,
            "healpix_64": pixel // 4,
            "healpix_128": pixel,
            "split": split_of_pixel(pixel, CONFIG.spatial_splits),
            "sweep_file": names.take(pa.array(number)),
            "row_index": self._first_row + self.place[some],
        }
        # The catalogue that add_lenses writes says no more of its lenses.
        changed |= {name: pa.nulls(len(rows)) for name in rows.column_names if name.startswith("lens_")}
        changed["lens_name"] = pa.array(self.targetid[some]).cast(pa.string())
        columns = [
            pa.chunked_array([changed[f.name]]).cast(f.type) if f.name in changed else rows[f.name]
            for f in self._rows.schema
        ]
        return pa.table(columns, schema=self._rows.schema)


def schema_of(part: str) -> pa.Schema:
    """Return the schema of a part of the manifest."""
    return part_schema(part, CONFIG.positives.columns)


def write_sweep(path: Path, rows: pa.Table) -> None:
    """Write the sweep file in which some rows stand, in the data model of DR10."""
    table = np.zeros(len(rows), sweep_dtype())
    for column in COLUMNS:
        if column.sweep is not None:
            table[column.sweep] = rows[column.name].to_numpy(zero_copy_only=False)
    table["BRICKID"] = (rows["targetid"].to_numpy() >> 22) & 0xFFFFF
    fits.BinTableHDU(table, name="SWEEP").writeto(path)


def make_manifest(base: Path, rows: int, sweeps: bool = True) -> Path:
    """Return a published manifest of about so many negatives, with its sweep files beside it."""

    def make(folder: Path) -> None:
        described = json.loads((base / "manifest.json").read_text())
        copies = round(rows / described["rows"]["negatives"])
        made: dict[str, Copies] = {}
        for part in PARTS:
            plain = pq.ParquetFile(next((base / part).iterdir())).read().cast(schema_of(part))
            # The rows of positives follow on the others in the sweep files, and lie elsewhere on the sky.
            before = made["negatives"].rows_each if made else 0
            made[part] = Copies(plain, copies, before * copies, before, bool(made))
            described["rows"][part] = len(made[part].place)
            described[part] = write_part(folder, part, made[part])
        for stratum in described["strata"]:
            for name in ("positives", "target", "shortfall"):
                stratum[name] *= copies
            for pool in stratum["pools"]:
                for name in ("target", "backfill", "quota"):
                    pool[name] *= copies
                pool["available"] = pool["quota"]  # other priorities, of which not the lowest are drawn
            for draw in stratum["draws"]:
                draw["quota"] *= copies
                draw["available"] = draw["left"] = draw["quota"]
        (folder / "sweeps").mkdir()
        if sweeps:
            described["run"]["sweeps"] = [write_copy(folder, made, number) for number in range(copies)]
        else:
            for sweep in described["run"]["sweeps"]:
                sweep["uri"] = "/nowhere/" + sweep["uri"].rpartition("/")[2]
        add_lenses(folder, described)
        (folder / "manifest" / "manifest.json").write_text(json.dumps(described))

    made_by = [Path(__file__), Path(source_rows.__file__)]
    return harness.prepared(harness.SCRATCH / f"audit-{rows}", made_by, make)


def write_part(folder: Path, part: str, rows: Copies) -> Table:
    """Write the files of a part, and describe them."""
    most, files = CONFIG.execution.rows_per_manifest_file, []
    for number, start in enumerate(range(0, len(rows.order), most)):
        name = f"{part}/part-{number:05d}.parquet"
        some = rows.order[start : start + most]
        written = write_table(str(folder / "manifest" / name), rows.table(some))
        files.append({"name": name, "rows": len(some), "bytes": written.bytes, "sha256": written.sha256})
    names = [str(folder / "manifest" / file["name"]) for file in files]

    def column(name: str) -> Any:
        return (chunk for path in names for chunk in pq.ParquetFile(path).read([name])[name].chunks)

    return {"files": files, "content_sha256": content_sha256_of(len(rows.order), column, schema_of(part))}


def write_copy(folder: Path, made: dict[str, Copies], number: int) -> Table:
    """Write the sweep file of a copy, and describe it."""
    tables = [copies.table(np.flatnonzero(copies.number == number)) for copies in made.values()]
    path = folder / "sweeps" / sweep_name(cell_of(number))
    table = pa.concat_tables([one.select(ANNOTATED_SCHEMA.names) for one in tables])
    write_sweep(path, table)
    info = storage.stat(str(path))
    return {
        "uri": info.uri, "size": info.size, "etag": info.etag, "rows": len(table), "release": 10002,
        "row_bytes": sweep_dtype().itemsize,
    }  # fmt: skip


def add_lenses(folder: Path, described: Table) -> None:
    """Put a catalogue of the positives, and of lenses clear of every negative, in the place of the run's."""
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, LENSES), np.degrees(np.arcsin(rng.uniform(-1, 1, LENSES)))
    clear = np.ones(LENSES, dtype=bool)
    positives = pq.read_table(folder / "manifest" / "positives", columns=["lens_name", "ra", "dec"])
    for file in described["negatives"]["files"]:
        rows = pq.read_table(folder / "manifest" / file["name"], columns=["ra", "dec"])
        there = rows["ra"].to_numpy(), rows["dec"].to_numpy()
        clear &= ~near_any(ra, dec, *there, CONFIG.exclusion.known_lens_radius_arcsec)
    path = folder / "lenses.csv"
    others = pa.table(
        {"lens_name": [f"L{i}" for i in np.flatnonzero(clear)], "ra": ra[clear], "dec": dec[clear]}
    )
    lenses = pa.concat_tables([positives.cast(others.schema), others])
    pyarrow.csv.write_csv(lenses.rename_columns(["name", "ra", "dec"]), path)
    [source, *_] = described["run"]["catalogs"]
    sha256 = storage.sha256(str(path), path.stat().st_size)
    changed = {"sha256": sha256, "spec": {"uri": str(path)}}
    described["run"]["catalogs"] = [{**source, **changed}]


def audit_it(folder: Path, warnings: tuple[str, ...] = ()) -> None:
    """Audit the manifest; every check must pass, or the time means nothing."""
    sweeps = str(folder / "sweeps")
    found = audit_published(Manifest.open(folder / "manifest"), None if warnings else sweeps)
    record = Gate.of(4, found.checks).as_json()
    failed = [c for c in record["checks"] if not c["passed"] and c["name"] not in warnings]
    if failed:
        raise BenchmarkError(f"the audit found faults: {failed}")


def read_it(folder: Path) -> None:
    """Read every column of the same files."""
    for part in PARTS:
        for path in sorted((folder / "manifest" / part).iterdir()):
            pq.read_table(path)


def worker(folder: str) -> Table:
    """Audit a manifest without sweep files in this process."""
    audit_it(Path(folder), ("sweeps_at_hand",))
    return {}


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
    rows = sum(pq.read_metadata(path).num_rows for p in PARTS for path in (folder / "manifest" / p).iterdir())
    sizes = (20_000, 40_000) if arguments.quick else MEMORY_ROWS
    peaks = {
        n: harness.run_worker(__file__, "audit", folder=str(make_manifest(base_manifest(), n, sweeps=False)))
        for n in sizes
    }
    harness.report(
        {
            "rows": rows,
            "bytes": sum(path.stat().st_size for p in PARTS for path in (folder / "manifest" / p).iterdir()),
            "sweep_files": len(list((folder / "sweeps").iterdir())),
            "seconds": {name: harness.spread(values) for name, values in times.items()},
            "audit_over_read": harness.ratio(times, "audit", "read"),
            "memory_peak_bytes": {n: peak["peak_rss"] for n, peak in peaks.items()},
        },
        arguments.out,
    )


if __name__ == "__main__":
    harness.serve({"audit": worker})
    main()
