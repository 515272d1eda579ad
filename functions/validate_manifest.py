"""ValidateManifest: gate 4's checks."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.validation import validate_manifest


@task
def handler(event: Event) -> Event:
    """Audit what the draw wrote."""
    return validate_manifest(event["root"])
