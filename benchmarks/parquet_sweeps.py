"""The map over Parquet beside the map over the sweep file of the same rows: cold, on one core, and from S3.

The Parquet file has all columns of the sweep file but DCHISQ, encoded as hats-import 0.11 writes a partition.
*cold* drops the file from this machine's page cache before each turn. A virtual machine's host may still hold
it, so the bytes that are read are given too. *S3* is a server of files on another core. *Arrow alone* decodes
the needed columns and does nothing with them: no reader of this file by Arrow takes less.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import map_stage
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from harness import BenchmarkError, ratio, spread, take_turns, timed
from map_stage import Planned

from lensneg.schema.columns import NEEDED_COLUMNS

#: Rows of the file.
ROWS, QUICK_ROWS = 1_000_000, 50_000


def parquet_of(sky: Path) -> Path:
    """Return the Parquet file of a sky's sweep file, under its name."""
    source = map_stage.sweep_of(sky)

    def make(folder: Path) -> None:
        with fits.open(source, memmap=True) as hdus:
            rows = hdus[1].data
            names = [name for name in rows.names if name != "DCHISQ"]
            columns = {name: pa.array(map_stage.native(np.asarray(rows[name]))) for name in names}
        table = pa.table(columns)
        floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
        pq.write_table(
            table,
            folder / f"{source.stem}.parquet",
            compression="zstd",
            row_group_size=len(table),
            use_dictionary=[name for name in names if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )

    folder = harness.prepared(harness.SCRATCH / f"parquet-{sky.name}", [Path(__file__)], make)
    return folder / f"{source.stem}.parquet"


def cold(path: Path, work: Callable[[], float]) -> Callable[[], float]:
    """Return work that begins without the file in the page cache."""

    def timed() -> float:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return work()

    return timed


def decode(table: Path) -> None:
    """Decode the needed columns as the map's reader does, and do nothing with them."""
    file = pq.ParquetFile(table, read_dictionary=["TYPE", "BRICKNAME"], pre_buffer=False)
    for _ in file.iter_batches(1 << 15, columns=list(NEEDED_COLUMNS), use_threads=False):
        pass


def measure(quick: bool) -> dict[str, Any]:
    """Run all of this module's measurements."""
    harness.one_core()
    rows, turns = (QUICK_ROWS, 2) if quick else (ROWS, 5)
    sky = harness.mock_sky(1, rows)
    source, table = map_stage.sweep_of(sky), parquet_of(sky)
    by_rows, by_columns = Planned.of(sky, "rows"), Planned.of(sky, "columns", str(table))
    if by_rows.filter() != by_columns.filter():
        raise BenchmarkError("a Parquet file gives other rows than the sweep file")
    times = take_turns(
        {
            "fits": cold(source, by_rows.timed),
            "parquet": cold(table, by_columns.timed),
            "fits_warm": by_rows.timed,
            "parquet_warm": by_columns.timed,
            "arrow_warm": lambda: timed(lambda: decode(table)),
        },
        turns,
        f"map of {rows:,} rows as Parquet",
    )
    read = by_columns.item.n_bytes / by_rows.item.n_bytes
    served = table.parent.parent / f"served-{sky.name}"
    for name, path in (("fits", source), ("parquet", table)):
        (served / name).mkdir(parents=True, exist_ok=True)
        if not (served / name / path.name).exists():
            os.link(path, served / name / path.name)
    with map_stage.s3_server(served):
        far = {name: Planned.of(sky, f"s3-{name}", f"s3://sky/{name}") for name in ("fits", "parquet")}
        from_s3 = take_turns(
            {name: planned.timed for name, planned in far.items()}, turns, f"map of {rows:,} rows in S3"
        )
    return {
        "turns": turns,
        "rows": rows,
        "bytes": {"fits": by_rows.item.n_bytes, "parquet": by_columns.item.n_bytes, "ratio": round(read, 3)},
        "seconds": {name: spread(values) for name, values in times.items()},
        "parquet_over_fits_cold": ratio(times, "parquet", "fits"),
        "parquet_over_fits_warm": ratio(times, "parquet_warm", "fits_warm"),
        "arrow_over_fits_warm": ratio(times, "arrow_warm", "fits_warm"),
        "s3_seconds": {name: spread(values) for name, values in from_s3.items()},
        "parquet_over_fits_s3": ratio(from_s3, "parquet", "fits"),
    }


if __name__ == "__main__":
    options = harness.arguments(__doc__.partition("\n")[0])
    harness.report(measure(options.quick), options.out)
