"""CheckSample: judge the draw at gate 3."""

from aws_lambda_powertools.metrics import MetricUnit

from functions.task import Json, TaskEvent, metrics, task
from lensneg.schema.gate import Judged
from lensneg.schema.layout import RunFiles
from lensneg.schema.sample_summary import JobRun, read_sample_summary
from lensneg.stages.check_sample import check_sample


@task
def handler(event: TaskEvent) -> Judged:
    """Judge the draw. The state has ``job_error`` if the job failed, and ``job`` if it succeeded."""
    metrics.add_metric("JobsFailed", MetricUnit.Count, int(event.state.job_error is not None))
    result = check_sample(event.root, event.state.job_error, _job_run(event.state.job))
    summary = read_sample_summary(RunFiles.of_root(event.root))
    if result.gate.passed and summary is not None:
        metrics.add_metric("DrawSeconds", MetricUnit.Seconds, sum(summary.seconds.values()))
    return result


def _job_run(job: Json | None) -> JobRun | None:
    """Return the job run. The state holds its description, or a dict with it under ``JobRun``."""
    described = (job or {}).get("JobRun", job)
    return JobRun.of_emr(described) if described else None
