"""The errors that lensneg raises. Each says what is wrong, where, and what to do.

Step Functions matches an error of a Lambda function by the class name of the exception. So
``statemachine/negative_sampling.asl.json`` contains names of these classes.
"""

from functools import partial
from typing import Any


class LensnegError(Exception):
    """Base of all errors that a user sees without a traceback.

    Parameters
    ----------
    what : str
        What is wrong: what was found and, where it is not obvious, what was expected.
    where : str
        The file, option, column or row that is wrong.
    remedy : str
        What to do about it.

    Examples
    --------
    >>> print(LensnegError("no such file", where="--config a.yaml", remedy="check the path"))
    --config a.yaml: no such file; check the path
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return place + self.what + (f"; {self.remedy}" if self.remedy else "")

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process pickles its errors. By default, Exception would drop the keyword arguments.
        return partial(type(self), where=self.where, remedy=self.remedy), (self.what,)


class InputError(LensnegError):
    """An input of the user is wrong: a config, a catalogue, a sweep file, an argument."""


class ConfigError(InputError):
    """The configuration does not fit its schema."""


class CatalogError(InputError):
    """A lens catalogue cannot be read, or contains impossible positions."""


class SweepError(InputError):
    """A file is not a sweep file, is damaged, or is of a release that the run does not accept."""


class RunStateError(LensnegError):
    """The run's own files are missing or damaged, or contradict each other or the request."""


class GateFailedError(LensnegError):
    """A gate of a run did not pass."""


class TransientError(LensnegError):
    """An operation failed that may succeed when it is repeated. The state machine retries it."""


class StorageError(LensnegError):
    """A file cannot be read or written, and a retry would not help: no space, permission or bucket."""
