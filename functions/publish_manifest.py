"""PublishManifest: what passed gate 4 moves into view."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.stages.publish_manifest import publish_manifest


@task
def handler(event: Event) -> Event:
    """Publish the manifest, or record a passed mini-test."""
    return publish_manifest(event["root"])
