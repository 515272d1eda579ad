"""What all handlers share: logs and metrics, and the errors that Step Functions sees.

Logs carry the run, the item and the request, and never a row of a table. The class
name of a raised exception is what the state machine's Retry and Catch match.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext

from lensneg.errors import LensnegError

#: The stack's name on AWS, so that two stacks in one account are told apart.
_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "lensneg")

_NAMESPACE = "lensneg"

logger = Logger(service=_SERVICE)
metrics = Metrics(namespace=_NAMESPACE, service=_SERVICE)

Event = dict[str, Any]
Handler = Callable[[Event, LambdaContext], Event]


def task(function: Callable[[Event], Event]) -> Handler:
    """Make a Lambda handler of a function from an event to a result."""

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics(raise_on_empty_metrics=False)
    @wraps(function)
    def handler(event: Event, context: LambdaContext) -> Event:
        logger.append_keys(root=event.get("root", ""))
        try:
            result = function(event)
        except LensnegError as error:
            logger.error("failed", extra={"error": type(error).__name__, "reason": str(error)})
            raise
        if "gate" in result:
            _count_verdict(result["gate"])
        logger.info("done")
        return result

    return cast(Handler, handler)


def _count_verdict(verdict: Event) -> None:
    """Make a gate's verdict a metric, with a dimension that the function's other metrics do not have."""
    dimensions = {"service": _SERVICE, "gate": verdict["gate"]}
    with single_metric(
        "GatePassed",
        MetricUnit.Count,
        int(verdict["passed"]),
        namespace=_NAMESPACE,
        default_dimensions=dimensions,
    ):
        pass
