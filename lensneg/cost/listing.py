"""What is to be done: sweep files by name and size, cut into map items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lensneg import storage
from lensneg.cost.inputs import HEADER_BYTES, ROW_BYTES, RatesFile, read_text, rows_of
from lensneg.errors import InputError
from lensneg.schema.config import ExecutionConfig
from lensneg.schema.run import SweepInput
from lensneg.survey.items import slices
from lensneg.survey.listing import list_sweep_folder
from lensneg.survey.names import sweep_cell
from lensneg.survey.releases import RELEASE_NAME, release_cells


@dataclass(frozen=True)
class Listing:
    """Sweep files by name.

    Attributes
    ----------
    source : str
    sweeps : tuple of SweepInput
        Ordered by name.
    modelled : int
        Files whose size was not given.
    ignored : int
        Entries that are not sweep files.
    """

    source: str
    sweeps: tuple[SweepInput, ...]
    modelled: int
    ignored: int

    @property
    def bytes(self) -> int:
        """Bytes of all files as they are stored."""
        return sum(sweep.size for sweep in self.sweeps)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(sweep.rows for sweep in self.sweeps)


def parse_listing(text: str, source: str, rates: RatesFile) -> Listing:
    """Read a listing: a name a line, with the file's bytes in a second column where they are known.

    Parameters
    ----------
    text : str
        Empty lines and lines that start with ``#`` are skipped.
    source : str
        Where the text comes from; named in errors.
    rates : RatesFile
        A file without a size gets the one that is known of it, or the mean of the others.

    Raises
    ------
    InputError
        If a size is no number, a cell of the sky is listed twice, or there is no sweep file at all.
    """
    entries: list[tuple[str, int | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:
            raise InputError(
                f"line {number}: got {line.strip()!r:.80}; expected NAME or NAME BYTES", where=source
            )
        if len(words) == 2 and not (words[1].isdecimal() and int(words[1]) > 0):
            raise InputError(
                f"line {number}: size: got {words[1]!r:.40}; expected bytes, a whole number above 0",
                where=source,
            )
        entries.append((words[0], int(words[1]) if len(words) == 2 else None))
    return _listing(entries, source, rates)


def read_listing(uri: str, rates: RatesFile) -> Listing:
    """Read a listing from a file; see :func:`parse_listing`."""
    return parse_listing(read_text(uri, "--listing"), uri, rates)


def list_release(rates: RatesFile) -> Listing:
    """List all sweep files of the release, with the sizes that are known of some and the mean of the rest.

    Examples
    --------
    >>> from lensneg.cost.inputs import RATES_FILE, load_rates
    >>> len(list_release(load_rates(RATES_FILE)).sweeps)
    1436
    """
    return _listing([(name, None) for name in release_cells()], RELEASE_NAME, rates)


def list_sweeps(uri: str, rates: RatesFile) -> Listing:
    """List the sweep files below a folder or an s3:// prefix, with their sizes."""
    uri = storage.normalize(uri)
    found = list_sweep_folder(uri, "--sweeps")
    return _listing([(info.uri, info.size) for info in found], uri, rates)


def _listing(entries: Iterable[tuple[str, int | None]], source: str, rates: RatesFile) -> Listing:
    sweeps: dict[object, SweepInput] = {}
    modelled = ignored = 0
    for uri, size in entries:
        name = storage.basename(uri)
        cell = sweep_cell(name)
        if cell is None:
            ignored += 1
            continue
        if cell in sweeps:
            raise InputError(
                f"{name}: its cell of the sky is listed twice", where=source, remedy="remove one of the two"
            )
        modelled += size is None
        sweeps[cell] = _sweep(name, size, rates)
    if not sweeps:
        raise InputError(
            f"no sweep file among {ignored:,} entries; expected names like sweep-AAAcBBB-DDDcEEE.fits, one a "
            "line or in the folder",
            where=source,
        )
    ordered = sorted(sweeps.values(), key=lambda sweep: sweep.uri)
    return Listing(source, tuple(ordered), modelled, ignored)


def _sweep(name: str, size: int | None, rates: RatesFile) -> SweepInput:
    ratio = rates.rates.gzip_ratio.value if name.endswith(".gz") else 1.0
    if size is None:
        plain = rates.sweeps.known_bytes.get(
            name.removesuffix(".gz"), rates.sweeps.rest_rows * ROW_BYTES + HEADER_BYTES
        )
        rows, size = rows_of(plain), int(plain * ratio)
    else:
        rows = rows_of(int(size / ratio))
    return SweepInput(uri=name, size=size, etag="", rows=rows, release=0, row_bytes=ROW_BYTES)


class Work(NamedTuple):
    """What a map item reads: stored bytes, rows, and whether they are gzipped."""

    n_bytes: int
    n_rows: int
    compressed: bool


@dataclass(frozen=True)
class Workload:
    """Files cut into items, largest first as the map takes them."""

    files: int
    items: tuple[Work, ...]


def workload(sweeps: Iterable[SweepInput], execution: ExecutionConfig) -> Workload:
    """Cut files into items by the very rule of the plan (:func:`lensneg.survey.items.slices`)."""
    sweeps = tuple(sweeps)
    items = [
        Work(item.n_bytes, item.n_rows, item.sweep.endswith(".gz"))
        for sweep in sweeps
        for item in slices(sweep, execution)
    ]
    return Workload(len(sweeps), tuple(sorted(items, reverse=True)))
