"""Quarantine: what failed gate 4 is set aside, with its report."""

from functions.task import TaskEvent, task
from lensneg.schema.states import Written
from lensneg.stages.quarantine import quarantine
from lensneg.stages.report import write_report


@task
def handler(event: TaskEvent) -> Written:
    """Mark the run's output as unfit, and write the report that shows why."""
    marked = quarantine(event.root)
    write_report(event.root)
    return marked
