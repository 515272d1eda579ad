"""Writing the made-up rows as sweep files: FITS as the survey lays it out, or Parquet."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from gzip import GzipFile
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from lensneg.mocksky.rows import FilePlan, Rows, row_chunks
from lensneg.schema.sweep_columns import MASKBITS, SWEEP_COLUMNS, SWEEP_EXTNAME, SweepColumn, tform_dtype

#: The first release of DR10. Earlier ones have no i band, and 16 bits of masks.
_DR10: Final = 10000

#: Rows of a row group of a Parquet file.
_GROUP_ROWS: Final = 1 << 16


@lru_cache(maxsize=2)
def columns_of(dr10: bool) -> tuple[SweepColumn, ...]:
    """Return the columns of a sweep file of DR10, or of DR9: 115 columns, a row of 449 bytes."""
    if dr10:
        return SWEEP_COLUMNS
    kept = (column for column in SWEEP_COLUMNS if not column.name.endswith("_I"))
    return tuple(column._replace(tform="I") if column.name == "MASKBITS" else column for column in kept)


def file_chunks(plan: FilePlan) -> Iterator[Rows]:
    """Yield a file's rows in chunks, in the columns of its release. A chunk's buffer may be reused."""
    if is_dr10(plan):
        yield from row_chunks(plan)
        return
    dtype = np.dtype([(column.name, tform_dtype(column.tform)) for column in columns_of(False)])
    for chunk in row_chunks(plan):
        rows = np.empty(len(chunk), dtype)
        for name in dtype.names or ():
            rows[name] = chunk[name] & 0x3FFF if name == "MASKBITS" else chunk[name]
        yield rows


def file_rows(plan: FilePlan) -> Rows:
    """Return all rows of a file, in the columns of its release."""
    chunks = [(chunk.tobytes(), chunk.dtype) for chunk in file_chunks(plan)]
    return np.frombuffer(b"".join(data for data, _ in chunks), chunks[0][1])


def is_dr10(plan: FilePlan) -> bool:
    """Return whether a file has the columns of DR10: it does if one of its releases is DR10 or later."""
    return max(plan.releases) >= _DR10


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Give the path of a hidden file, which gets its name when it is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _header(plan: FilePlan, columns: tuple[SweepColumn, ...], row_bytes: int) -> bytes:
    """Return both headers of a sweep file: that of the empty primary HDU, and the table's."""
    primary = fits.Header({"SIMPLE": True, "BITPIX": 16, "NAXIS": 0, "EXTEND": True})
    table = fits.Header({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2})
    table.update({"NAXIS1": row_bytes, "NAXIS2": plan.rows, "PCOUNT": 0, "GCOUNT": 1})
    table["TFIELDS"] = len(columns)
    for i, column in enumerate(columns, 1):
        table[f"TTYPE{i}"] = column.name
        table[f"TFORM{i}"] = column.tform
        if column.unit:
            table[f"TUNIT{i}"] = column.unit
    table["EXTNAME"] = SWEEP_EXTNAME
    for header in (primary, table):
        header.update({"RAMIN": plan.cell.ra_min, "DECMIN": plan.cell.dec_min})
        header.update({"RAMAX": plan.cell.ra_max, "DECMAX": plan.cell.dec_max})
        header.update({"SURVEYDR": f"DR{max(plan.releases) // 1000}", "EQUINOX": 2000.0, "RADESYS": "ICRS"})
        header.update({f"MBIT_{bit}": name for name, bit in MASKBITS.items() if bit < 14 or is_dr10(plan)})
        header["MOCK"] = (True, "written by lensneg: no data of the survey")
        header["MOCKSEED"] = plan.seed
    return bytes((primary.tostring() + table.tostring()).encode("ascii"))


def write_fits(plan: FilePlan) -> tuple[str, int]:
    """Write a sweep file in FITS, gzipped if its name ends so, and return its path and size."""
    columns = columns_of(is_dr10(plan))
    row_bytes = sum(tform_dtype(column.tform).itemsize for column in columns)
    header = _header(plan, columns, row_bytes)
    path = Path(plan.path)
    with (
        complete_file(path) as part,
        open(part, "wb") as raw,
        # No name and no time in gzip's header: the same sky has the same bytes.
        GzipFile("", "wb", 1, raw, mtime=0) if path.suffix == ".gz" else raw as file,
    ):
        file.write(header)
        for chunk in file_chunks(plan):
            file.write(memoryview(chunk.view(np.uint8).data))
        file.write(bytes(-(len(header) + plan.rows * row_bytes) % 2880))
    return plan.path, path.stat().st_size


def arrow_table(rows: Rows) -> pa.Table:
    """Return rows as an Arrow table: vectors as lists, texts as strings, and FITS's logical as booleans."""
    arrays: dict[str, pa.Array] = {}
    for name in rows.dtype.names or ():
        values = rows[name]
        if values.ndim == 2:
            flat = pa.array(np.ascontiguousarray(values).ravel().astype(values.dtype.newbyteorder("=")))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        elif name == "GAIA_DUPLICATED_SOURCE":
            arrays[name] = pa.array(values == b"T")
        elif values.dtype.kind == "S":
            arrays[name] = pa.array(np.ascontiguousarray(values)).cast(pa.string())
        else:
            arrays[name] = pa.array(values.astype(values.dtype.newbyteorder("=")))
    return pa.table(arrays)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file with the encodings of hats: noise in floating point has no dictionary."""
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    others = [field.name for field in table.schema if pa.types.is_string(field.type)]
    with complete_file(path) as part:
        pq.write_table(
            table,
            part,
            row_group_size=_GROUP_ROWS,
            compression="zstd",
            use_dictionary=others,
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )


def write_parquet(plan: FilePlan) -> tuple[str, int]:
    """Write a sweep file in Parquet, with its columns and rows in order, and return its path and size."""
    path = Path(plan.path)
    write_table(arrow_table(file_rows(plan)), path)
    return plan.path, path.stat().st_size
