"""Listings of sweep files: the names and sizes of the files that a run reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lensneg import storage
from lensneg.cost.tables import RatesFile
from lensneg.errors import InputError
from lensneg.schema.run import SweepInput
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.survey.listing import list_sweep_folder
from lensneg.survey.names import Cell, is_gzipped, sweep_cell
from lensneg.survey.releases import RELEASE_NAME, SIDE, release_cells

#: Bytes of a row of a sweep file.
ROW_BYTES: Final = sweep_dtype().itemsize

#: About the bytes of a sweep file's headers: 16 blocks of FITS.
_HEADER_BYTES: Final = 16 * 2880


@dataclass(frozen=True)
class Listing:
    """Sweep files.

    Attributes
    ----------
    source : str
        Where the names come from.
    sweeps : tuple of SweepInput
        The files, ordered by name.
    modelled : int
        Number of files whose size was not given.
    ignored : int
        Number of entries that are not sweep files.
    """

    source: str
    sweeps: tuple[SweepInput, ...]
    modelled: int = 0
    ignored: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of all files, as they are stored."""
        return sum(sweep.size for sweep in self.sweeps)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(sweep.rows for sweep in self.sweeps)


def list_release(known: RatesFile) -> Listing:
    """List all sweep files of the release.

    Parameters
    ----------
    known : RatesFile
        The sizes of the files.

    Returns
    -------
    Listing

    Examples
    --------
    >>> from lensneg.cost.tables import load_rates
    >>> len(list_release(load_rates()).sweeps)
    1436
    """
    return listing_of([(name, None) for name in release_cells()], RELEASE_NAME, known)


def list_sweeps(uri: str, known: RatesFile) -> Listing:
    """List the sweep files below a folder or an s3:// prefix.

    Parameters
    ----------
    uri : str
        The folder.
    known : RatesFile
        The size of a gzipped file over that of the file.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        If there is no such folder, or no sweep file in it, or a cell of the sky twice.
    """
    found = list_sweep_folder(uri, "--sweeps")
    return listing_of([(info.uri, info.size) for info in found], storage.normalize(uri), known)


def parse_listing(text: str, source: str, known: RatesFile) -> Listing:
    """Read a listing.

    Parameters
    ----------
    text : str
        A file name in each line, and its bytes in a second column if they are known. Empty lines, and what
        follows ``#``, are skipped.
    source : str
        Where the text comes from; errors name it.
    known : RatesFile
        The sizes of files that are listed without one.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        If a size is no number, a cell of the sky is listed twice, or there is no sweep file.
    """
    entries: list[tuple[str, int | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, *sizes = words
        if len(sizes) > 1 or not all(re.fullmatch("[1-9][0-9]{0,17}", size) for size in sizes):
            what = f"got {line.strip()!r:.80}; expected NAME or NAME BYTES"
            raise InputError(what, where=f"{source}, line {number}", remedy="give BYTES as a whole number")
        entries.append((name, int(sizes[0]) if sizes else None))
    return listing_of(entries, source, known)


def listing_of(entries: Sequence[tuple[str, int | None]], source: str, known: RatesFile) -> Listing:
    """Make the listing of some entries.

    Parameters
    ----------
    entries : sequence of (str, int or None)
        Name or URI of each file, and its bytes if they are known. What is not a sweep file is ignored.
    source : str
        Where the entries come from; errors name it.
    known : RatesFile
        A file without a size gets the size that is known for its name, or the mean of the others of DR10.1,
        as many times as its cell is larger.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        If a cell of the sky is listed twice, or there is no sweep file.
    """
    sweeps: dict[Cell, SweepInput] = {}
    modelled = 0
    for uri, size in entries:
        name = storage.basename(uri)
        cell = sweep_cell(name)
        if cell in sweeps:
            what = f"{name}: its cell of the sky is listed twice"
            raise InputError(what, where=source, remedy="remove one of the two")
        if cell is not None:
            sweeps[cell] = _sweep(name, cell, size, known)
            modelled += size is None
    if not sweeps:
        what = f"no sweep file among {len(entries):,} entries"
        raise InputError(what, where=source, remedy="give names like sweep-AAAcBBB-DDDcEEE.fits")
    ordered = sorted(sweeps.values(), key=lambda sweep: sweep.uri)
    return Listing(source, tuple(ordered), modelled, len(entries) - len(sweeps))


def _sweep(name: str, cell: Cell, size: int | None, known: RatesFile) -> SweepInput:
    ratio = known.rates.gzip_ratio if is_gzipped(name) else 1.0
    cells = (cell.ra_max - cell.ra_min) * (cell.dec_max - cell.dec_min) / SIDE**2  # of DR9 two
    mean = round(known.sweeps.other_bytes * cells)
    modelled = known.sweeps.known_bytes.get(name.removesuffix(".gz"), mean)
    plain, stored = (modelled, int(modelled * ratio)) if size is None else (int(size / ratio), size)
    rows = max(0, plain - _HEADER_BYTES) // ROW_BYTES
    return SweepInput(uri=name, size=stored, etag="", rows=rows, release=0, row_bytes=ROW_BYTES)
