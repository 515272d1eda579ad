"""CheckSample: gate 3's checks."""

from __future__ import annotations

from aws_lambda_powertools.metrics import MetricUnit

from functions.task import Event, metrics, task
from lensneg import storage
from lensneg.schema.layout import RunFiles
from lensneg.stages.check_sample.gate3 import check_sample


@task
def handler(event: Event) -> Event:
    """Judge the draw; ``job_error`` is there where the job failed, ``job`` where it ended well."""
    result = check_sample(event["root"], event.get("job_error"), event.get("job"))
    if result["gate"]["passed"]:
        summary = storage.read_json(RunFiles.of_root(event["root"]).sample_summary)
        metrics.add_metric("DrawSeconds", MetricUnit.Seconds, sum(summary["seconds"].values()))
    return result
