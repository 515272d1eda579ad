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
from pathlib import Path
from typing import Final, NamedTuple

from lensneg import storage
from lensneg.errors import InputError
from lensneg.mocksky.hats import write_hats
from lensneg.mocksky.photo_z import write_pz
from lensneg.mocksky.rows import MAX_ROWS, FilePlan
from lensneg.mocksky.scene import grid, plan_files
from lensneg.mocksky.sweep_files import write_fits, write_parquet
from lensneg.storage.local import try_folder

#: Rows of a file that the unusual sources fit in.
MIN_ROWS: Final = 500

#: What a sky can be written as, and the releases that it can be of: of DR9, DR10 and DR11.
FORMATS: Final = ("fits", "hats", "parquet")
RELEASES: Final = (9010, 9011, 9012, 10000, 10002, 11010)

#: Number of rows from which on several processes are faster than one, in spite of their start.
_PARALLEL_ROWS: Final = 3_000_000


class MockSky(NamedTuple):
    """A mock sky that was written.

    Attributes
    ----------
    sweeps, positives : str
        The folder of sweep files, and the catalogue of lenses.
    files, rows, bytes : int
        Number of sweep files or HATS partitions, their rows and their bytes.
    seconds : float
        Time that it took.
    pz : str or None
        The folder of ``-pz`` files.
    """

    sweeps: str
    positives: str
    files: int
    rows: int
    bytes: int
    seconds: float
    pz: str | None = None


def _check_arguments(
    folders: tuple[Path, ...], files: int, rows: int, seed: int, file_format: str,
    releases: tuple[int, ...], gzip: bool, pz: bool,
) -> None:  # fmt: skip
    cells = len(grid())
    enough = f"{MIN_ROWS}, so that the awkward sources fit, to {MAX_ROWS}, as an OBJID has 22 bits"
    for name, got, good, expected in (
        ("files", f"{files}", 1 <= files <= cells, f"1 to {cells}, the cells up to Dec +40"),
        ("rows", f"{rows} for each file", MIN_ROWS <= rows <= MAX_ROWS, enough),
        ("seed", f"{seed}", seed >= 0, "0 or more"),
        ("format", file_format, file_format in FORMATS, f"one of {', '.join(FORMATS)}"),
        ("release", f"{releases}", bool(releases) and {*releases} <= {*RELEASES}, f"some of {RELEASES}"),
        (
            "gzip",
            f"the format {file_format}",
            file_format == "fits" or not gzip,
            "fits, which alone is gzipped",
        ),
        ("pz", f"the format {file_format}", file_format == "fits" or not pz, "fits: a table has no -pz file"),
    ):
        if not good:
            raise InputError(f"got {got}; expected {expected}", where=f"--{name}")
    for folder in folders:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "there is something already, and two skies must not mix"
            raise InputError(what, where=str(folder), remedy="name another folder, or remove this one first")


def _write_files(plans: list[FilePlan], file_format: str, workers: int) -> Iterator[tuple[str, int]]:
    """Write the files and yield the path and size of each, in their order."""
    write = write_parquet if file_format == "parquet" else write_fits
    if workers == 1:
        yield from map(write, plans)
        return
    # Processes are forked from a server that has imported all modules, as the caller may have threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(write, plans)


def write_mock_sky(
    folder: str | Path,
    *,
    files: int = 4,
    rows: int = 250_000,
    seed: int = 1,
    positives: str | Path | None = None,
    gzip: bool = False,
    file_format: str = "fits",
    releases: tuple[int, ...] = (10002,),
    pz: bool = False,
    workers: int | None = None,
    on_file: Callable[[str, int], None] | None = None,
) -> MockSky:
    """Write a mock sky: ``folder/sweeps`` with sweep files, and ``folder/positives.csv``.

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
    file_format : str
        What ``folder/sweeps`` holds: ``fits``, or ``parquet`` for a Parquet file for each sweep file, or
        ``hats`` for a HATS catalogue, as hats-import writes it. The rows are the same.
    releases : tuple of int
        The values of RELEASE, which change from brick to brick. If all are of DR9, the files have the columns
        of DR9, and if not, those of DR10.
    pz : bool
        Whether to write ``folder/pz`` too: a ``-pz`` file of photometric redshifts for each sweep file.
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
    sweeps, catalog, pz_folder = root / "sweeps", root / "positives.csv", root / "pz"
    folders = (sweeps, pz_folder) if pz else (sweeps,)
    _check_arguments(folders, files, rows, seed, file_format, releases, gzip, pz)
    source = None if positives is None else storage.normalize(str(positives))
    plans, text = plan_files(sweeps, files, rows, seed, source)
    try_folder(root, f"DIR {root}")
    suffix = ".parquet" if file_format == "parquet" else ".fits.gz" if gzip else ".fits"
    plans = [
        plan._replace(path=str(Path(plan.path).with_suffix(suffix)), releases=releases) for plan in plans
    ]
    if workers is None:
        workers = (os.cpu_count() or 1) if files * rows >= _PARALLEL_ROWS else 1
    sweeps.mkdir(parents=True, exist_ok=True)
    if file_format == "hats":
        written = write_hats(sweeps, plans, "mock_sky")
    else:
        written = _write_files(plans, file_format, max(1, min(workers, files)))
    sizes = []
    for path, size in written:
        sizes.append(size)
        if on_file is not None:
            on_file(path, size)
    for plan in plans if pz else ():
        pz_folder.mkdir(exist_ok=True)
        write_pz(plan, pz_folder)
    storage.write_bytes(str(catalog), text)
    return MockSky(
        str(sweeps), str(catalog), len(sizes), files * rows, sum(sizes), time.monotonic() - begun,
        str(pz_folder) if pz else None,
    )  # fmt: skip
