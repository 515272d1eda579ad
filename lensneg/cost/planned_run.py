"""A run as the model sees it: its files and options, and the rates and prices to estimate it with."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from lensneg.cost.graph import Graph
from lensneg.cost.listing import Listing
from lensneg.cost.prices import Prices
from lensneg.cost.rates import Rates
from lensneg.schema.config import Config
from lensneg.schema.item import Item
from lensneg.survey.items import slices

#: MB of the FilterSweep function in template.yaml.
FILTER_MEMORY_MB: Final = 1769


@dataclass(frozen=True)
class PlannedRun:
    """What an estimate is made from.

    Attributes
    ----------
    listing : Listing
    config : Config
    positives : int
        Known lenses to draw for.
    rates : Rates
    prices : Prices
    graph : Graph
    concurrency : int
        Map items at a time.
    memory : int
        MB of the FilterSweep function.
    """

    listing: Listing
    config: Config
    positives: int
    rates: Rates
    prices: Prices
    graph: Graph
    concurrency: int = 1000
    memory: int = FILTER_MEMORY_MB

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The files cut into map items by the very rule of the plan, largest first."""
        cut = (item for sweep in self.listing.sweeps for item in slices(sweep, self.config.execution))
        return tuple(sorted(cut, key=lambda item: (item.n_bytes, item.n_rows), reverse=True))

    @property
    def result_files(self) -> int:
        """Small files of the map: stats of each item, and matches of at most as many as positives."""
        return len(self.items) + min(len(self.items), self.positives)

    @property
    def negatives(self) -> int:
        """Rows to draw."""
        return self.positives * self.config.sampling.neg_pos_ratio
