"""The outputs of the graph's states besides a gate's verdict: identifiers, counts and URIs."""

import json
from contextlib import suppress
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
        return f"{self.Error}: {message_of(self.Cause)}"


def message_of(cause: str) -> str:
    """Return what a cause says. That of a function or of a job run is JSON.

    Parameters
    ----------
    cause : str
        The ``Cause`` of a failed state or execution.

    Returns
    -------
    str
        The message of the function, the state and its details of the job run, or else the cause.

    Examples
    --------
    >>> message_of('{"JobRunId": "00f", "State": "FAILED", "StateDetails": "exit code 1"}')
    'job run 00f is FAILED: exit code 1'
    """
    with suppress(ValueError):
        told = json.loads(cause)
        if isinstance(told, dict) and "errorMessage" in told:
            return str(told["errorMessage"])
        if isinstance(told, dict) and "StateDetails" in told:
            return f"job run {told.get('JobRunId')} is {told.get('State')}: {told['StateDetails']}"
    return cause


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
