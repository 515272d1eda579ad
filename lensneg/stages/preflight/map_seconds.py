"""The estimated time of a run's map, by the model of lensneg/cost."""

from collections.abc import Callable, Sequence

from lensneg.cost.listing import Listing
from lensneg.cost.map_time import map_time
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import load_prices, load_rates
from lensneg.schema.config import Config
from lensneg.schema.run import SweepInput


def map_seconds_of(sweeps: Sequence[SweepInput], config: Config, *, full: bool) -> Callable[[int], float]:
    """Return a function of the number of map items at a time that returns the map's seconds.

    Parameters
    ----------
    sweeps : sequence of SweepInput
        The sweep files.
    config : Config
        The run's config.
    full : bool
        Whether the run reads all of them. A mini-test is taken to read the smallest.
    """
    if not full:
        sweeps = sorted(sweeps, key=lambda sweep: sweep.size)[: config.execution.mini_test_files]
    listing, rates, prices = Listing("sweeps", tuple(sweeps)), load_rates().rates, load_prices()

    def seconds(concurrency: int) -> float:
        run = PlannedRun(listing, config, positives=1, rates=rates, prices=prices, concurrency=concurrency)
        return map_time(run).seconds

    return seconds
