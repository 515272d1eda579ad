"""The end of a command that fails: what failed, where, why, what to do, how to go on, where more is said."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from lensneg.commands.settings import settings
from lensneg.errors import LensnegError

if TYPE_CHECKING:
    from lensneg.schema.check import Check

#: Faults that a block shows. ``--json`` has all of them.
_SHOWN: Final = 5

#: The width of a block's first column.
_WIDTH: Final = 9


class Fault(NamedTuple):
    """One thing that is wrong: where, why, and what to do about it."""

    where: str
    why: str
    remedy: str = ""


@dataclass(frozen=True)
class Failure:
    """The failure of a command.

    Attributes
    ----------
    what : str
        What failed: a command, or a gate or a state of a run.
    exit_code : int
        The command ends with it.
    faults : tuple of Fault
        What is wrong.
    command : str
        The command that goes on.
    details : tuple of str
        Where more is said.
    """

    what: str
    exit_code: int
    faults: tuple[Fault, ...]
    command: str
    details: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the failure for ``--json``."""
        return {
            "what": self.what,
            "exit_code": self.exit_code,
            "faults": [fault._asdict() for fault in self.faults],
            "command": self.command,
            "details": list(self.details),
        }

    def text(self) -> str:
        """Return the block that a user sees."""
        lines = [_line("FAILED", self.what)]
        for fault in self.faults[:_SHOWN]:
            lines += map(_line, ("where", "why", "to do"), fault)
        if more := len(self.faults) - _SHOWN:
            lines += [_line("", f"and {more:,} more, which --json names")] if more > 0 else []
        lines.append(_line("go on", self.command))
        return "\n".join([*lines, _line("details", "\n".join(self.details))])


def _line(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}}" + text.replace("\n", "\n" + " " * _WIDTH)


def given_command(*more: str) -> str:
    """Return the command that was given, as a shell takes it, with further words."""
    return shlex.join(["lensneg", *sys.argv[1:], *more])


def failure_of(
    faults: Iterable[Fault],
    exit_code: int,
    *,
    what: str = "",
    command: str = "",
    details: Sequence[str] = (),
) -> Failure:
    """Return the failure of the command that runs. Whatever a caller leaves empty gets a value."""
    remedy = "correct that, and give the command again"
    whole = tuple(Fault(f.where or settings.command, f.why, f.remedy or remedy) for f in faults)
    traceback = "the traceback above" if settings.verbose else "-v shows the traceback"
    return Failure(
        what=what or settings.command,
        exit_code=exit_code,
        faults=whole,
        command=command or given_command(),
        details=tuple(filter(None, details)) or (traceback,),
    )


def faults_of_checks(checks: "Iterable[Check]") -> list[Fault]:
    """Return a fault for each critical check that did not pass."""
    return [
        Fault(
            check.where or f"check {check.name}",
            f"{check.name}: expected {check.expected}, got {check.actual}",
            check.remedy,
        )
        for check in checks
        if check.critical and not check.passed
    ]


def fault_of_error(error: BaseException) -> Fault:
    """Return the fault of an error. An error of the operating system is told in words, with its file."""
    if isinstance(error, LensnegError):
        return Fault(error.where, error.what, error.remedy)
    if isinstance(error, click.ClickException):
        return Fault("the command line", error.format_message(), "correct the command line")
    if isinstance(error, OSError):
        from lensneg.storage.errors import explain

        return Fault(str(error.filename or ""), *explain(error))
    if isinstance(error, MemoryError):
        return Fault("", "out of memory", "give it more memory, or fewer processes (--workers, --jobs)")
    return Fault("", f"{type(error).__name__}: {error}", "this is a fault of lensneg: please report it")
