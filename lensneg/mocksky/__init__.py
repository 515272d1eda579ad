"""A mock sky: sweep files in the DR10 data model, and a catalogue of lenses that lie in them.

The survey's sweep files have 1.4 TB, which is too much to try a pipeline on. A mock sky is small. It
resembles the real one in what the pipeline looks at: the mix of types, magnitude counts, colours and
shapes, exposures that change from brick to brick, masks, and unusual sources in every file. It does not
simulate galaxies: each column is drawn by itself from a simple law (:mod:`lensneg.mocksky.population`). The
laws are tuned so that nearly 5 % of all sources are galaxies with z < 20, the upper end of what is plausible,
and that two in five of these look like confusers. Sources do not cluster, masks are drawn source by source,
and columns that nothing reads have plausible values only.

The lenses need no more negatives than their file holds (:mod:`lensneg.mocksky.scene`), so that each file
alone can supply 100 for each of its lenses, as the survey can, if its rows allow.
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
from lensneg.mocksky.files import write_file
from lensneg.mocksky.rows import MAX_ROWS, FilePlan
from lensneg.mocksky.scene import grid, plan_files

MIN_ROWS: Final = 500
#: Rows in all from which on several processes are worth their start.
_PARALLEL_ROWS: Final = 3_000_000


class MockSky(NamedTuple):
    """What was written: the folder of sweeps, the catalogue, and how much."""

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


def _write_files(plans: list[FilePlan], workers: int) -> Iterator[tuple[str, int]]:
    """Write the files; yield each one's path and size, in their order."""
    if workers == 1:
        yield from map(write_file, plans)
        return
    # Forked from a server that has imported all once, not from the caller, who may have threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(write_file, plans)


def write_mock_sky(
    folder: str | Path,
    *,
    files: int = 4,
    rows: int = 150_000,
    seed: int = 1,
    positives: str | Path | None = None,
    gzip: bool = False,
    workers: int | None = None,
    on_file: Callable[[str, int], None] | None = None,
) -> MockSky:
    """Write a mock sky: ``folder/sweeps/sweep-*.fits`` and ``folder/positives.csv``.

    Without ``positives`` the lenses are invented: one for 15,000 rows, at least three a file, and some
    with each of the flaws that real catalogues have. With it, the files are the cells that hold most
    positions of the catalogue (ties by name), each of these positions gets a galaxy within 0.1 arcsec,
    and the catalogue is copied as it is. In both cases a lens's type and exposures are chosen so that its
    file has 100 negatives for it, as far as possible; the proportions of real lenses are kept as far as the
    file allows.

    Parameters
    ----------
    folder : str or Path
        On this machine. Its ``sweeps`` must be empty or not there.
    files : int
        Sweep files, each a cell of 5 by 5 degrees of the real grid.
    rows : int
        Rows in *each* file, of 505 bytes. The real files have 1.4 to 3.7 million.
    seed : int
        The same arguments give the same bytes on the same platform, whatever ``workers`` is.
    positives : str or Path, optional
        A CSV file of lenses.
    gzip : bool
        Write ``.fits.gz``.
    workers : int, optional
        Processes; by default one for each processor, or one where starting more would take longer.
    on_file : callable, optional
        Called with the path and bytes of each file that is done, in the order of the files.

    Returns
    -------
    MockSky

    Raises
    ------
    InputError
        If an argument is out of range, the folder holds a sky already, or the catalogue cannot be read
        or has no position between Dec -90 and +40.
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
