"""Writing the made-up rows as a HATS catalogue, laid out as hats-import lays it out."""

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
from lensneg.survey.hats_catalog import INDEX_COLUMN, INDEX_ORDER, catalog_files, partitions_of

#: Rows of the largest partition. hats-import has a million by default, for larger catalogues.
_MAX_ROWS: Final = 100_000


def _spooled(plan: FilePlan, folder: Path) -> tuple[Rows, IntArray]:
    """Write a file's rows to disk, ordered by pixel, and return them and their pixels."""
    rows = file_rows(plan)
    index = healpix_pixel(1 << INDEX_ORDER, rows["RA"], rows["DEC"])
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
    written, dataset = [], root / "dataset"
    with tempfile.TemporaryDirectory(dir=root, prefix=".spool-") as spool:
        files = [_spooled(plan, Path(spool)) for plan in plans]
        every = np.sort(np.concatenate([index for _, index in files]))
        for partition in partitions_of(lambda a, b: int(np.diff(every.searchsorted([a, b]))[0]), _MAX_ROWS):
            table = pa.concat_tables([_part(*file, partition.begin, partition.end) for file in files])
            path = dataset / partition.path
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(table.sort_by(INDEX_COLUMN), path)
            written.append((partition, pq.read_metadata(path)))
            yield str(path), path.stat().st_size
    for file in catalog_files(
        written, name=name, builder="lensneg mock-sky", rows=len(every), most=_MAX_ROWS
    ):
        (root / file.name).write_bytes(file.content)


def _part(rows: Rows, index: IntArray, begin: int, end: int) -> pa.Table:
    """Return a file's rows with pixels from ``begin`` up to ``end``, in lower-case columns."""
    here = slice(*np.searchsorted(index, [begin, end]))
    table = arrow_table(rows[here])
    table = table.rename_columns([column.lower() for column in table.column_names])
    return table.add_column(0, INDEX_COLUMN, pa.array(index[here]))
