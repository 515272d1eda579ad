"""The input of the model: the files and options of a run, and the rates and prices."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from lensneg.cost.graph import Graph, load_graph
from lensneg.cost.listing import Listing
from lensneg.cost.tables import Prices, Rates
from lensneg.schema.config import Config
from lensneg.schema.item import Item
from lensneg.survey.items import slices

#: MB of the FilterSweep function in template.yaml.
FILTER_MEMORY_MB: Final = 1769


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be estimated.

    Attributes
    ----------
    listing : Listing
        The sweep files.
    config : Config
        The run's config.
    positives : int
        Number of known lenses that negatives are drawn for.
    rates : Rates
        Measured rates.
    prices : Prices
        Prices of AWS.
    graph : Graph
        States of the state machine.
    concurrency : int
        Number of map items at the same time.
    memory : int
        MB of the FilterSweep function.
    """

    listing: Listing
    config: Config
    positives: int
    rates: Rates
    prices: Prices
    graph: Graph = field(default_factory=load_graph)
    concurrency: int = 1000
    memory: int = FILTER_MEMORY_MB

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The files cut into map items by the rule of PlanFanOut, largest first."""
        cut = (item for sweep in self.listing.sweeps for item in slices(sweep, self.config.execution))
        return tuple(sorted(cut, key=lambda item: (item.n_bytes, item.n_rows), reverse=True))

    @property
    def result_files(self) -> int:
        """Number of small files of the map: stats of each item, and at most one of matches per positive."""
        return len(self.items) + min(len(self.items), self.positives)

    @property
    def negatives(self) -> int:
        """Number of rows to draw."""
        return self.positives * self.config.negative_pools.neg_pos_ratio
