"""Report: write a run's report."""

from functions.task import TaskEvent, task
from lensneg.schema.states import Written
from lensneg.stages.report import write_report


@task
def handler(event: TaskEvent) -> Written:
    """Write validation.json, cost.json and report.html."""
    return write_report(event.root, event.times("Report"))
