"""Incomplete files: one process at a time writes to one."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

from lensneg.errors import TransientError
from lensneg.storage.errors import disk_errors


@contextmanager
def sole_writer(path: Path) -> Iterator[BufferedRandom]:
    """Open a file for appending and reading, and lock it.

    The system releases the lock when the process ends, even if it is killed. Only the holder of the lock may
    rename or remove the file.

    Parameters
    ----------
    path : Path
        The file. It is made if it does not exist.

    Yields
    ------
    BufferedRandom
        The file, at its end.

    Raises
    ------
    TransientError
        If another process, or another thread of this one, holds the lock.
    StorageError
        If the file cannot be written, for example to a full disk.
    """
    while True:
        with disk_errors(str(path)), open(path, "a+b") as file:
            _lock(file, path)
            if _is_at(file, path):
                file.seek(0, os.SEEK_END)
                yield file
                return
        # The last holder has renamed or removed the file after it was opened here.


def _lock(file: BufferedRandom, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        remedy = "wait for its end, or name another folder"
        raise TransientError("another process fetches it", where=str(path), remedy=remedy) from error


def _is_at(file: BufferedRandom, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
