"""Sweep files by name and size: what a run has to read."""

import re
from dataclasses import dataclass
from typing import Final

from lensneg import storage
from lensneg.cost.rates import RatesFile
from lensneg.errors import InputError
from lensneg.schema.run import SweepInput
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.survey.listing import list_sweep_folder
from lensneg.survey.names import Cell, sweep_cell
from lensneg.survey.releases import RELEASE_NAME, release_cells

#: Bytes of a row of a sweep file, and about those of its headers: 16 blocks of FITS.
ROW_BYTES: Final = sweep_dtype().itemsize
HEADER_BYTES: Final = 16 * 2880


@dataclass(frozen=True)
class Listing:
    """Sweep files.

    Attributes
    ----------
    source : str
        Where the names come from.
    sweeps : tuple of SweepInput
        Ordered by name.
    modelled : int
        Files whose size was not given.
    ignored : int
        Entries that are not sweep files.
    """

    source: str
    sweeps: tuple[SweepInput, ...]
    modelled: int = 0
    ignored: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of all files as they are stored."""
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
    >>> from lensneg.cost.rates import load_rates
    >>> len(list_release(load_rates()).sweeps)
    1436
    """
    return _listing([(name, None) for name in release_cells()], RELEASE_NAME, known)


def list_sweeps(uri: str, known: RatesFile) -> Listing:
    """List the sweep files below a folder or an s3:// prefix.

    Parameters
    ----------
    uri : str
    known : RatesFile
        How much gzip saves.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        If there is no such folder, or no sweep file in it, or a cell of the sky twice.
    """
    found = list_sweep_folder(uri, "--sweeps")
    return _listing([(info.uri, info.size) for info in found], storage.normalize(uri), known)


def parse_listing(text: str, source: str, known: RatesFile) -> Listing:
    """Read a listing: a name a line, with the file's bytes in a second column where they are known.

    Parameters
    ----------
    text : str
        Empty lines and lines that start with ``#`` are skipped.
    source : str
        Where the text comes from; named in errors.
    known : RatesFile
        A file without a size gets the one that is known of it, or the mean of the others.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        If a size is no number, a cell of the sky is listed twice, or there is no sweep file at all.
    """
    entries: list[tuple[str, int | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        name, *sizes = line.split() or ["#"]
        if name.startswith("#"):
            continue
        if len(sizes) > 1 or not all(re.fullmatch("[1-9][0-9]{0,17}", size) for size in sizes):
            fault = f"got {line.strip()!r:.80}; expected NAME or NAME BYTES"
            raise InputError(fault, where=f"{source}, line {number}", remedy="give BYTES as a whole number")
        entries.append((name, int(sizes[0]) if sizes else None))
    return _listing(entries, source, known)


def _listing(entries: list[tuple[str, int | None]], source: str, known: RatesFile) -> Listing:
    sweeps: dict[Cell, SweepInput] = {}
    modelled = 0
    for uri, size in entries:
        name = storage.basename(uri)
        cell = sweep_cell(name)
        if cell in sweeps:
            fault = f"{name}: its cell of the sky is listed twice"
            raise InputError(fault, where=source, remedy="remove one of the two")
        if cell is not None:
            sweeps[cell] = _sweep(name, size, known)
            modelled += size is None
    if not sweeps:
        fault = f"no sweep file among {len(entries):,} entries"
        raise InputError(fault, where=source, remedy="give names like sweep-AAAcBBB-DDDcEEE.fits")
    ordered = sorted(sweeps.values(), key=lambda sweep: sweep.uri)
    return Listing(source, tuple(ordered), modelled, len(entries) - len(sweeps))


def _sweep(name: str, size: int | None, known: RatesFile) -> SweepInput:
    ratio = known.rates.gzip_ratio if name.endswith(".gz") else 1.0
    modelled = known.sweeps.known_bytes.get(name.removesuffix(".gz"), known.sweeps.other_bytes)
    plain, stored = (modelled, int(modelled * ratio)) if size is None else (int(size / ratio), size)
    rows = max(0, plain - HEADER_BYTES) // ROW_BYTES
    return SweepInput(uri=name, size=stored, etag="", rows=rows, release=0, row_bytes=ROW_BYTES)
