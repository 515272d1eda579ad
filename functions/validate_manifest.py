"""ValidateManifest: gate 4's checks."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.validate_manifest import validate_manifest


@task
def handler(event: Event) -> Event:
    """Audit what the draw wrote."""
    return validate_manifest(event["root"])
