"""PlanFanOut: what the map works from."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.plan_fan_out import plan_fan_out


@task
def handler(event: Event) -> Event:
    """Write run.json, the lens positions and the map's items."""
    return plan_fan_out(event["root"])
