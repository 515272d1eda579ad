"""Preflight: gate 1's checks."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.preflight.gate1 import preflight


@task
def handler(event: Event) -> Event:
    """Check the execution's input and everything it names."""
    return preflight(event)
