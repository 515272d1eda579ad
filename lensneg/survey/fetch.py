"""Fetching of sweep files: several at a time, each checked before it gets its name."""

import gzip
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from lensneg import storage
from lensneg.errors import InputError, LensnegError, SweepError
from lensneg.survey.part_file import PartFile, sole_writer
from lensneg.survey.pauses import Interrupted
from lensneg.survey.server import Server
from lensneg.survey.uncompressed import content_sha256

#: Level 1: sweep files are mostly noise, and a higher level saves 2 % for three times the time.
_GZIP_LEVEL: Final = 1

Outcome = Literal["fetched", "there already", "failed"]


class Fetched(NamedTuple):
    """The result of a file.

    Attributes
    ----------
    name : str
        File name.
    outcome : {"fetched", "there already", "failed"}
        What was done.
    uri : str
        Where the file is, or was to be.
    size : int
        Bytes that are stored.
    reason : str
        Why it failed.
    """

    name: str
    outcome: Outcome
    uri: str
    size: int
    reason: str = ""


class Watcher(Protocol):
    """An object that is called as a fetch goes on, from several threads."""

    def started(self, name: str, size: int | None) -> None:
        """Take note that the fetch of a file begins.

        Parameters
        ----------
        name : str
            File name.
        size : int or None
            Its bytes, if the server gives them.
        """

    def advanced(self, name: str, n_bytes: int) -> None:
        """Take note that bytes of a file came.

        Parameters
        ----------
        name : str
            File name.
        n_bytes : int
            Their number; negative for bytes that were discarded.
        """

    def ended(self, result: Fetched) -> None:
        """Take note that a file is done.

        Parameters
        ----------
        result : Fetched
            What was done.
        """


@dataclass(frozen=True)
class FetchPlan:
    """The files to fetch, their server and their destination.

    Attributes
    ----------
    server : Server
        Where the files come from.
    names : sequence of str
        Names of the files.
    uri : str
        The destination: a folder or an ``s3://`` prefix.
    scratch : Path
        Folder of files that are incomplete. It should be the destination itself if that is local.
    compress : bool
        Whether files are stored as ``.fits.gz``.
    checksums : mapping of str to str, or None
        SHA-256 by name, of the files as the server has them; None for a fetch without checksums.
    jobs : int
        Number of files that are fetched at the same time.
    """

    server: Server
    names: Sequence[str]
    uri: str
    scratch: Path
    compress: bool
    checksums: Mapping[str, str] | None
    jobs: int

    def target(self, name: str) -> str:
        """Return the destination of a file.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        str
            Path or URI.
        """
        return storage.join(self.uri, f"{name}.gz" if self.compress else name)

    def part(self, name: str) -> Path:
        """Return the path of a file while it is incomplete.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        Path
            A hidden file in the scratch folder.
        """
        return self.scratch / f".{name}.part"

    def sha256(self, name: str) -> str | None:
        """Return the checksum of a file.

        Parameters
        ----------
        name : str
            File name.

        Returns
        -------
        str or None
            The SHA-256, or None if it is not known.
        """
        return None if self.checksums is None else self.checksums.get(name)

    def stored(self, name: str, size: int | None) -> storage.FileInfo | None:
        """Return what is stored of a file, if it is whole.

        It is judged by the checksum that was stored with an object in S3, or else by the size, as a file gets
        its name only when it is whole. If the server gives no size, it is judged by the file's content.

        Parameters
        ----------
        name : str
            File name.
        size : int or None
            Bytes of the file as the server has it, if they are known.

        Returns
        -------
        FileInfo or None
            None if the file is not there or is not whole, or if size and checksum are unknown.
        """
        uri = self.target(name)
        try:
            info = storage.stat(uri)
        except FileNotFoundError:
            return None
        expected = self.sha256(name)
        recorded = storage.metadata(uri).get("sha256") if storage.is_s3(uri) else None
        if expected and (recorded or size is None):
            whole = expected == (recorded or _sha256_of_content(info))
        elif self.compress and size is not None:
            # The last four bytes of a gzip file are the size of its content, modulo 2^32.
            end = storage.read_bytes(uri, max(0, info.size - 4))
            whole = int.from_bytes(end, "little") == size % (1 << 32)
        else:
            whole = info.size == size
        return info if whole else None


def _sha256_of_content(info: storage.FileInfo) -> str:
    """Return the SHA-256 of a stored file's content; an empty text if the file is empty or damaged."""
    try:
        return content_sha256(info)[0] if info.size else ""
    except SweepError:
        return ""


