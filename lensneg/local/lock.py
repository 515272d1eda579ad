"""One process at a time works on a run: two would write the draw into one folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lensneg.errors import InputError
from lensneg.schema.layout import RunFiles

#: In the run's folder, hidden: it is no file of the run.
LOCK_NAME = ".lock"


@contextmanager
def locked(*runs: RunFiles) -> Iterator[None]:
    """Hold the locks of some runs. The system releases them with the process, however it ends.

    Raises
    ------
    InputError
        If another process works on one of them.
    """
    with ExitStack() as stack:
        for files in runs:
            stack.enter_context(_locked(files))
        yield


@contextmanager
def _locked(files: RunFiles) -> Iterator[None]:
    path = Path(files.root, LOCK_NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 20).decode(errors="replace").strip()
            raise InputError(
                f"process {holder or 'unknown'} is at work on this run",
                where=files.root,
                remedy="wait for its end, or choose another run id",
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, b"%d\n" % os.getpid())
        yield
    finally:
        os.close(handle)
