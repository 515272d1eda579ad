"""Standard output and standard error, whose readers may go away at any time."""

import errno
import io
import os
import sys
from typing import Any, Final

from lensneg.errors import StorageError

#: Errors of a write to a pipe without a reader, and to a terminal that is gone.
_NO_READER: Final = frozenset({errno.EPIPE, errno.EIO})


class _Stream(io.FileIO):
    """A stream of the process. What nobody reads is dropped.

    A result that cannot be written, because the disk is full for example, is an error. A remark is not.
    """

    _failed = False

    def write(self, data: Any, /) -> int:
        """Write some bytes."""
        try:
            return super().write(data)
        except OSError as error:
            # The interpreter writes what is left once more when it ends.
            if self.fileno() == 2 or error.errno in _NO_READER or self._failed:
                return memoryview(data).nbytes
            self._failed = True
            raise StorageError(
                str(error.strerror),
                where="standard output",
                remedy="the work is done, but its result cannot be printed; print it elsewhere",
            ) from error


def use_patient_streams() -> None:
    """Let standard output and standard error outlive their readers, for the rest of the process.

    A closed one is replaced by the null device, since the next file that is opened would get its number, and
    the messages of libraries. A character that a stream's encoding lacks is printed as its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, original in (("stdout", sys.__stdout__), ("stderr", sys.__stderr__)):
        if original is None or getattr(sys, name) is not original:
            continue  # it is closed, or a caller collects what is printed
        buffer = io.BufferedWriter(_Stream(original.fileno(), "wb", closefd=False))
        patient = io.TextIOWrapper(
            buffer, original.encoding, "backslashreplace", line_buffering=original.line_buffering
        )
        setattr(sys, name, patient)