def check_room(plan: FetchPlan, gzip_ratio: float) -> None:
    """Refuse a fetch for which the disk has too little room.

    A local destination needs room for all files; S3 only for the files that are fetched at the same time.
    No room is needed for what is stored already. A file whose size the server does not give is not counted.

    Parameters
    ----------
    plan : FetchPlan
        The files and their destination.
    gzip_ratio : float
        Size of a gzipped file over that of the file.

    Raises
    ------
    InputError
        If less room is free than is needed.
    """
    with plan.server.threads(plan.jobs) as threads:
        sizes = zip(plan.names, threads.map(partial(_missing_bytes, plan), plan.names), strict=True)
        wanted = {name: size for name, size in sizes if size}
    at_once = sum(sorted(wanted.values())[-plan.jobs :])
    if storage.is_s3(plan.uri):
        folder, needed = plan.scratch, at_once * (1 + gzip_ratio * plan.compress)
        remedies = "name another folder with --scratch, or fetch fewer at a time with --jobs"
    elif plan.compress:
        folder, needed = Path(plan.uri), sum(wanted.values()) * gzip_ratio + at_once
        remedies = "name another folder with --to, or choose fewer files with --near"
    else:
        folder, needed = Path(plan.uri), sum(wanted.values())
        remedies = "name another folder with --to, store the files with --gzip, or choose fewer with --near"
    needed = int(needed) - sum(_bytes_of(plan.part(name)) for name in wanted)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        what = f"{needed:,} bytes are needed for {len(wanted):,} sweep files, and {free:,} are free there"
        raise InputError(what, where=str(folder), remedy=f"make room, {remedies}")


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _missing_bytes(plan: FetchPlan, name: str) -> int:
    """Return the bytes of a file that must still come; 0 on an error, which the fetch reports."""
    try:
        size = plan.server.size(name) or 0
        return 0 if plan.stored(name, size) else size
    except (LensnegError, OSError):
        return 0


def fetch_sweeps(plan: FetchPlan, watcher: Watcher) -> list[Fetched]:
    """Fetch files, except those that are stored already.

    Parameters
    ----------
    plan : FetchPlan
        The files and their destination.
    watcher : Watcher
        Called as the fetch goes on.

    Returns
    -------
    list of Fetched
        One result for each name, in their order.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts the fetch. The bytes that came are kept for the next time.
    """
    plan.scratch.mkdir(parents=True, exist_ok=True)

    def _one(name: str) -> Fetched:
        try:
            result = fetch_one(plan, name, watcher)
        except (LensnegError, OSError) as error:
            result = Fetched(name, "failed", plan.target(name), 0, str(error))
        watcher.ended(result)
        return result

    with plan.server.threads(plan.jobs) as threads:
        return list(threads.map(_one, plan.names))


def fetch_one(plan: FetchPlan, name: str, watcher: Watcher) -> Fetched:
    """Fetch a file, unless it is stored already.

    Parameters
    ----------
    plan : FetchPlan
        The files, of which this is one, and their destination. Its scratch folder exists.
    name : str
        The file.
    watcher : Watcher
        Called as the fetch goes on.

    Returns
    -------
    Fetched
        What was done.

    Raises
    ------
    LensnegError
        If the file cannot be fetched, or its SHA-256 is not the one that the plan has.
    """
    if plan.checksums is not None and plan.sha256(name) is None:
        remedy = "is it a file of this folder? --unchecked takes it all the same"
        raise InputError("not in the list of checksums", where=plan.server.url(name), remedy=remedy)
    size = plan.server.size(name)
    stored = plan.stored(name, size)
    if stored is None:
        with sole_writer(plan.part(name)) as part:
            stored = plan.stored(name, size)  # another process may have fetched it meanwhile
            if stored is None:
                watcher.started(name, size)
                found = _download(plan, name, PartFile(part), watcher)
                return Fetched(name, "fetched", plan.target(name), _store(plan, name, found))
            plan.part(name).unlink()
    return Fetched(name, "there already", stored.uri, stored.size)


def _download(plan: FetchPlan, name: str, part: PartFile, watcher: Watcher) -> str:
    """Complete a part and return its SHA-256, which is that of the list of checksums if there is one."""
    expected = plan.sha256(name)
    if expected is None:  # nothing would show that the bytes of an earlier command are of another version
        part.start_again()
    for _ in range(2):
        plan.server.download(
            name, part, lambda count: watcher.advanced(name, count), checked=expected is not None
        )
        found = part.sha256()
        if expected in (None, found):
            return found
        # The bytes that were there may have been those of another version: all of it once more.
        watcher.advanced(name, -part.tell())
        part.start_again()
    plan.part(name).unlink()
    what = f"its SHA-256 is {found:.12}…, the list of checksums says {expected:.12}…, twice"
    remedy = "nothing of it was kept. Fetch it later, or from another server"
    raise InputError(what, where=plan.server.url(name), remedy=remedy)


def _store(plan: FetchPlan, name: str, sha256: str) -> int:
    """Move a checked file, whose lock is held, to its destination; return the bytes there."""
    uri, part = plan.target(name), plan.part(name)
    ready = _gzipped(part, plan.server.stop) if plan.compress else part
    size = ready.stat().st_size
    if storage.is_s3(uri):
        storage.upload(ready, uri, metadata={"sha256": sha256})
        ready.unlink()
    else:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        os.replace(ready, uri)
    part.unlink(missing_ok=True)
    return size


def _gzipped(path: Path, stop: threading.Event) -> Path:
    """Compress a file and return the new one. It has no name and no time: its bytes are reproducible."""
    target = path.with_name(f"{path.name}.gz")
    try:
        with (
            open(path, "rb") as plain,
            open(target, "wb") as raw,
            gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed,
        ):
            while chunk := plain.read(1 << 20):
                if stop.is_set():
                    raise Interrupted
                packed.write(chunk)
        with open(target, "rb") as whole:
            os.fsync(whole.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target
