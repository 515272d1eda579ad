"""What the states of the graph hand on, beside a gate's verdict: identifiers, counts and places."""

from typing import Literal

from pydantic import ConfigDict

from lensneg.schema.gate import Judged
from lensneg.schema.record import Record


class PreflightResult(Judged):
    """What Preflight hands on.

    Attributes
    ----------
    root : str
        The run's folder; empty where the input is wrong.
    mode : str
        ``test`` or ``full``; empty where the input is wrong.
    max_concurrency : int
        Map items at a time.
    published : bool
        Whether the run is published already, from the very same inputs.
    """

    root: str
    mode: Literal["test", "full", ""]
    max_concurrency: int
    published: bool


class StateError(Record):
    """``Error`` and ``Cause`` with which a state ended that the graph caught."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    Error: str = ""
    Cause: str = ""

    def __str__(self) -> str:
        return f"{self.Error}: {self.Cause}"


class Plan(Record):
    """What PlanFanOut hands on: where Step Functions finds the items, and how many the Map may lose."""

    bucket: str
    key: str
    count: int
    tolerated_failure_percentage: float


class Published(Record):
    """What PublishManifest hands on."""

    kind: Literal["manifest", "mini_test"]
    uri: str


class Written(Record):
    """What Report and Quarantine hand on: the file that they wrote."""

    uri: str


class ItemDone(Record):
    """What FilterSweep hands on."""

    item: str
    rows_in: int
    rows_kept: int
