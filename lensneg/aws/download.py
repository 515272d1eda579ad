"""A published manifest, fetched from the bucket and checked against its own list of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lensneg import storage
from lensneg.errors import InputError, RunStateError
from lensneg.schema.columns import PARTS
from lensneg.schema.layout import RunFiles


@dataclass(frozen=True)
class Fetched:
    """A file of a manifest: its name, bytes, and what became of it (fetched, there already, or WRONG)."""

    name: str
    size: int
    outcome: str

    @property
    def good(self) -> bool:
        """Whether its SHA-256 is that of manifest.json."""
        return self.outcome != "WRONG"


def latest_run(out: str) -> str:
    """Return the run that was published last.

    Raises
    ------
    InputError
        If none was.
    """
    try:
        return str(storage.read_json(storage.join(out, "latest.json"))["run_id"])
    except FileNotFoundError as error:
        raise InputError(
            "nothing is published there", where=out, remedy="lensneg aws status lists the runs"
        ) from error


def download(out: str, run_id: str, folder: Path, on_file: Callable[[Fetched], None]) -> list[Fetched]:
    """Fetch a manifest into a folder; a file that is there and right is not fetched again.

    manifest.json comes last, and only if all files are right: where it is, the manifest is whole.

    Parameters
    ----------
    out : str
        The output prefix.
    run_id : str
    folder : Path
        Gets the same names as in the bucket.
    on_file : callable
        Is told of each file.

    Raises
    ------
    InputError
        If the run is not published.
    RunStateError
        If manifest.json is damaged.
    """
    files = RunFiles(out, run_id)
    try:
        text = storage.read_bytes(files.manifest)
    except FileNotFoundError as error:
        raise InputError(
            f"no such file: run {run_id} is not published",
            where=files.manifest,
            remedy=f"lensneg aws status {run_id} says how far it is",
        ) from error
    listed = _listed(files.manifest, text)
    if _is_other(folder / "manifest.json", text):
        raise InputError(
            "holds another manifest already", where=str(folder), remedy="name another folder with --to"
        )
    fetched = []
    for entry in listed:
        result = _fetch(storage.join(files.manifest_folder, entry["name"]), folder, entry)
        fetched.append(result)
        on_file(result)
    if all(result.good for result in fetched):
        storage.write_bytes(str(folder / "manifest.json"), text)
    return fetched


def _listed(uri: str, text: bytes) -> list[dict[str, Any]]:
    """Return the files that manifest.json lists."""
    try:
        manifest = json.loads(text)
        listed = [dict(entry) for part in PARTS for entry in manifest[part]["files"]]
        names = [PurePosixPath(entry["name"]) for entry in listed if entry["sha256"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RunStateError(
            f"damaged ({error!r})", where=uri, remedy="it never changes, so restore its old version"
        ) from error
    for name in names:
        if name.is_absolute() or ".." in name.parts:
            raise RunStateError(
                f"names {name}, which is not below its folder", where=uri, remedy="do not trust it"
            )
    return listed


def _is_other(path: Path, text: bytes) -> bool:
    return path.exists() and path.read_bytes() != text


def _fetch(uri: str, folder: Path, entry: dict[str, Any]) -> Fetched:
    path = folder / entry["name"]
    if path.is_file():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"]:
                return Fetched(entry["name"], path.stat().st_size, "there already")
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError:
        return Fetched(entry["name"], 0, "WRONG")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        return Fetched(entry["name"], len(data), "WRONG")
    storage.write_bytes(str(path), data)
    return Fetched(entry["name"], len(data), "fetched")
