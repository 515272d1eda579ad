"""Whether the disk has room for the files to fetch, checked before the first of a thousand files."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lensneg import storage
from lensneg.errors import InputError, LensnegError
from lensneg.survey.fetch import FetchPlan


def check_room(plan: FetchPlan, gzip_ratio: float) -> None:
    """Refuse a fetch for which the disk has too little room.

    A local target takes all files; on the way to S3 only those are on the disk that are fetched at the same
    time. What is stored already, or has come in part, needs no room. A file whose size the server does not
    say counts nothing.

    Parameters
    ----------
    plan : FetchPlan
    gzip_ratio : float
        Size of a gzipped file over that of the file.

    Raises
    ------
    InputError
        If the room that is free is less than what is needed.
    """
    target = plan.target

    def missing(name: str) -> int:
        """Return the bytes of a file that must still come; 0 where that fails, as the fetch then says why."""
        try:
            size = plan.server.size(name)
            stored = target.has(name, size, plan.sha256(name))
        except (LensnegError, OSError):
            return 0
        return 0 if stored is not None or size is None else size

    with ThreadPoolExecutor(plan.jobs) as threads:
        sizes = zip(plan.names, threads.map(missing, plan.names), strict=True)
        wanted = {name: size for name, size in sizes if size}
    at_once = sum(sorted(wanted.values())[-plan.jobs :])
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
