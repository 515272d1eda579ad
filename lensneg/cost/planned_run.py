"""The input of the model: the files and options of a run, and the rates and prices."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from lensneg.cost.graph import Graph, load_graph
from lensneg.cost.listing import Listing
from lensneg.cost.tables import Prices, Rates
from lensneg.errors import InputError
from lensneg.schema.config import Config
from lensneg.schema.item import Item
from lensneg.survey.items import item_count, slices

#: MB of the FilterSweep function in template.yaml.
FILTER_MEMORY_MB: Final = 1024

#: A run with more items is not estimated. All of DR10 has 1.4 million in items of 1 MiB, the smallest.
MOST_ITEMS: Final = 2_000_000


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
        """The files cut into map items by the rule of PlanFanOut, largest first.

        Raises
        ------
        InputError
            If there are more than can be estimated in a reasonable time.
        """
        sweeps, execution = self.listing.sweeps, self.config.execution
        count = sum(item_count(sweep, execution, len(sweeps)) for sweep in sweeps)
        if count > MOST_ITEMS:
            what = f"the files would be {count:,} map items; expected at most {MOST_ITEMS:,}"
            remedy = "check the sizes of the files, or take larger items (--item-bytes)"
            raise InputError(what, where=self.listing.source, remedy=remedy)
        cut = (item for sweep in sweeps for item in slices(sweep, execution, len(sweeps)))
        return tuple(sorted(cut, key=lambda item: (item.n_bytes, item.n_rows), reverse=True))

    @property
    def other_functions(self) -> tuple[str, ...]:
        """Functions of a run besides the map's and those that read something of each file or item."""
        named = ("Preflight", "SummarizeFanOut", "CheckSample")
        return tuple(task for task in self.graph.tasks if task not in named)

    @property
    def result_files(self) -> int:
        """Number of small files of the map: stats of each item, and at most one of matches per positive."""
        return len(self.items) + min(len(self.items), self.positives)

    @property
    def negatives(self) -> int:
        """Number of rows to draw."""
        return self.positives * self.config.negative_pools.neg_pos_ratio
