"""Preflight: check a run's inputs at gate 1."""

from functions.task import TaskEvent, task
from lensneg.schema.states import PreflightResult
from lensneg.stages.preflight import preflight


@task
def handler(event: TaskEvent) -> PreflightResult:
    """Check the execution's input and all files that it names."""
    return preflight(event.input)
