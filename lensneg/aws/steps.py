"""Steps that change an account, each with what removes its changes again."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

from lensneg.errors import LensnegError


class Done(NamedTuple):
    """What a step found: in words, its dollars, and the error if it failed after it had cost something."""

    text: str
    usd: float = 0.0
    error: Exception | None = None


class CleanUp(NamedTuple):
    """What removes what a step made. It also works after a step that made only a part, or nothing."""

    name: str
    remove: Callable[[], str]

    def as_step(self) -> Done:
        """Remove it, and say so as a step does."""
        return Done(self.remove())


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes
    ----------
    name : str
        Its name.
    do : callable
        Does it.
    clean_ups : tuple of CleanUp
        They run in this order.
    is_local : bool
        Whether it uses this machine alone.
    """

    name: str
    do: Callable[[], Done]
    clean_ups: tuple[CleanUp, ...] = ()
    is_local: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a step or a clean-up ended. ``error`` is None if it succeeded."""

    step: str
    seconds: float
    usd: float
    text: str
    error: Exception | None = None
    is_local: bool = False


@dataclass(frozen=True)
class StepsReport:
    """All outcomes in order, and the number of the signal that interrupted the steps, 0 if none did."""

    outcomes: tuple[Outcome, ...]
    signal: int = 0

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes of what failed."""
        return [outcome for outcome in self.outcomes if outcome.error]

    @property
    def passed(self) -> bool:
        """Whether every step and every clean-up succeeded."""
        return not self.failures and not self.signal

    @property
    def usd(self) -> float:
        """Dollars of all steps."""
        return sum(outcome.usd for outcome in self.outcomes)


def run_steps(steps: Iterable[Step], *, keep: bool, tell: Callable[[str], None]) -> StepsReport:
    """Run steps up to the first that fails, then remove what they made, the last step's first.

    A clean-up that fails does not keep the others from running. The first Ctrl-C, SIGTERM or SIGHUP ends the
    steps, and the clean-ups follow. Further signals change nothing.

    Parameters
    ----------
    steps : iterable of Step
        The steps.
    keep : bool
        Whether nothing is removed.
    tell : callable
        Called with the name of each step and clean-up when it begins.

    Returns
    -------
    StepsReport
    """
    outcomes: list[Outcome] = []
    clean_ups: list[CleanUp] = []
    number = 0
    with _one_interruption() as ignore_signals:
        try:
            for step in steps:
                clean_ups = [*step.clean_ups, *clean_ups]
                tell(step.name)
                outcomes.append(_attempt(step.name, step.do, step.is_local))
                if outcomes[-1].error:
                    break
            ignore_signals()
        except KeyboardInterrupt as interruption:
            number = interruption.args[0] if interruption.args else signal.SIGINT
        finally:
            ignore_signals()
            for clean_up in [] if keep else clean_ups:
                tell(clean_up.name)
                outcomes.append(_attempt(clean_up.name, clean_up.as_step))
    return StepsReport(tuple(outcomes), number)


def _attempt(name: str, do: Callable[[], Done], is_local: bool = False) -> Outcome:
    begun = time.monotonic()
    try:
        text, usd, error = do()
    except (LensnegError, OSError) as fault:
        text, usd, error = "", 0.0, fault
    return Outcome(name, time.monotonic() - begun, usd, text, error, is_local)


@contextmanager
def _one_interruption() -> Iterator[Callable[[], None]]:
    """Let only the first signal interrupt. Yields what ignores that one, too."""
    ignored = False

    def ignore() -> None:
        nonlocal ignored
        ignored = True

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal ignored
        if not ignored:
            ignored = True
            raise KeyboardInterrupt(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            before[number] = signal.signal(number, interrupt)
    try:
        yield ignore
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
