"""SummarizeFanOut: what the map found, the quotas, and gate 2's checks."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.summarize_fan_out.summary import summarize_fan_out


@task
def handler(event: Event) -> Event:
    """Add up the map's results; ``map_error`` is there where the Map itself failed."""
    return summarize_fan_out(event["root"], event.get("map_error"))
