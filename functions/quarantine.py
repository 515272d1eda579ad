"""Quarantine: what failed gate 4 is set aside."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.publish import quarantine


@task
def handler(event: Event) -> Event:
    """Mark the run's output as unfit."""
    return quarantine(event["root"])
