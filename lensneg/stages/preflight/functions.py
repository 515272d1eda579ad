"""Whether Lambda functions can be called. One that nobody called for some weeks is woken."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from lensneg.schema.states import WAKE

#: The state of a function that was idle for some weeks. Its first call is refused, and starts it again.
INACTIVE: Final = "Inactive"

#: States and updates that end well by themselves. The state machine retries a call until then.
_PASSING: Final = frozenset({INACTIVE, "Pending", "InProgress"})

_FINE: Final = frozenset({"Active", "Successful"})

#: The parameters of an asynchronous call that a handler answers without doing anything.
WAKING_CALL: Final[Mapping[str, str]] = {"InvocationType": "Event", "Payload": json.dumps(WAKE)}


class Readiness(NamedTuple):
    """Whether something is in order, what was found, and whether that fails a gate."""

    passed: bool
    actual: str
    critical: bool = True


def readiness(configuration: Mapping[str, Any], wake: Callable[[], None]) -> Readiness:
    """Judge a function by its configuration, and wake it if it is inactive.

    Parameters
    ----------
    configuration : mapping
        The answer of GetFunctionConfiguration.
    wake : callable
        Makes :data:`WAKING_CALL`.

    Returns
    -------
    Readiness
        It is critical only if a call of the function would fail for good.
    """
    state = configuration.get("State", "Active")
    update = configuration.get("LastUpdateStatus", "Successful")
    why = configuration.get("StateReason") or configuration.get("LastUpdateStatusReason")
    text = f"{state}, last update {update}" + (f": {why}" if why else "")
    if state == INACTIVE:
        wake()
        text = "inactive: will be woken" + (f" ({why})" if why else "")
    return Readiness({state, update} <= _FINE, text, not {state, update} <= _FINE | _PASSING)
