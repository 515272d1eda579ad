"""Files on this machine. Every write is atomic: a reader sees the old bytes or the new ones."""

import errno
import os
import secrets
import stat as stat_module
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from lensneg.errors import InputError, StorageError
from lensneg.storage.errors import disk_errors, explain
from lensneg.storage.uri import FileInfo

#: The beginning of a file's name until the file is whole. Such a file is hidden, so that nobody uses it.
_TEMPORARY: Final = ".writing-"

#: Errors of a folder that another folder would not have.
_OF_THE_FOLDER: Final = frozenset(
    {
        *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP),
        *(errno.ENOENT, errno.EEXIST, errno.EISDIR),
    }
)


def make_writable(file: Path, where: str) -> None:
    """Make a file that can be written to, unless it is there, and its folder.

    Parameters
    ----------
    file : Path
        The file.
    where : str
        The option that names the folder, for an error.

    Raises
    ------
    InputError
        If the folder is at fault.
    StorageError
        If the disk is full or broken.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()
    except (FileExistsError, IsADirectoryError) as error:
        remedy = "remove it, or give another folder"
        raise InputError(f"{error.filename} is in the way", where=where, remedy=remedy) from error
    except OSError as error:
        what, remedy = explain(error)
        kind = InputError if error.errno in _OF_THE_FOLDER else StorageError
        raise kind(what, where=where, remedy=remedy) from error


def try_folder(folder: Path, where: str) -> None:
    """Make a folder that can be written to, unless it is there. The errors are those of make_writable.

    Parameters
    ----------
    folder : Path
        The folder.
    where : str
        The option that names it, for an error.
    """
    trial = folder / f"{_TEMPORARY}trial.{secrets.token_hex(8)}"
    make_writable(trial, where)
    trial.unlink()


def info(path: Path) -> FileInfo:
    """Return size and tag of a file."""
    with disk_errors(str(path)):
        status = path.stat()
    return FileInfo(str(path), status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")


def walk(root: Path, unreadable: list[str] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Iterate over a folder and all below it, links included, hidden folders not.

    Each folder comes once, also in a circle. Folders that may not be listed are added to ``unreadable``.
    Without that they are an error.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # it was removed in the meantime
            _refuse(str(error.filename), error, unreadable)

    seen = set()
    with disk_errors(str(root)):
        for folder, below, names in os.walk(root, followlinks=True, onerror=refuse):
            below[:] = [name for name in below if not name.startswith(".")]
            status = os.stat(folder)
            place = (status.st_dev, status.st_ino)
            if place in seen:
                below.clear()
                continue
            seen.add(place)
            yield Path(folder), below, names


def _refuse(path: str, error: OSError | StorageError, unreadable: list[str] | None) -> None:
    """Note what cannot be read, or raise the error."""
    if unreadable is not None:
        unreadable.append(path)
        return
    with disk_errors(path):
        raise error


def is_broken_link(path: Path) -> bool:
    """Return whether a path is a link to something that does not exist."""
    return os.path.islink(path) and not os.path.exists(path)


def open_plain(uri: str, buffering: int) -> Any:
    """Open a file for reading. A pipe or a device is refused, because a read could wait forever."""
    kind = os.stat(uri).st_mode
    if not stat_module.S_ISREG(kind) and not stat_module.S_ISDIR(kind):
        raise InputError(
            "neither a file nor a folder but a pipe or a device", where=uri, remedy="give a file"
        )
    return open(uri, "rb", buffering=buffering)


def write(path: Path, chunks: Iterable[bytes | memoryview], if_absent: bool, durable: bool) -> bool:
    """Write a file that appears when it is whole; see :func:`lensneg.storage.write_bytes`."""
    with disk_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened, and not made by tempfile, so that the file gets the permissions that the umask allows.
        temporary = str(path.parent / f"{_TEMPORARY}{path.name}.{secrets.token_hex(8)}")
        try:
            with open(temporary, "xb") as file:
                file.writelines(chunks)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if if_absent:
                os.link(temporary, path)
            else:
                os.replace(temporary, path)
        except FileExistsError:  # only os.link raises it
            return False
        finally:
            Path(temporary).unlink(missing_ok=True)
        return True


class LocalReader:
    """A range of a local file, read without a buffer between the kernel and the caller's."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self._path, self._left = path, size
        with disk_errors(path):
            self._file = open_plain(path, 0)
            self._file.seek(start)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer. Return the number of bytes, 0 at the end."""
        with disk_errors(self._path):
            count = self._file.readinto(buffer[: self._left]) or 0
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _named(path: Path) -> Path:
    """Return a path whose name is text. The files of a run are JSON, which holds no other bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        where = str(path).encode(errors="backslashreplace").decode()
        remedy = "rename it, or move it out of the folder"
        raise InputError("its name is not UTF-8", where=where, remedy=remedy) from error
    return path


def list_files(folder: str, missing_ok: bool, unreadable: list[str] | None = None) -> list[FileInfo]:
    """Return all files below a folder, without hidden ones and broken links, ordered by path.

    What may not be listed or looked at is added to ``unreadable``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, unless ``missing_ok``.
    InputError
        If a name is not UTF-8.
    """
    if not missing_ok and not os.path.isdir(folder):
        raise FileNotFoundError(folder)
    found = []
    for place, _, names in walk(Path(folder), unreadable):
        for path in (place / name for name in names if not name.startswith(".")):
            try:
                if not is_broken_link(path):
                    found.append(info(_named(path)))
            except (PermissionError, StorageError) as error:
                _refuse(str(path), error, unreadable)
    return sorted(found)


def list_non_files(folder: str) -> list[str]:
    """Return all folders and broken links below a folder, ordered."""
    return sorted(
        str(_named(place / name))
        for place, below, names in walk(Path(folder), unreadable=[])
        for name in (*below, *names)
        if name in below or is_broken_link(place / name)
    )


def remove_temporary_files(folder: str) -> None:
    """Remove what writers that were killed left below a folder. No writer may be active there."""
    for place, _, names in walk(Path(folder)):
        for name in names:
            if name.startswith(_TEMPORARY):
                (place / name).unlink(missing_ok=True)
