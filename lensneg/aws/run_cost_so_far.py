"""The cost of an execution so far."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Final, Self

from lensneg import storage
from lensneg.aws.history import History, JobProgress, MapProgress
from lensneg.cost.graph import load_graph
from lensneg.cost.planned_run import FILTER_MEMORY_MB
from lensneg.cost.tables import load_prices, load_rates
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.item import ItemStats
from lensneg.schema.layout import RunFiles

#: Number of stats files that are read to estimate the seconds of an item while the map goes on.
_STATS_READ: Final = 16


@dataclass(frozen=True)
class Cost:
    """Dollars so far by part, estimated from the table of prices and measured times."""

    lambda_usd: float = 0.0
    emr_usd: float = 0.0
    step_functions_usd: float = 0.0

    @property
    def total(self) -> float:
        """Dollars of all parts."""
        return self.lambda_usd + self.emr_usd + self.step_functions_usd

    def __add__(self, other: Self) -> Self:
        return type(self)(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def item_seconds(files: RunFiles, done: int) -> float:
    """Return the seconds of the items that are done.

    Parameters
    ----------
    files : RunFiles
        The run's files.
    done : int
        Number of items that are done.

    Returns
    -------
    float
        The sum in the summary of the map; before that is written, an estimate from some items.
    """
    summary = FanOutSummary.read_if_there(files.summary)
    if summary is not None:
        return summary.task_seconds
    try:
        listed = storage.list_files(files.stats_folder)
    except FileNotFoundError:
        return 0.0
    step = max(1, len(listed) // _STATS_READ)
    some = [ItemStats.read(info.uri).seconds for info in listed[::step][:_STATS_READ]]
    return sum(some) / len(some) * done if some else 0.0


def cost_so_far(
    history: History,
    maps: Sequence[MapProgress],
    jobs: Sequence[JobProgress],
    item_seconds: float,
    at: datetime,
) -> Cost:
    """Return the cost of an execution as far as it is known while it goes on.

    Functions count with the time of their states, and the map with the seconds of its items. A job counts
    with EMR's own figures of its use, and until there are any with the workers of configs/rates.yaml. S3 and
    logs are left out; ``lensneg cost`` has them.

    Parameters
    ----------
    history : History
        The events of the execution.
    maps : sequence of MapProgress
        Its map runs.
    jobs : sequence of JobProgress
        Its job runs.
    item_seconds : float
        Seconds of all items that are done.
    at : datetime
        The end of what has not ended.

    Returns
    -------
    Cost
    """
    prices, rates = load_prices(), load_rates().rates
    began = sum(items.done + items.failed + items.running for items in maps)
    tasks = [visit for visit in history.visits if visit.is_task]
    seconds = sum(((visit.exited or at) - visit.entered).total_seconds() for visit in tasks)
    attempts = sum(1 + visit.failures for visit in tasks)
    transitions = len(history.visits) + sum(visit.failures for visit in history.visits)
    return Cost(
        lambda_usd=prices.lambda_usd(item_seconds, FILTER_MEMORY_MB, began)
        + prices.lambda_usd(seconds, rates.task_memory, attempts),
        emr_usd=sum(
            prices.job_usd(rates, job.seconds or 0.0, job.vcpu_hours, job.memory_gb_hours) for job in jobs
        ),
        step_functions_usd=transitions * prices.step_functions_transition.each
        + prices.map_transitions_usd(rates, began, len(load_graph().child_states)),
    )
