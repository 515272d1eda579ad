"""PlanFanOut: plan the map."""

from functions.task import TaskEvent, task
from lensneg.schema.states import Plan
from lensneg.stages.application import start_application
from lensneg.stages.plan_fan_out import plan_fan_out


@task
def handler(event: TaskEvent) -> Plan:
    """Write run.json, the lens positions and the map's items, while the application of the draw starts."""
    start_application()
    return plan_fan_out(event.root)
