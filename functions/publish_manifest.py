"""PublishManifest: publish a run that passed gate 4."""

from functions.task import TaskEvent, task
from lensneg.schema.states import Published
from lensneg.stages.publish_manifest import publish_manifest


@task
def handler(event: TaskEvent) -> Published:
    """Publish the manifest, or record a passed mini-test."""
    return publish_manifest(event.root)
