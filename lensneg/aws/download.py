"""The download of a published manifest, checked against its own list of files."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.columns import PARTS
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Manifest, PartFile
from lensneg.schema.manifest_places import MANIFEST_NAME
from lensneg.schema.publication import Latest


@dataclass(frozen=True)
class Fetched:
    """The result of a file: its name, its bytes, and fetched, there already, or WRONG."""

    name: str
    size: int
    outcome: str


def latest_run(out: str) -> str:
    """Return the id of the run that was published last.

    Parameters
    ----------
    out : str
        The output prefix.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If no run was published.
    """
    latest = Latest.read_if_there(storage.join(out, "latest.json"))
    if latest is None:
        raise InputError("nothing is published there", where=out, remedy="lensneg aws status lists the runs")
    return latest.run_id


def download(out: str, run_id: str, folder: Path, on_file: Callable[[Fetched], None]) -> list[Fetched]:
    """Fetch a manifest into a folder. A file that is there and right is not fetched again.

    manifest.json is written last, and only if all files are right. A folder that has it is complete.

    Parameters
    ----------
    out : str
        The output prefix.
    run_id : str
        The run.
    folder : Path
        The destination. Files have the same names as in the bucket.
    on_file : callable
        Called with the result of each file.

    Returns
    -------
    list of Fetched
        The result of each file.

    Raises
    ------
    InputError
        If the run is not published, its manifest.json is damaged, or the folder holds another manifest.
    """
    uri = RunFiles(out, run_id).manifest
    if not storage.exists(uri):
        remedy = f"lensneg aws status {run_id} says how far it is"
        raise InputError(f"no such file: run {run_id} is not published", where=uri, remedy=remedy)
    manifest, text = Manifest.open(uri), storage.read_bytes(uri)
    target = folder / MANIFEST_NAME
    if target.exists() and target.read_bytes() != text:
        remedy = "name another folder with --to"
        raise InputError("holds another manifest already", where=str(folder), remedy=remedy)
    fetched = []
    for part in PARTS:
        for file in manifest.record.part(part).files:
            fetched.append(_fetch(storage.join(manifest.folder, file.name), folder, file))
            on_file(fetched[-1])
    if all(result.outcome != "WRONG" for result in fetched):
        storage.write_bytes(str(target), text)
    return fetched


def _fetch(uri: str, folder: Path, file: PartFile) -> Fetched:
    path = folder / file.name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
        return Fetched(file.name, path.stat().st_size, "there already")
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError:
        return Fetched(file.name, 0, "WRONG")
    if hashlib.sha256(data).hexdigest() != file.sha256:
        return Fetched(file.name, len(data), "WRONG")
    storage.write_bytes(str(path), data)
    return Fetched(file.name, len(data), "fetched")
