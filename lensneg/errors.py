"""The errors that lensneg raises. Each says what is wrong, where, and what to do.

Step Functions matches a Lambda function's error by the exception's class name, so the names here are
part of the contract with ``statemachine/negative_sampling.asl.json``.
"""

from typing import Any


class LensnegError(Exception):
    """Base of all errors that are worth showing to a user without a traceback.

    Parameters
    ----------
    what : str
        What is wrong: what was found and, where that is not plain, what was expected.
    where : str
        The file, option, column or row that is at fault.
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
        # A worker process hands its errors on whole.
        return _rebuilt, (type(self), self.what, self.where, self.remedy)


def _rebuilt(kind: type[LensnegError], what: str, where: str, remedy: str) -> LensnegError:
    return kind(what, where=where, remedy=remedy)


class InputError(LensnegError):
    """Something the user gave is wrong: a config, a catalogue, a sweep file, an argument."""


class ConfigError(InputError):
    """The configuration does not fit its schema."""


class CatalogError(InputError):
    """A lens catalogue cannot be read or holds impossible positions."""


class SweepError(InputError):
    """A sweep file is not one, is broken, or is of a release the run does not take."""


class RunStateError(LensnegError):
    """The run's own files contradict each other, or what is asked of them."""


class GateFailedError(LensnegError):
    """A gate of a run did not pass."""


class TransientError(LensnegError):
    """Something that may work when tried again. The state machine retries it."""


class StorageError(LensnegError):
    """A file cannot be read or written: no space, no permission, no such bucket. Trying again is no help."""
