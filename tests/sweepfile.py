"""Small sweep files for the tests. Their headers are astropy's; the rows after them are numpy's."""

import gzip
import io
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from lensneg import storage
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.run import CodeInput, ConfigInput, Run, RunRecord
from lensneg.schema.sweep_columns import SWEEP_COLUMNS, SWEEP_EXTNAME, SweepColumn, sweep_dtype, tform_dtype
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.fits_rows import iter_rows, probe_sweep

Row = dict[str, Any]

ROW_BYTES = 505

#: The name of a file whose cell holds :data:`GALAXY`.
NAME = "sweep-150p000-155p005.fits"

#: A source that passes every cut of both configs and is in N1. Columns not named here are 0 or empty.
GALAXY: Row = {
    "RELEASE": 10002,
    "BRICKID": 336_000,
    "BRICKNAME": "1512p025",
    "OBJID": 1,
    "TYPE": "SER",
    "RA": 151.2,
    "DEC": 2.5,
    "EBV": 0.05,
    "FLUX_G": 20.0,
    "FLUX_R": 50.0,
    "FLUX_Z": 100.0,
    "FLUX_W1": 150.0,
    "NOBS_G": 4,
    "NOBS_R": 4,
    "NOBS_Z": 4,
    "PSFSIZE_G": 1.5,
    "PSFSIZE_R": 1.4,
    "PSFSIZE_Z": 1.3,
    "MW_TRANSMISSION_G": 0.85,
    "MW_TRANSMISSION_R": 0.9,
    "MW_TRANSMISSION_Z": 0.95,
    "SHAPE_R": 1.0,
    "SHAPE_E1": 0.1,
    "SHAPE_E2": 0.0,
    "SERSIC": 1.0,
}


def table(rows: Iterable[Row]) -> np.ndarray:
    """Rows of a DR10 sweep table: :data:`GALAXY`, with some columns changed in each row."""
    rows = list(rows)
    made = np.zeros(len(rows), dtype=sweep_dtype())
    made["GAIA_DUPLICATED_SOURCE"] = b"F"
    for i, changes in enumerate(rows):
        for column, value in {**GALAXY, **changes}.items():
            made[column][i] = value
    return made


def write_sweep(
    path: Path,
    rows: Iterable[Row],
    *,
    columns: Iterable[SweepColumn] = SWEEP_COLUMNS,
    lower: bool = False,
    extname: str = SWEEP_EXTNAME,
) -> str:
    """Write a sweep file, gzipped where its name ends in .gz, and return its path.

    Parameters
    ----------
    path : Path
    rows : iterable of dict
        As for :func:`table`.
    columns : iterable of SweepColumn
        Fewer, other or differently formatted columns than DR10's.
    lower : bool
        Name the columns in lower case, as Tractor brick files do.
    extname : str
    """
    columns = tuple(columns)
    data = table(rows)
    packed = np.zeros(len(data), dtype=[(c.name, tform_dtype(c.tform)) for c in columns])
    for name in set(packed.dtype.names) & set(data.dtype.names):
        packed[name] = data[name]
    rows_wanted = f"NAXIS2  = {len(packed):20}".encode()
    headers = _headers(columns, lower, extname).replace(f"NAXIS2  = {0:20}".encode(), rows_wanted)
    content = headers + packed.tobytes()
    content += bytes(-len(content) % 2880)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return str(path)


@lru_cache
def _headers(columns: tuple[SweepColumn, ...], lower: bool, extname: str) -> bytes:
    """The headers of a table without rows; astropy takes a quarter of a second for them."""
    made = [
        fits.Column(c.name.lower() if lower else c.name, format=c.tform, unit=c.unit or None) for c in columns
    ]
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made, name=extname)])
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


def put(uri: str, column: str, values: list[Any]) -> None:
    """Write a column's first values over those that a plain file has."""
    file, content = probe(uri), bytearray(Path(uri).read_bytes())
    rows = np.frombuffer(content, file.dtype, file.n_rows, file.data_start)
    rows[column][: len(values)] = values
    Path(uri).write_bytes(content)


def probe(uri: str) -> SweepFile:
    """What a look at a sweep file tells."""
    return probe_sweep(storage.stat(uri))


def read_column(uri: str, column: str = "OBJID", **some: int) -> list[Any]:
    """A column of a sweep file, or of a slice of it."""
    values: list[Any] = []
    for start, chunk in iter_rows(probe(uri), **some):
        assert start == some.get("first_row", 0) + len(values)
        values += chunk[column].tolist()
    return values


def run_of(config: Config, text: str, out: Path, ra: list[float], dec: list[float]) -> Run:
    """A planned run of no inputs, with positives at these positions."""
    record = RunRecord(
        run_id="one",
        mode="full",
        started_at="2025-01-01T00:00:00Z",
        out=str(out),
        config=ConfigInput(uri="config", sha256="0" * 64, text=text),
        code=CodeInput(pipeline_version="1", git_commit="0", code_version="1"),
        sweeps=(),
        ignored_files=0,
        catalogs=(),
    )
    n = len(ra)
    lenses = Lenses(np.array(ra), np.array(dec), np.full(n, True), ["L"] * n, np.zeros(n, np.int32))
    return Run(record, config, RunFiles(str(out), "one"), lenses)
