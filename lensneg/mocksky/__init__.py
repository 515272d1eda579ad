"""A mock sky: sweep files in the DR10 data model, and a catalogue of lenses that lie in them.

The survey's sweep files have 1.4 TB, which is too much for trying a pipeline. A mock sky is small. It
resembles the survey in what the pipeline reads: the mix of types, magnitude counts, colours and shapes,
exposures that change from brick to brick, masks, and unusual sources in every file. It does not simulate
galaxies: each column is drawn independently from a simple law (:mod:`lensneg.mocksky.population`). The laws
are tuned so that the pool has the rates of the real one (docs/science.md). Sources do not cluster, masks are
drawn for each source, and columns that nothing reads only have plausible values.

The lenses need no more negatives than their file holds (:mod:`lensneg.mocksky.scene`). So each file within
the footprint of the shipped configs can supply 100 negatives for each of its lenses, as the survey can, if it
has enough rows.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from gzip import GzipFile
from pathlib import Path
from typing import Final, NamedTuple

from astropy.io import fits

from lensneg import storage
from lensneg.errors import InputError
from lensneg.mocksky.rows import MAX_ROWS, FilePlan, row_chunks
from lensneg.mocksky.scene import grid, plan_files
from lensneg.schema.sweep_columns import MASKBITS, SWEEP_COLUMNS, SWEEP_EXTNAME, sweep_dtype

#: Rows of a file that the unusual sources fit in.
MIN_ROWS: Final = 500

#: Number of rows from which on several processes are faster than one, in spite of their start.
_PARALLEL_ROWS: Final = 3_000_000


class MockSky(NamedTuple):
    """A mock sky that was written.

    Attributes
    ----------
    sweeps, positives : str
        The folder of sweep files, and the catalogue of lenses.
    files, rows, bytes : int
        Number of sweep files, their rows and their bytes.
    seconds : float
        Time that it took.
    """

    sweeps: str
    positives: str
    files: int
    rows: int
    bytes: int
    seconds: float


def _check_arguments(sweeps: Path, files: int, rows: int, seed: int) -> None:
    cells = len(grid())
    enough = f"{MIN_ROWS}, so that the awkward sources fit, to {MAX_ROWS}, as an OBJID has 22 bits"
    for name, got, good, expected in (
        ("files", f"{files}", 1 <= files <= cells, f"1 to {cells}, the cells up to Dec +40"),
        ("rows", f"{rows} for each file", MIN_ROWS <= rows <= MAX_ROWS, enough),
        ("seed", f"{seed}", seed >= 0, "0 or more"),
    ):
        if not good:
            raise InputError(f"got {got}; expected {expected}", where=name)
    if sweeps.exists() and (not sweeps.is_dir() or any(sweeps.iterdir())):
        what = "there is something already, and two skies must not mix"
        raise InputError(what, where=str(sweeps), remedy="name another folder, or remove this one first")


def _header(plan: FilePlan) -> bytes:
    """Return both headers of a sweep file: that of the empty primary HDU, and the table's."""
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


def _write_file(plan: FilePlan) -> tuple[str, int]:
    """Write a sweep file and return its path and size. The file gets its name when it is complete."""
    header = _header(plan)
    size = len(header) + plan.rows * sweep_dtype().itemsize
    path = Path(plan.path)
    part = path.with_name(f".{path.name}.part")
    try:
        with (
            open(part, "wb") as raw,
            # No name and no time in gzip's header: the same sky has the same bytes.
            GzipFile("", "wb", 1, raw, mtime=0) if path.suffix == ".gz" else raw as file,
        ):
            file.write(header)
            for chunk in row_chunks(plan):
                file.write(chunk)
            file.write(bytes(-size % 2880))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return plan.path, path.stat().st_size


def _write_files(plans: list[FilePlan], workers: int) -> Iterator[tuple[str, int]]:
    """Write the files and yield the path and size of each, in their order."""
    if workers == 1:
        yield from map(_write_file, plans)
        return
    # Processes are forked from a server that has imported all modules, as the caller may have threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_write_file, plans)


def write_mock_sky(
    folder: str | Path,
    *,
    files: int = 4,
    rows: int = 250_000,
    seed: int = 1,
    positives: str | Path | None = None,
    gzip: bool = False,
    workers: int | None = None,
    on_file: Callable[[str, int], None] | None = None,
) -> MockSky:
    """Write a mock sky: ``folder/sweeps/sweep-*.fits`` and ``folder/positives.csv``.

    Without ``positives`` the lenses are invented: one for 25,000 rows, at least three in each file, and some
    with each of the flaws that real catalogues have. With it, the files are the cells with most positions of
    the catalogue that have 100 negatives for each (ties by name). Each of these positions gets a galaxy
    within 0.1 arcsec, and the catalogue is copied. In both cases a lens's type and exposures are chosen so
    that its file has 100 negatives for it, and so that the types have the proportions of real lenses, as far
    as the file allows.

    Parameters
    ----------
    folder : str or Path
        A folder on this machine whose ``sweeps`` is empty or not there.
    files : int
        Number of sweep files, each a cell of 5 by 5 degrees of the survey's grid.
    rows : int
        Number of rows in each file, of 505 bytes. The survey's files have 1.4 to 3.7 million.
    seed : int
        Seed of the random numbers. The same arguments give the same bytes, whatever ``workers`` and the
        processor are.
    positives : str or Path, optional
        A CSV file of lenses.
    gzip : bool
        Whether to write ``.fits.gz``.
    workers : int, optional
        Number of processes; by default one for each processor, or one if starting more would take longer.
    on_file : callable, optional
        Called with the path and bytes of each file that is done, in the order of the files.

    Returns
    -------
    MockSky
        What was written.

    Raises
    ------
    InputError
        If an argument is out of range, the folder holds a sky already, or the catalogue cannot be read,
        has no position between Dec -90 and +40, or has too many in each cell for so many rows.
    """
    begun = time.monotonic()
    if storage.is_s3(str(folder)):
        what = "a mock sky is written on this machine"
        raise InputError(what, where=str(folder), remedy="copy it to S3 afterwards")
    root = Path(storage.normalize(str(folder)))
    sweeps, catalog = root / "sweeps", root / "positives.csv"
    _check_arguments(sweeps, files, rows, seed)
    source = None if positives is None else storage.normalize(str(positives))
    plans, text = plan_files(sweeps, files, rows, seed, source, ".gz" if gzip else "")
    if workers is None:
        workers = (os.cpu_count() or 1) if files * rows >= _PARALLEL_ROWS else 1
    sweeps.mkdir(parents=True, exist_ok=True)
    total = 0
    for path, size in _write_files(plans, max(1, min(workers, files))):
        total += size
        if on_file is not None:
            on_file(path, size)
    storage.write_bytes(str(catalog), text)
    return MockSky(str(sweeps), str(catalog), files, files * rows, total, time.monotonic() - begun)
