"""The survey's ``-pz`` files: photometric redshifts, row by row beside a sweep file.

DR9 and DR10 have one for each sweep file, in a folder of its own.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import COLUMNS
from lensneg.schema.item import Item
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.fits_rows import iter_rows, probe_sweep
from lensneg.survey.names import sweep_cell, sweep_name
from lensneg.survey.row_gatherer import Chunk

#: The columns that say which source a row is, in both files.
IDENTITY: Final = ("RELEASE", "BRICKID", "OBJID")

#: The columns that a manifest has of a ``-pz`` file.
PHOTO_Z: Final = tuple(column.pz for column in COLUMNS if column.pz is not None)

_MODEL: Final = np.dtype(
    [("RELEASE", ">i2"), ("BRICKID", ">i4"), ("OBJID", ">i4"), *((n, ">f4") for n in PHOTO_Z)]
)

_REMEDY: Final = "fetch the survey's -pz file of this sweep file, of the same release"


def pz_name(sweep: str) -> str | None:
    """Return the name of the ``-pz`` file of a sweep file.

    Parameters
    ----------
    sweep : str
        The sweep file's name.

    Returns
    -------
    str or None
        None for a table, which has none.

    Examples
    --------
    >>> pz_name("sweep-175m005-180p000.fits.gz")
    'sweep-175m005-180p000-pz.fits'
    """
    cell = sweep_cell(sweep)
    return None if cell is None else sweep_name(cell).replace(".fits", "-pz.fits")


def probe_pz(info: storage.FileInfo) -> SweepFile:
    """Check a ``-pz`` file and return its layout.

    Parameters
    ----------
    info : FileInfo
        The stored file.

    Returns
    -------
    SweepFile

    Raises
    ------
    SweepError
        If it is damaged, or lacks a column.
    """
    try:
        return probe_sweep(info, (*IDENTITY, *PHOTO_Z), _MODEL)
    except SweepError as error:
        raise SweepError(error.what, where=info.uri, remedy=_REMEDY) from error


def pz_fault(sweep: SweepFile, pz: SweepFile) -> str:
    """Return why a ``-pz`` file does not belong to a sweep file. The map compares every row.

    Parameters
    ----------
    sweep, pz : SweepFile
        Both files.

    Returns
    -------
    str
        Empty if the numbers of rows agree, and the first and the last row of plain files.
    """
    if sweep.n_rows != pz.n_rows:
        return f"it has {pz.n_rows:,} rows, and the sweep file has {sweep.n_rows:,}"
    if sweep.uri.endswith(".gz"):
        return ""
    for row in {0, sweep.n_rows - 1} if sweep.n_rows else set[int]():
        one, other = (_identity(file, row) for file in (sweep, pz))
        if one != other:
            return f"row {row:,} is {_said(other)}, and in the sweep file {_said(one)}"
    return ""


def _identity(file: SweepFile, row: int) -> tuple[int, ...]:
    data = storage.read_bytes(file.uri, file.data_start + row * file.row_bytes, file.row_bytes)
    values = np.frombuffer(data, file.dtype)[0]
    return tuple(int(values[name]) for name in IDENTITY)


def _said(identity: tuple[int, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(IDENTITY, identity, strict=True))


class WithPhotoZ:
    """The rows of an item with those of its ``-pz`` file beside them.

    Parameters
    ----------
    item : Item
        It names the ``-pz`` file.
    file : SweepFile
        The item's sweep file.
    needed : tuple of str
        The columns of the sweep file that are needed.

    Attributes
    ----------
    dtype : numpy.dtype
        A row of both files: the needed columns, and those of ``PHOTO_Z``.

    Raises
    ------
    SweepError
        If the ``-pz`` file is not the one that was planned, or has another number of rows.
    """

    def __init__(self, item: Item, file: SweepFile, needed: tuple[str, ...]) -> None:
        assert item.pz is not None
        self._item, self._needed = item, needed
        info = storage.stat(item.pz.uri)
        if (info.size, info.etag) != (item.pz.size, item.pz.etag):
            what = "the file changed after the run was planned"
            raise SweepError(what, where=item.pz.uri, remedy="start a new run")
        self._pz = probe_pz(info)
        if self._pz.n_rows != file.n_rows:
            raise SweepError(pz_fault(file, self._pz), where=item.pz.uri, remedy=_REMEDY)
        fields = [(name, file.dtype[name]) for name in needed]
        self.dtype = np.dtype([*fields, *((name, self._pz.dtype[name]) for name in PHOTO_Z)])

    def beside(self, chunks: Iterator[tuple[int, Chunk]]) -> Iterator[tuple[int, Chunk]]:
        """Iterate over chunks of the sweep file, each with the same rows of the ``-pz`` file.

        Parameters
        ----------
        chunks : iterator of (int, Chunk)
            The item's chunks.

        Yields
        ------
        (int, Chunk)
            The first row of a chunk, and its columns.

        Raises
        ------
        SweepError
            If a row is another source in the ``-pz`` file.
        """
        others = iter_rows(self._pz, self._item.first_row, self._item.n_rows)
        for (start, chunk), (_, other) in zip(chunks, others, strict=True):
            for name in IDENTITY:
                unlike = np.flatnonzero(chunk[name] != other[name])
                if len(unlike):
                    i = int(unlike[0])
                    values = f"{name} {other[name][i]}, and in the sweep file {chunk[name][i]}"
                    what = f"row {start + i:,} has {values}"
                    raise SweepError(what, where=self._pz.uri, remedy=_REMEDY)
            yield start, {n: chunk[n] for n in self._needed} | {n: other[n] for n in PHOTO_Z}
