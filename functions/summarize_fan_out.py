"""SummarizeFanOut: what the map found, the quotas, and gate 2's checks."""

from functions.task import TaskEvent, task
from lensneg.schema.gate import Judged
from lensneg.stages.summarize_fan_out import summarize_fan_out


@task
def handler(event: TaskEvent) -> Judged:
    """Add up the map's results; ``map_error`` is there where the Map itself failed."""
    return summarize_fan_out(event.root, event.state.map_error)
