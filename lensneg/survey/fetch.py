"""Fetching sweep files: several at a time, each checked before it gets its name."""

import gzip
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from lensneg import storage
from lensneg.errors import InputError, LensnegError
from lensneg.survey.server import Interrupted, Server

#: Level 1: sweep files are mostly noise, and a higher level gains 2 % for three times the time.
_GZIP_LEVEL = 1

CHUNK_BYTES = 1 << 20

Outcome = Literal["fetched", "there already", "failed"]


class Fetched(NamedTuple):
    """What became of a file: its outcome, the bytes that are stored, and why it failed if it did."""

    name: str
    outcome: Outcome
    uri: str
    size: int
    reason: str = ""


class Watcher(Protocol):
    """Is told how a fetch goes on, from several threads."""

    def started(self, name: str, size: int | None) -> None:
        """Hear that a file is being fetched, and its size where the server says."""

    def advanced(self, name: str, n_bytes: int) -> None:
        """Hear that bytes came; a negative number, that some were thrown away."""

    def ended(self, result: Fetched) -> None:
        """Hear what became of a file."""


@dataclass(frozen=True)
class Target:
    """Where files go, and in which form.

    Attributes
    ----------
    uri : str
        A folder or an ``s3://`` prefix.
    compress : bool
        Store ``.fits.gz``.
    scratch : Path
        Where a file is while it is on its way; of a local target, best the target itself.
    """

    uri: str
    compress: bool
    scratch: Path

    def of(self, name: str) -> str:
        """Return where a file is to be."""
        return storage.join(self.uri, f"{name}.gz" if self.compress else name)

    def part(self, name: str) -> Path:
        """Return where a file is while it is on its way."""
        return self.scratch / f".{name}.part"

    def has(self, name: str, size: int | None, sha256: str | None) -> storage.FileInfo | None:
        """Return what is stored of a file if it is the whole of it, as far as a quick look tells.

        In S3 the checksum that was stored with it decides; on a disk the size, as a file gets its name
        only after its checksum was found right.
        """
        uri = self.of(name)
        try:
            info = storage.stat(uri)
        except FileNotFoundError:
            return None
        if storage.is_s3(uri):
            return info if sha256 and storage.metadata(uri).get("sha256") == sha256 else None
        if size is None:
            return None
        found = _gzip_size(uri) if self.compress else info.size
        return info if found == (size % (1 << 32) if self.compress else size) else None


@dataclass(frozen=True)
class FetchPlan:
    """What to fetch, from where and to where.

    Attributes
    ----------
    server : Server
    names : sequence of str
    target : Target
    checksums : mapping of str to str, optional
        SHA-256 by name, of the files as the server has them; None to do without.
    jobs : int
        Files at a time.
    """

    server: Server
    names: Sequence[str]
    target: Target
    checksums: Mapping[str, str] | None
    jobs: int

    def sha256(self, name: str) -> str | None:
        """Return a file's checksum, if there is one."""
        return self.checksums.get(name) if self.checksums is not None else None


def fetch_sweeps(plan: FetchPlan, watcher: Watcher) -> list[Fetched]:
    """Fetch files; those that are there already are left alone.

    Parameters
    ----------
    plan : FetchPlan
    watcher : Watcher

    Returns
    -------
    list of Fetched
        One for each name, in the same order.

    Raises
    ------
    KeyboardInterrupt
        If the person stops it: the parts that came are kept for the next time.
    """
    plan.target.scratch.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    results: dict[str, Fetched] = {}

    def one(name: str) -> Fetched:
        try:
            return _fetch(plan, name, stop, watcher)
        except (LensnegError, OSError) as error:
            return Fetched(name, "failed", plan.target.of(name), 0, str(error))

    with ThreadPoolExecutor(plan.jobs, thread_name_prefix="fetch") as threads:
        try:
            for future in as_completed([threads.submit(one, name) for name in plan.names]):
                result = future.result()
                results[result.name] = result
                watcher.ended(result)
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise
    return [results[name] for name in plan.names]


def _fetch(plan: FetchPlan, name: str, stop: threading.Event, watcher: Watcher) -> Fetched:
    if stop.is_set():
        raise Interrupted
    expected, url = plan.sha256(name), plan.server.url(name)
    if plan.checksums is not None and expected is None:
        remedy = "is it a file of this folder? --unchecked takes it all the same"
        raise InputError("not in the list of checksums", where=url, remedy=remedy)
    size = plan.server.size(name)
    stored = plan.target.has(name, size, expected)
    if stored is not None:
        return Fetched(name, "there already", stored.uri, stored.size)
    watcher.started(name, size)
    part = plan.target.part(name)
    for _ in range(2):
        found = plan.server.download(name, part, stop, lambda count: watcher.advanced(name, count))
        if expected in (None, found):
            return Fetched(name, "fetched", *_store(part, plan.target, name, found, stop))
        # Perhaps it went on from bytes of another version: once more, all of it.
        watcher.advanced(name, -part.stat().st_size)
        part.unlink()
    raise InputError(
        f"its SHA-256 is {found:.12}…, the list of checksums says {expected:.12}…, twice",
        where=url,
        remedy="nothing of it was kept. Fetch it later, or from another server",
    )


def _store(part: Path, target: Target, name: str, sha256: str, stop: threading.Event) -> tuple[str, int]:
    """Move a checked file to where it belongs; return where that is, and the bytes there."""
    uri, ready = target.of(name), part
    if target.compress:
        ready = part.with_name(f"{part.name}.gz")
        try:
            gzip_file(part, ready, stop)
        except BaseException:
            ready.unlink(missing_ok=True)
            raise
    size = ready.stat().st_size
    if storage.is_s3(uri):
        storage.upload(ready, uri, metadata={"sha256": sha256})
        ready.unlink()
    else:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with open(ready, "rb") as file:
            os.fsync(file.fileno())
        os.replace(ready, uri)
    part.unlink(missing_ok=True)
    return uri, size


def gzip_file(source: Path, target: Path, stop: threading.Event | None = None) -> None:
    """Compress a file; the same bytes give the same bytes: no name and no time are in the header."""
    with (
        open(source, "rb") as plain,
        open(target, "wb") as raw,
        gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed,
    ):
        while chunk := plain.read(CHUNK_BYTES):
            if stop is not None and stop.is_set():
                raise Interrupted
            packed.write(chunk)


def _gzip_size(path: str) -> int:
    """Return what a gzip file says at its end of its content's bytes, modulo 2^32."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 4))
        return int.from_bytes(file.read(4), "little")
