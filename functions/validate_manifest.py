"""ValidateManifest: gate 4's checks."""

from functions.task import TaskEvent, task
from lensneg.schema.gate import Judged
from lensneg.stages.validate_manifest import validate_manifest


@task
def handler(event: TaskEvent) -> Judged:
    """Audit what the draw wrote."""
    return validate_manifest(event.root)
