"""What all handlers share: the event, logs and metrics, and the errors that Step Functions sees.

Logs carry the run, the execution and the item, and never a row of a table. The class name of a raised
exception is what the state machine's Retry and Catch match.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict

from lensneg.errors import LensnegError
from lensneg.schema.gate import Judged, Verdict
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.record import Record
from lensneg.schema.states import StateError

#: The stack's name on AWS, so that two stacks in one account are told apart.
_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "lensneg")

_NAMESPACE = "lensneg"

# Most functions have no metrics of their own, and that is as it should be.
warnings.filterwarnings("ignore", "No application metrics to publish")

logger = Logger(service=_SERVICE)
metrics = Metrics(namespace=_NAMESPACE, service=_SERVICE)

# The library's own records come out in the same form, with the same keys.
log = logging.getLogger("lensneg.task")
copy_config_to_registered_loggers(source_logger=logger, include={"lensneg"})

Json = dict[str, Any]
Handler = Callable[[Json, LambdaContext], Json]


class Caught(BaseModel):
    """What the graph carries beside the run: how its Map and its job ended."""

    model_config = ConfigDict(extra="ignore")

    map_error: StateError | None = None
    job_error: StateError | None = None
    job: Json | None = None


class TaskEvent(BaseModel):
    """What a state of the graph hands to its function.

    Attributes
    ----------
    root : str
        The run's folder; empty where it is not known yet.
    execution_arn : str
        The execution that the function works for.
    item : Item or None
        Of FilterSweep.
    input : dict or None
        The execution's input, of Preflight.
    state : Caught
    """

    model_config = ConfigDict(extra="forbid")

    root: str = ""
    execution_arn: str = ""
    item: Item | None = None
    input: Json | None = None
    state: Caught = Caught()


def task(function: Callable[[TaskEvent], Record]) -> Handler:
    """Make a Lambda handler of a function from an event to a result."""
    state = "".join(word.capitalize() for word in function.__module__.rpartition(".")[2].split("_"))

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics(raise_on_empty_metrics=False)
    @wraps(function)
    def handler(event: Json, context: LambdaContext) -> Json:
        parsed = TaskEvent.model_validate(event)
        keys = _keys(parsed)
        logger.append_keys(**keys)
        subject = " ".join([state, *filter(None, [keys.get("item")])])
        log.info("%s started", subject)
        started = time.perf_counter()
        try:
            result = function(parsed)
        except LensnegError as error:
            log.error("%s failed: %s: %s", subject, type(error).__name__, error)
            raise
        if isinstance(result, Judged):
            _tell_verdict(result.gate)
        log.info("%s ended after %.2f s", subject, time.perf_counter() - started)
        return result.as_json()

    return cast(Handler, handler)


def _keys(event: TaskEvent) -> dict[str, str]:
    """Return what every record of an invocation carries."""
    run_id = RunFiles.of_root(event.root).run_id if event.root else str((event.input or {}).get("run_id"))
    item = {"item": event.item.id} if event.item else {}
    return {"run_id": run_id, "execution_arn": event.execution_arn, **item}


def _tell_verdict(verdict: Verdict) -> None:
    """Log a gate's verdict, and make it a metric, with a dimension that the others do not have."""
    if verdict.passed:
        log.info("%s passed", verdict.gate)
    else:
        log.warning("%s did not pass: %s", verdict.gate, verdict.cause)
    dimensions = {"service": _SERVICE, "gate": verdict.gate}
    with single_metric(
        "GatePassed",
        MetricUnit.Count,
        int(verdict.passed),
        namespace=_NAMESPACE,
        default_dimensions=dimensions,
    ):
        pass
