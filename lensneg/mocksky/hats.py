"""Writing the made-up rows as a HATS catalogue, laid out as hats-import lays it out.

A partition is a HEALPix pixel, of the lowest order at which it holds no more than a number of rows. Its rows
are ordered by their pixel of order 29. Source: hats-import 0.11 (catalog/run_import.py, map_reduce.py) and
hats (io/paths.py, catalog/dataset/table_properties.py). The date of creation is left out, as a sky depends on
its arguments alone.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lensneg.mocksky.population import IntArray
from lensneg.mocksky.rows import FilePlan, Rows
from lensneg.mocksky.sweep_files import arrow_table, file_rows, write_table
from lensneg.rules.sky import healpix_pixel

#: The order of the pixels that rows are ordered by, and the column that holds them.
_ORDER: Final = 29
_INDEX: Final = "_healpix_29"

#: Rows of the largest partition. hats-import has a million by default, for larger catalogues.
_MAX_ROWS: Final = 100_000


def _partitions(
    index: IntArray, order: int = 0, pixel: int | None = None
) -> Iterator[tuple[int, int, slice]]:
    """Yield order, pixel and rows of each partition, of an index in ascending order."""
    if pixel is None:
        for base in range(12):
            yield from _partitions(index, 0, base)
        return
    width = 4 ** (_ORDER - order)
    begin, end = np.searchsorted(index, [pixel * width, (pixel + 1) * width]).tolist()
    if 0 < end - begin <= _MAX_ROWS or (order == _ORDER and begin < end):
        yield order, pixel, slice(begin, end)
    elif begin < end:
        for child in range(4 * pixel, 4 * pixel + 4):
            yield from _partitions(index, order + 1, child)


def _spooled(plan: FilePlan, folder: Path) -> tuple[Rows, IntArray]:
    """Write a file's rows to disk, ordered by pixel, and return them and their pixels."""
    rows = file_rows(plan)
    index = healpix_pixel(1 << _ORDER, rows["RA"], rows["DEC"])
    order = np.argsort(index, kind="stable")
    path = folder / f"{Path(plan.path).stem}.npy"
    # As bytes, since numpy copies structured rows field by field.
    np.save(path, rows.view((np.uint8, rows.itemsize))[order])
    return np.load(path, mmap_mode="r").view(rows.dtype)[:, 0], index[order]


def write_hats(root: Path, plans: list[FilePlan], name: str) -> Iterator[tuple[str, int]]:
    """Write the rows of all files as a HATS catalogue, and yield path and size of each partition.

    Parameters
    ----------
    root : Path
        The catalogue's folder.
    plans : list of FilePlan
        The files whose rows it holds.
    name : str
        The catalogue's name.

    Yields
    ------
    path : str
        A partition's file.
    size : int
        Its bytes.
    """
    footers, pixels, dataset = [], [], root / "dataset"
    with tempfile.TemporaryDirectory(dir=root, prefix=".spool-") as spool:
        files = [_spooled(plan, Path(spool)) for plan in plans]
        every = np.sort(np.concatenate([index for _, index in files]))
        for order, pixel, span in _partitions(every):
            low, high = every[span.start], every[span.stop - 1]
            table = pa.concat_tables([_part(*file, low, high) for file in files]).sort_by(_INDEX)
            relative = f"Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet"
            path = dataset / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(table, path)
            footer = pq.read_metadata(path)
            footer.set_file_path(relative)
            footers.append(footer)
            pixels.append((order, pixel))
            yield str(path), path.stat().st_size
    schema = footers[0].schema.to_arrow_schema()
    pq.write_metadata(schema, dataset / "_common_metadata")
    pq.write_metadata(schema, dataset / "_metadata", metadata_collector=footers)
    lines = ["Norder,Npix", *(f"{order},{pixel}" for order, pixel in pixels)]
    (root / "partition_info.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    properties = {
        "obs_collection": name,
        "dataproduct_type": "object",
        "hats_nrows": len(every),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": _INDEX,
        "hats_col_healpix_order": _ORDER,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": _MAX_ROWS,
        "hats_order": max(order for order, _ in pixels),
        "hats_builder": "lensneg mock-sky",
        "hats_version": "v1.0",
    }
    lines = ["#HATS catalog", *(f"{key}={value}" for key, value in properties.items())]
    for file_name in ("hats.properties", "properties"):
        (root / file_name).write_text("\n".join(lines) + "\n", encoding="ascii")


def _part(rows: Rows, index: IntArray, low: int, high: int) -> pa.Table:
    """Return a file's rows with pixels from ``low`` to ``high``, in lower-case columns."""
    here = slice(np.searchsorted(index, low), np.searchsorted(index, high, side="right"))
    table = arrow_table(rows[here])
    table = table.rename_columns([column.lower() for column in table.column_names])
    return table.add_column(0, _INDEX, pa.array(index[here]))
