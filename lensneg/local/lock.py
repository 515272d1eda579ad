"""The lock of a run's folder: one process at a time works on a run."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles
from lensneg.storage.errors import disk_errors

#: The name of the lock file. It is hidden, because it is no file of the run.
_LOCK_NAME = ".lock"


@contextmanager
def locked(*runs: RunFiles) -> Iterator[None]:
    """Hold the locks of some runs. The system releases them when the process ends, even if it is killed.

    Raises
    ------
    InputError
        If another process works on one of them.
    StorageError
        If the disk is full or broken.
    """
    with ExitStack() as stack:
        for files in runs:
            path, is_published = Path(files.root, _LOCK_NAME), storage.is_file(files.manifest)
            if is_published and not path.exists():
                continue  # a copy, on which nobody is at work; a published run's folder is left as it is
            with disk_errors(str(path)):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(handle, 20).decode(errors="replace").strip()
                raise InputError(
                    f"process {holder or 'unknown'} is at work on this run",
                    where=files.root,
                    remedy="wait for its end, or choose another run id",
                ) from error
            if is_published:
                continue
            with disk_errors(str(path)):
                os.ftruncate(handle, 0)
                os.write(handle, b"%d\n" % os.getpid())
        yield
