"""Gate 1's check of the ``-pz`` files."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lensneg import storage
from lensneg.errors import InputError, StorageError
from lensneg.schema.check import Check
from lensneg.schema.item import PzFile
from lensneg.schema.run import SweepInput
from lensneg.stages.preflight.inspection import Inspection
from lensneg.survey.inputs import probe_input
from lensneg.survey.photo_z import probe_pz, pz_fault, pz_name

#: Threads that read headers. On S3 each file costs a round trip.
_THREADS: Final = 32


def pz_files(found: Inspection) -> Iterator[Check]:
    """Look for the ``-pz`` file of each sweep file, and check that it belongs to it."""
    folder = found.request.pz
    if folder is None or not found.sweeps:
        return
    try:
        listed = storage.list_files(folder)
    except (FileNotFoundError, InputError, StorageError) as error:
        expected = "a folder of -pz files"
        remedy = "name the folder that holds the survey's -pz files of these sweep files"
        yield Check(
            name="pz_files", passed=False, expected=expected, actual=str(error), where=folder, remedy=remedy
        )
        return
    by_name: dict[str, list[storage.FileInfo]] = {}
    for info in listed:
        by_name.setdefault(storage.basename(info.uri), []).append(info)
    with ThreadPoolExecutor(_THREADS) as threads:
        looked = list(threads.map(lambda sweep: _look(sweep, by_name), found.sweeps))
    faults = [result for result in looked if isinstance(result, str)]
    yield Check.of_faults(
        "pz_files",
        faults,
        expected="for each sweep file its -pz file, with the same sources row by row",
        found=f"{len(looked):,} files below {folder}",
        saying=f"not so below {folder}: ",
        remedy="fetch the survey's -pz files of these sweep files, of the same release, or leave --pz out",
        shown=3,
    )
    if not faults:
        found.sweeps = [
            sweep.model_copy(update={"pz": pz}) for sweep, pz in zip(found.sweeps, looked, strict=True)
        ]


def _look(sweep: SweepInput, by_name: dict[str, list[storage.FileInfo]]) -> PzFile | str:
    """Return the ``-pz`` file of a sweep file, or what is wrong."""
    name = pz_name(sweep.name)
    if name is None:
        return f"{sweep.name}: a table has no -pz file"
    there = by_name.get(name, [])
    if len(there) != 1:
        return f"{name}: {len(there)} files of this name" if there else f"{name}: missing"
    try:
        fault = pz_fault(probe_input(sweep.info), probe_pz(there[0]))
    except (InputError, StorageError, OSError) as error:
        return str(error)
    return f"{name}: {fault}" if fault else PzFile(**there[0]._asdict())
