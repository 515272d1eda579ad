"""ValidateManifest: audit the sample at gate 4."""

from functions.task import TaskEvent, task
from lensneg.schema.gate import Judged
from lensneg.stages.validate_manifest import validate_manifest


@task
def handler(event: TaskEvent) -> Judged:
    """Audit the sample."""
    return validate_manifest(event.root)
