"""The errors that lensneg raises. Each message says what is wrong, where, and what to do.

Step Functions matches a Lambda function's error by the exception's class name, so the names here are
part of the contract with ``statemachine/negative_sampling.asl.json``.
"""

from __future__ import annotations


class LensnegError(Exception):
    """Base of all errors that are worth showing to a user without a traceback."""


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


class TransientError(LensnegError):
    """Something that may work when tried again. The state machine retries it."""


class StorageError(LensnegError):
    """A file cannot be read or written: no space, no permission, no such bucket. Trying again is no help."""
