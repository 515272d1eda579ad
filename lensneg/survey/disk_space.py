"""Whether there is room for what is to be fetched: better to know before the first of a thousand files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lensneg import storage
from lensneg.errors import InputError, LensnegError
from lensneg.survey.fetch import Target
from lensneg.survey.server import Server


def check_room(
    server: Server,
    names: Sequence[str],
    target: Target,
    *,
    checksums: Mapping[str, str] | None,
    jobs: int,
    gzip_ratio: float,
) -> None:
    """Refuse a fetch for which the disk has too little room.

    A local target takes all files; on the way to S3 only those are on the disk that are fetched at the same
    time. What is stored already, or has come in part, needs no room. A file whose size the server does not
    say counts nothing.

    Parameters
    ----------
    server : Server
    names : sequence of str
    target : Target
    checksums : mapping of str to str, optional
    jobs : int
        Files at a time.
    gzip_ratio : float
        Size of a gzipped file over that of the file.

    Raises
    ------
    InputError
        If the room that is free is less than what is needed.
    """

    def missing(name: str) -> int:
        """Return the bytes of a file that must still come; 0 where that fails, as the fetch then says why."""
        try:
            size = server.size(name)
            stored = target.has(name, size, checksums.get(name) if checksums is not None else None)
        except (LensnegError, OSError):
            return 0
        return 0 if stored is not None or size is None else size

    with ThreadPoolExecutor(jobs) as threads:
        plain = dict(zip(names, threads.map(missing, names), strict=True))
    wanted = {name: size for name, size in plain.items() if size}
    at_once = sum(sorted(wanted.values())[-jobs:])
    if storage.is_s3(target.uri):
        folder, needed = target.scratch, at_once * (1 + gzip_ratio * target.compress)
        remedies = "name another folder with --scratch, or fetch fewer at a time with --jobs"
    elif target.compress:
        folder, needed = Path(target.uri), sum(wanted.values()) * gzip_ratio + at_once
        remedies = "name another folder with --to, or choose fewer files with --near"
    else:
        folder, needed = Path(target.uri), sum(wanted.values())
        remedies = "name another folder with --to, store the files with --gzip, or choose fewer with --near"
    parts = [target.part(name) for name in wanted]
    needed = int(needed) - sum(part.stat().st_size for part in parts if part.exists())
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"{needed:,} bytes are needed for {len(wanted):,} sweep files, and {free:,} are free there",
            where=str(folder),
            remedy=f"make room, {remedies}",
        )
