"""cost.json: what a run took, and what the model estimates for the same files on AWS."""

from collections.abc import Sequence

from lensneg.cost.listing import Listing
from lensneg.cost.model import Estimate, estimate
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import load_prices, load_rates
from lensneg.cost.time_line import time_line
from lensneg.errors import InputError
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.item import ItemStats
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run
from lensneg.schema.run_cost import Billed, DrawCost, EstimatedPart, EstimatedRun, MapCost, RunCost
from lensneg.schema.sample_summary import JobRun, read_sample_summary
from lensneg.schema.state_times import StateTimes, last_execution


def run_cost(run: Run, stats: Sequence[ItemStats] = (), own: StateTimes | None = None) -> RunCost:
    """Return what a run took, and what the model estimates for it.

    Parameters
    ----------
    run : Run
        A run whose map is done.
    stats : sequence of ItemStats
        The items that are done.
    own : StateTimes, optional
        The state that is at work now.

    Returns
    -------
    RunCost
        The content of cost.json.

    Raises
    ------
    FileNotFoundError
        If the run has no summary of its map.
    """
    fan_out = FanOutSummary.read(run.files.summary)
    seconds = fan_out.task_seconds
    planned, result, model, missing = None, None, None, None
    try:
        planned = _planned(run, max(1, fan_out.positives.sources))
        result = estimate(planned)
        model = _estimate(planned, result)
    except (InputError, OSError) as error:
        missing = str(error)
    return RunCost(
        map=MapCost(
            items=fan_out.items_done,
            task_seconds=seconds,
            rows=fan_out.rows_in,
            bytes_read=fan_out.bytes_read,
            bytes_written=fan_out.bytes_written,
            megabytes_per_task_second=_rate(fan_out.bytes_read / 1e6, seconds),
            rows_per_task_second=_rate(fan_out.rows_in, seconds),
        ),
        draw=_draw(run.files),
        billed=_billed(run.files),
        estimate=model,
        estimate_missing=missing,
        map_usd=round(seconds * model.lambda_usd_per_second, 6) if model else None,
        time_line=time_line(
            last_execution(run.files, own), stats, JobRun.read_if_there(run.files.job), planned, result
        ),
    )


def _rate(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 1) if seconds else None


def _draw(files: RunFiles) -> DrawCost | None:
    summary = read_sample_summary(files)
    if summary is None:
        return None
    return DrawCost(
        seconds=round(sum(summary.seconds.values()), 3),
        steps=summary.seconds,
        candidates=summary.candidates,
        row_groups_read=summary.row_groups_read,
        row_groups_total=summary.row_groups_total,
    )


def _billed(files: RunFiles) -> Billed | None:
    """Return what EMR Serverless billed, if job.json gives it."""
    job = JobRun.read_if_there(files.job)
    if job is None or job.vcpu_hours is None:
        return None
    return Billed.model_validate(job, from_attributes=True)


def _planned(run: Run, positives: int) -> PlannedRun:
    listing = Listing(run.record.run_id, run.record.sweeps)
    return PlannedRun(listing, run.config, positives, load_rates().rates, load_prices())


def _estimate(planned: PlannedRun, result: Estimate) -> EstimatedRun:
    map_usd = result.part("Map: Lambda").usd
    return EstimatedRun(
        concurrency=planned.concurrency,
        memory_mb=planned.memory,
        prices=planned.prices.date.isoformat(),
        seconds=round(result.seconds, 1),
        usd=round(result.usd, 4),
        map_task_seconds=round(result.map_billed_seconds, 1),
        map_usd=round(map_usd, 6),
        lambda_usd_per_second=map_usd / result.map_billed_seconds,
        parts=tuple(
            EstimatedPart(name=p.name, usd=round(p.usd, 6), seconds=round(p.seconds, 2)) for p in result.parts
        ),
    )
