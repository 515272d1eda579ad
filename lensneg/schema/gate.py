"""Gates: named checks, and the verdict that a Choice state reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Self

from pydantic import model_validator

from lensneg.schema.check import Check
from lensneg.schema.layout import RunFiles
from lensneg.schema.record import Record

_log = logging.getLogger(__name__)

#: The gates, by number, under the names of their Choice states.
GATE_NAMES: Final = {
    1: "Gate1PreSubmission",
    2: "Gate2FanOutComplete",
    3: "Gate3SampleComplete",
    4: "Gate4OutputValid",
}

#: Step Functions cuts a cause at 32,768 characters; what a person reads fits in much less.
_MAX_CAUSE: Final = 4000


class Verdict(Record):
    """What the state machine carries on of a gate: small, whatever the number of checks."""

    gate: str
    passed: bool
    cause: str


class Judged(Record):
    """What a state hands on whose checks a Choice state reads."""

    gate: Verdict


class Gate(Record):
    """gates/gateN.json: a gate's checks. It passes when every critical check does."""

    gate: str
    passed: bool
    checks: tuple[Check, ...]

    @model_validator(mode="after")
    def _verdict_follows(self) -> Self:
        if self.passed == bool(self.failed):
            raise ValueError("passed does not follow from the checks")
        return self

    @classmethod
    def of(cls, number: int, checks: Iterable[Check]) -> Gate:
        """Make the gate of a number from its checks."""
        checks = tuple(checks)
        for check in checks:
            level = logging.DEBUG if check.passed else logging.WARNING
            _log.log(level, "%s %s", check.verdict, check.sentence)
        return cls(gate=GATE_NAMES[number], passed=not _failed(checks), checks=checks)

    @property
    def failed(self) -> list[Check]:
        """The critical checks that did not pass."""
        return _failed(self.checks)

    @property
    def verdict(self) -> Verdict:
        """What the state machine carries on."""
        cause = "; ".join(check.sentence for check in self.failed)
        if len(cause) > _MAX_CAUSE:
            cause = cause[: _MAX_CAUSE - 1] + "…"
        return Verdict(gate=self.gate, passed=self.passed, cause=cause)

    def judged(self, uri: str) -> Judged:
        """Write the gate to its file, and return its verdict as a state hands it on."""
        self.write(uri)
        return Judged(gate=self.verdict)


def _failed(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.critical and not check.passed]


def all_passed(checks: Iterable[Check]) -> bool:
    """Return whether no critical check failed."""
    return not _failed(checks)


def read_gates(files: RunFiles) -> list[Gate]:
    """Return the gates that a run has reached, in order."""
    gates = []
    for number in GATE_NAMES:
        gate = Gate.read_if_there(files.gate(number))
        if gate is None:
            break
        gates.append(gate)
    return gates
