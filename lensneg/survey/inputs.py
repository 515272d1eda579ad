"""The rows of an input of a run, whichever kind it is: a sweep file, or a table in its place."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.fits_rows import iter_rows, probe_sweep
from lensneg.survey.names import is_table
from lensneg.survey.parquet_rows import RowGroup
from lensneg.survey.row_gatherer import Chunk
from lensneg.survey.table_rows import iter_table, probe_table, table_row_groups


def probe_input(info: storage.FileInfo, needed: tuple[str, ...] = NEEDED_COLUMNS) -> SweepFile:
    """Check an input and return its layout.

    Parameters
    ----------
    info : FileInfo
        The stored file.
    needed : tuple of str
        The columns that it must have, by upper-case name.

    Returns
    -------
    SweepFile

    Raises
    ------
    SweepError
        As for :func:`~lensneg.survey.fits_rows.probe_sweep` and
        :func:`~lensneg.survey.table_rows.probe_table`.
    """
    return probe_table(info, needed) if is_table(info.uri) else probe_sweep(info, needed)


def iter_input(
    file: SweepFile, first_row: int, n_rows: int, left_out: Collection[int] = ()
) -> Iterator[tuple[int, Chunk]]:
    """Iterate over an input's rows in chunks.

    Parameters
    ----------
    file : SweepFile
        The input, as :func:`probe_input` returned it.
    first_row, n_rows : int
        The rows to read: of a table all of them.
    left_out : collection of int
        Numbers of a table's row groups that are not read.

    Returns
    -------
    iterator of (int, Chunk)
        The first row of each chunk, and the chunk.

    Raises
    ------
    SweepError
        As for :func:`~lensneg.survey.fits_rows.iter_rows` and
        :func:`~lensneg.survey.table_rows.iter_table`.
    """
    return iter_table(file, left_out) if is_table(file.uri) else iter_rows(file, first_row, n_rows)


def check_left_out(file: SweepFile, groups: Sequence[RowGroup]) -> int:
    """Read the positions of row groups that are to be left out, and compare them with the footer.

    A footer has no checksum. If it is damaged, it may say of a row group that it lies elsewhere.

    Parameters
    ----------
    file : SweepFile
        A Parquet file.
    groups : sequence of RowGroup
        Those of its row groups that are to be left out, with known bounds. Of their columns RA and DEC alone
        are read.

    Returns
    -------
    int
        The bytes read.

    Raises
    ------
    SweepError
        If a row is not within the bounds of its row group.
    """
    positions = replace(file, dtype=file.dtype[["RA", "DEC"]])
    everything = table_row_groups(positions)
    for group in groups:
        others = {other.number for other in everything} - {group.number}
        for start, chunk in iter_table(positions, others):
            for name, bounds in (("RA", group.ra), ("DEC", group.dec)):
                low, high = bounds or (-np.inf, np.inf)
                beyond = np.flatnonzero((chunk[name] < low) | (chunk[name] > high))
                if len(beyond):
                    what = (
                        f"row {start + beyond[0]:,} has {name} {chunk[name][beyond[0]]}, and the footer says "
                    )
                    what += f"that row group {group.number} has {low} to {high}: it is damaged"
                    raise SweepError(what, where=file.uri, remedy="copy the file again, or write it again")
    return sum(everything[group.number].n_bytes for group in groups)
