"""CheckSample: gate 3's checks."""

from __future__ import annotations

from functions.task import Event, task
from lensneg.samplecheck import check_sample


@task
def handler(event: Event) -> Event:
    """Judge the draw; ``job_error`` is there where the job failed, ``job`` where it ended well."""
    return check_sample(event["root"], event.get("job_error"), event.get("job"))
