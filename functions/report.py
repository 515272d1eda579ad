"""Report: the run's numbers, for machines and for people."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.report import write_report


@task
def handler(event: Event) -> Event:
    """Write validation.json, cost.json and report.html."""
    return write_report(event["root"])
