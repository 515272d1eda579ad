"""The parts that all handlers share: the event, logs, metrics and errors.

Log records carry the run, the execution and the item, and no rows of tables. Retry and Catch of the state
machine match the class name of an exception.
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
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.schema.gate import Judged, Verdict
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.record import Record
from lensneg.schema.state_times import MINI_TEST, StateTimes
from lensneg.schema.states import DEFAULT_VCPUS, WAKE, StateError

#: The stack's name on AWS, which distinguishes two stacks in one account.
_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "lensneg")

_NAMESPACE = "lensneg"

# Most functions have no metrics of their own.
warnings.filterwarnings("ignore", "No application metrics to publish")

logger = Logger(service=_SERVICE)
metrics = Metrics(namespace=_NAMESPACE, service=_SERVICE)

# The library's log records get the same form and the same keys.
log = logging.getLogger("lensneg.task")
copy_config_to_registered_loggers(source_logger=logger, include={"lensneg"})

Json = dict[str, Any]
Handler = Callable[[Json, LambdaContext], Json]


class Caught(BaseModel):
    """The state of the graph: what the job may take, and how the Map and the job ended."""

    model_config = ConfigDict(extra="ignore")

    max_vcpus: int = DEFAULT_VCPUS
    map_error: StateError | None = None
    job_error: StateError | None = None
    job: Json | None = None


class TaskEvent(BaseModel):
    """The event of a function.

    Attributes
    ----------
    root : str
        The run's folder; empty if it is not known yet.
    execution_arn : str
    entered : datetime or None
        When the state was entered. An item of the map has none.
    item : Item or None
        The item of FilterSweep.
    scratch : str
        The folder of FilterSweep for files that it fetches; empty on AWS, where it fetches none.
    input : dict or None
        The execution's input, for Preflight.
    state : Caught
    """

    model_config = ConfigDict(extra="forbid")

    root: str = ""
    execution_arn: str = ""
    entered: AwareDatetime | None = None
    item: Item | None = None
    scratch: str = ""
    input: Json | None = None
    state: Caught = Caught()

    def times(self, state: str, root: str = "") -> StateTimes | None:
        """Return the times of the event's state, which ends now; None if its beginning is not known."""
        return StateTimes.until_now(state, self.entered, root or self.root) if self.entered else None


def task(function: Callable[[TaskEvent], Record]) -> Handler:
    """Turn a function that takes an event and returns a result into a Lambda handler."""
    state = "".join(word.capitalize() for word in function.__module__.rpartition(".")[2].split("_"))

    @logger.inject_lambda_context(clear_state=True)
    @metrics.log_metrics(raise_on_empty_metrics=False)
    @wraps(function)
    def handler(event: Json, context: LambdaContext) -> Json:
        if event == WAKE:
            return {}
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
        except Exception as error:
            log.exception("%s died of %s: %s", subject, type(error).__name__, error)
            raise
        if isinstance(result, Judged):
            _log_verdict(result.gate)
        root = parsed.root or getattr(result, "root", "")
        if not _is_refused_start(result, root):
            _keep_times(state, parsed, root)
        log.info("%s ended after %.2f s", subject, time.perf_counter() - started)
        return result.as_json()

    return cast(Handler, handler)


def _keys(event: TaskEvent) -> dict[str, str]:
    """Return the keys of every log record of an invocation."""
    run_id = RunFiles.of_root(event.root).run_id if event.root else str((event.input or {}).get("run_id"))
    item = {"item": event.item.id} if event.item else {}
    return {"run_id": run_id, "execution_arn": event.execution_arn, **item}


def _is_refused_start(result: Record, root: str) -> bool:
    """Return whether a published run is not to be made again. Then nothing is written into its folder."""
    refused = isinstance(result, Judged) and not result.gate.passed
    return refused and bool(root) and storage.exists(RunFiles.of_root(root).manifest)


def _keep_times(state: str, event: TaskEvent, root: str) -> None:
    """Write when the state began and ended, and the same of a mini-test before it.

    They are for the report alone, so a failure to write them fails nothing.
    """
    times = event.times(state, root)
    if times is None or not root:
        return
    try:
        times.write(RunFiles.of_root(root).state_times(state))
        test = (event.input or {}).get("mini_test")
        if isinstance(test, dict) and "entered" in test:
            changed = {"state": MINI_TEST, "entered": test["entered"], "ended": times.entered}
            times = StateTimes.model_validate({**times.as_json(), **changed})
            times.write(RunFiles.of_root(root).state_times(MINI_TEST))
    except (LensnegError, OSError, ValidationError) as error:
        log.warning("the report will lack the times of %s: %s", state, error)


def _log_verdict(verdict: Verdict) -> None:
    """Log a gate's verdict, and publish it as a metric with a dimension of its own."""
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
