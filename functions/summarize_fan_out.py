"""SummarizeFanOut: add up the map's results, and judge them at gate 2."""

from functions.task import TaskEvent, task
from lensneg.schema.states import FanOutSummarized
from lensneg.stages.summarize_fan_out import summarize_fan_out


@task
def handler(event: TaskEvent) -> FanOutSummarized:
    """Add up the map's results. The state has ``map_error`` if the Map state itself failed."""
    return summarize_fan_out(event.root, event.state.map_error, event.state.max_vcpus)
