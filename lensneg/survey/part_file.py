"""Incomplete files: one process at a time writes to one."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass
class PartFile:
    """An incomplete file as the destination of a download.

    Attributes
    ----------
    file : BufferedRandom
        The file, open for appending and reading.
    etag : str
        The server's version of the file that the bytes are of; empty if it is not known.
    """

    file: BufferedRandom
    etag: str = ""

    def tell(self) -> int:
        """Return the number of bytes that are there.

        Returns
        -------
        int
            The number.
        """
        return self.file.tell()

    def write(self, data: bytes) -> None:
        """Add bytes.

        Parameters
        ----------
        data : bytes
            The next bytes of the file.
        """
        self.file.write(data)

    def start_again(self) -> None:
        """Discard all bytes."""
        self.file.seek(0)
        self.file.truncate()

    def sha256(self) -> str:
        """Wait until the bytes are on the disk, and return their SHA-256.

        Returns
        -------
        str
            The digest in hexadecimal.
        """
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.seek(0)
        return hashlib.file_digest(self.file, "sha256").hexdigest()


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
