"""Quarantine: mark a run that failed gate 4, and write its report."""

from functions.task import TaskEvent, task
from lensneg.schema.states import Written
from lensneg.stages.quarantine import quarantine
from lensneg.stages.report import write_report


@task
def handler(event: TaskEvent) -> Written:
    """Mark the run's output as unfit, and write the report."""
    marked = quarantine(event.root)
    write_report(event.root, event.times("Quarantine"))
    return marked
