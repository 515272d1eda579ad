"""Preflight: gate 1's checks."""

from functions.task import TaskEvent, task
from lensneg.schema.states import PreflightResult
from lensneg.stages.preflight import preflight


@task
def handler(event: TaskEvent) -> PreflightResult:
    """Check the execution's input and everything it names."""
    return preflight(event.input)
