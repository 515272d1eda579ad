"""Quarantine: what failed gate 4 is set aside, with its report."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.quarantine import quarantine
from lensneg.stages.report import write_report


@task
def handler(event: Event) -> Event:
    """Mark the run's output as unfit, and write the report that shows why."""
    marked = quarantine(event["root"])
    write_report(event["root"])
    return marked
