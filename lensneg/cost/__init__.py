"""A model of a run on AWS: dollars and wall time by part, from measured rates and a table of prices.

Nothing here measures: every rate and every price is read from a file that says where it comes from and
between which values it may lie. ``docs/cost.md`` states the formulae.
"""

from lensneg.cost.analysis import (
    ITEM_SIZES,
    ItemSize,
    Report,
    assess,
    bounds,
    item_sizes,
    recommend,
    sensitivity,
)
from lensneg.cost.graph import GRAPH_FILE, Graph, read_graph
from lensneg.cost.inputs import (
    PRICES_FILE,
    RATES_FILE,
    Price,
    Prices,
    Rates,
    RatesFile,
    load_prices,
    load_rates,
)
from lensneg.cost.listing import Listing, Work, Workload, list_sweeps, parse_listing, read_listing, workload
from lensneg.cost.model import (
    MIB,
    Model,
    Options,
    compute_seconds,
    draw_time,
    estimate,
    item_seconds,
    map_time,
    network_seconds,
)
from lensneg.cost.report import as_json, make_report, show

__all__ = [
    "GRAPH_FILE",
    "ITEM_SIZES",
    "MIB",
    "PRICES_FILE",
    "RATES_FILE",
    "Graph",
    "ItemSize",
    "Listing",
    "Model",
    "Options",
    "Price",
    "Prices",
    "Rates",
    "RatesFile",
    "Report",
    "Work",
    "Workload",
    "as_json",
    "assess",
    "bounds",
    "compute_seconds",
    "draw_time",
    "estimate",
    "item_seconds",
    "item_sizes",
    "list_sweeps",
    "load_prices",
    "load_rates",
    "make_report",
    "map_time",
    "network_seconds",
    "parse_listing",
    "read_graph",
    "read_listing",
    "recommend",
    "sensitivity",
    "show",
    "workload",
]
