"""The outputs of the graph's states besides a gate's verdict: identifiers, counts and URIs."""

from typing import Final, Literal

from pydantic import ConfigDict

from lensneg.schema.gate import Judged
from lensneg.schema.record import Record

#: The event of a call that only wakes a function. Its handler does nothing.
WAKE: Final = {"wake": True}

#: The maximum capacity of the EMR application that template.yaml gives it if nobody chooses another.
DEFAULT_VCPUS: Final = 16


class PreflightResult(Judged):
    """The output of Preflight.

    Attributes
    ----------
    root : str
        The run's folder; empty where the input is wrong.
    mode : str
        ``test`` or ``full``; empty where the input is wrong.
    max_concurrency : int
        The number of map items that may run at a time: that of the input, or what the account allows.
    max_vcpus : int
        The vCPUs that the draw's job may have.
    published : bool
        Whether the run is already published from the same inputs.
    """

    root: str
    mode: Literal["test", "full", ""]
    max_concurrency: int
    max_vcpus: int = DEFAULT_VCPUS
    published: bool


class FanOutSummarized(Judged):
    """The output of SummarizeFanOut: the verdict of gate 2, and the most executors of the draw's job."""

    executors: int


class StateError(Record):
    """The ``Error`` and ``Cause`` of a failed state that the graph caught."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    Error: str = ""
    Cause: str = ""

    def __str__(self) -> str:
        return f"{self.Error}: {self.Cause}"


class Plan(Record):
    """The output of PlanFanOut: the place of items.json, and the share of items that may fail."""

    bucket: str
    key: str
    count: int
    tolerated_failure_percentage: float


class Published(Record):
    """The output of PublishManifest."""

    kind: Literal["manifest", "mini_test"]
    uri: str


class Written(Record):
    """The output of Report and of Quarantine: the file that they wrote."""

    uri: str


class ItemDone(Record):
    """The output of FilterSweep."""

    item: str
    rows_in: int
    rows_kept: int
