"""Gates: named checks, and the verdict that a Choice state reads."""

import logging
from collections.abc import Iterable
from typing import Final, Self

from pydantic import model_validator

from lensneg.schema.check import Check
from lensneg.schema.layout import RunFiles
from lensneg.schema.record import Record

_log = logging.getLogger(__name__)

#: The names of the gates' Choice states, by number.
GATE_NAMES: Final = {
    1: "Gate1PreSubmission",
    2: "Gate2FanOutComplete",
    3: "Gate3SampleComplete",
    4: "Gate4OutputValid",
}

#: Step Functions truncates a cause at 32,768 characters. A reader needs fewer.
_MAX_CAUSE: Final = 4000


class Verdict(Record):
    """The part of a gate that the state machine keeps. It is small for any number of checks."""

    gate: str
    passed: bool
    cause: str


class Judged(Record):
    """The output of a state whose verdict a Choice state reads."""

    gate: Verdict


class Gate(Record):
    """The file gates/gateN.json: a gate's checks. The gate passes when every critical check passes."""

    gate: str
    passed: bool
    checks: tuple[Check, ...]

    @model_validator(mode="after")
    def _verdict_follows(self) -> Self:
        if self.passed != all_passed(self.checks):
            raise ValueError("passed does not follow from the checks")
        return self

    @classmethod
    def of(cls, number: int, checks: Iterable[Check]) -> Self:
        """Make a gate from its checks, and log these.

        Parameters
        ----------
        number : int
            The number of the gate, 1 to 4.
        checks : iterable of Check
            All checks of the gate.

        Returns
        -------
        Gate
            The gate with its verdict.
        """
        checks = tuple(checks)
        for check in checks:
            level = logging.DEBUG if check.passed else logging.WARNING
            _log.log(level, "%s %s", check.verdict, check.sentence)
        return cls(gate=GATE_NAMES[number], passed=all_passed(checks), checks=checks)

    @property
    def failed(self) -> list[Check]:
        """The critical checks that did not pass."""
        return [check for check in self.checks if check.critical and not check.passed]

    @property
    def verdict(self) -> Verdict:
        """The part that the state machine keeps."""
        cause = "; ".join(check.sentence for check in self.failed)
        if len(cause) > _MAX_CAUSE:
            cause = cause[: _MAX_CAUSE - 1] + "…"
        return Verdict(gate=self.gate, passed=self.passed, cause=cause)

    def judged(self, uri: str) -> Judged:
        """Write the gate to its file, and return the output of its state.

        Parameters
        ----------
        uri : str
            The file.

        Returns
        -------
        Judged
            The verdict.
        """
        self.write(uri)
        return Judged(gate=self.verdict)


def all_passed(checks: Iterable[Check]) -> bool:
    """Return whether no critical check failed.

    Parameters
    ----------
    checks : iterable of Check
        The checks of a gate, or some of them.

    Returns
    -------
    bool
        True also where only checks that are not critical failed.
    """
    return all(check.passed or not check.critical for check in checks)


#: Checks that a few files can fail by chance, although the whole sky passes them.
OF_CHANCE: Final = frozenset(
    {
        "positives_matched",
        "positives_in_strata",
        "n2_fraction",
        "strata_available",
        "strata_represented",
        "n1_n2_ratio",
        "split_fractions",
    }
)


def without_chance(checks: Iterable[Check]) -> list[Check]:
    """Return the checks of a mini-test: what chance can break is a warning.

    A mini-test proves that the machinery works. Its few files say little about the sample of the whole sky.

    Parameters
    ----------
    checks : iterable of Check
        The checks of a full run.

    Returns
    -------
    list of Check
        The same, with those of :data:`OF_CHANCE` not critical.
    """
    return [
        check.model_copy(update={"critical": check.critical and check.name not in OF_CHANCE})
        for check in checks
    ]


def read_gates(files: RunFiles) -> list[Gate]:
    """Return the gates that a run has reached. None is reached after one that did not pass.

    Parameters
    ----------
    files : RunFiles
        The run.

    Returns
    -------
    list of Gate
        In order.
    """
    gates = []
    for number in GATE_NAMES:
        gate = Gate.read_if_there(files.gate(number))
        if gate is None:
            break
        gates.append(gate)
        if not gate.passed:
            break
    return gates
