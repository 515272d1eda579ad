"""Gates: named checks, and the verdict that a Choice state reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from lensneg import storage
from lensneg.schema.check import Check

#: The gates, by number, under the names of their Choice states.
GATE_NAMES: Final = {
    1: "Gate1PreSubmission",
    2: "Gate2FanOutComplete",
    3: "Gate3SampleComplete",
    4: "Gate4OutputValid",
}

#: Step Functions cuts a cause at 32,768 characters; what a person reads fits in much less.
_MAX_CAUSE: Final = 4000


class Gate(BaseModel):
    """A gate's checks. It passes when every critical check does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: str
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, number: int, checks: Iterable[Check]) -> Gate:
        """Make the gate of a number from its checks."""
        return cls(gate=GATE_NAMES[number], checks=tuple(checks))

    @property
    def passed(self) -> bool:
        """Whether no critical check failed."""
        return all(check.passed for check in self.checks if check.critical)

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that failed without being critical."""
        return tuple(c for c in self.checks if not c.passed and not c.critical)

    def record(self) -> dict[str, Any]:
        """Return the gate as it stands in gates/gateN.json."""
        return {
            "gate": self.gate,
            "passed": self.passed,
            "checks": [check.model_dump() for check in self.checks],
        }

    def verdict(self) -> dict[str, Any]:
        """Return what the state machine carries on: small, whatever the number of checks."""
        failed = [check for check in self.checks if check.critical and not check.passed]
        cause = "; ".join(f"{c.name}: expected {c.expected}, got {c.actual} ({c.hint})" for c in failed)
        if len(cause) > _MAX_CAUSE:
            cause = cause[: _MAX_CAUSE - 1] + "…"
        return {"gate": self.gate, "passed": self.passed, "cause": cause}

    def write(self, uri: str) -> dict[str, Any]:
        """Write the gate's record, and return its verdict."""
        storage.write_json(uri, self.record())
        return self.verdict()
