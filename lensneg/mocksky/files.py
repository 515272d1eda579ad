"""Sweep files: FITS headers and rows to the disk, whole or not at all."""

import gzip
import os
from pathlib import Path

from astropy.io import fits

from lensneg.mocksky.rows import FilePlan, row_chunks
from lensneg.schema.sweep_columns import MASKBITS, SWEEP_COLUMNS, SWEEP_EXTNAME, sweep_dtype


def _header(plan: FilePlan) -> bytes:
    """Return both header units: an empty primary HDU, and the table's."""
    primary = fits.Header({"SIMPLE": True, "BITPIX": 16, "NAXIS": 0, "EXTEND": True})
    table = fits.Header({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2})
    table.update({"NAXIS1": sweep_dtype().itemsize, "NAXIS2": plan.rows, "PCOUNT": 0, "GCOUNT": 1})
    table["TFIELDS"] = len(SWEEP_COLUMNS)
    for i, column in enumerate(SWEEP_COLUMNS, 1):
        table[f"TTYPE{i}"] = column.name
        table[f"TFORM{i}"] = column.tform
        if column.unit:
            table[f"TUNIT{i}"] = column.unit
    table["EXTNAME"] = SWEEP_EXTNAME
    for header in (primary, table):
        header.update({"RAMIN": plan.cell.ra_min, "DECMIN": plan.cell.dec_min})
        header.update({"RAMAX": plan.cell.ra_max, "DECMAX": plan.cell.dec_max})
        header.update({"SURVEYDR": "DR10", "EQUINOX": 2000.0, "RADESYS": "ICRS"})
        header.update({f"MBIT_{bit}": name for name, bit in MASKBITS.items()})
        header["MOCK"] = (True, "written by lensneg: no data of the survey")
        header["MOCKSEED"] = plan.seed
    return bytes((primary.tostring() + table.tostring()).encode("ascii"))


def write_file(plan: FilePlan) -> tuple[str, int]:
    """Write a sweep file, which gets its name only once it is whole; return its path and size."""
    header = _header(plan)
    size = len(header) + plan.rows * sweep_dtype().itemsize
    path = Path(plan.path)
    part = path.with_name(f".{path.name}.part")
    try:
        with (
            open(part, "wb") as raw,
            # Neither name nor time in the header: the same sky has the same bytes.
            gzip.GzipFile("", "wb", 1, raw, mtime=0) if path.suffix == ".gz" else raw as file,
        ):
            file.write(header)
            for chunk in row_chunks(plan):
                file.write(chunk)
            file.write(bytes(-size % 2880))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return plan.path, path.stat().st_size
