"""A run small enough to work out by hand, and rates with which each of its parts is a round number."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from conftest import config_text

from lensneg.cost.graph import Graph, load_graph
from lensneg.cost.listing import ROW_BYTES, Listing
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import load_prices, load_rates
from lensneg.schema.config import Config
from lensneg.schema.run import SweepInput

MIB = 1 << 20

#: So many rows of 505 bytes are 505 MiB: one item of the small run.
ROWS = 1 << 20

ROUND = {
    "map_rate": 1000.0,
    "network_burst_rate": 105.0,
    "network_rate": 40.0,
    "network_burst": 105.0,
    "warm_burst": 0.0,
    "connection_rate": 1000.0,
    "read_connections": 1.0,
    "read_part": 101.0,
    "header_read": 0.0,
    "gunzip_rate": 200.0,
    "gzip_ratio": 0.5,
    "init_seconds": 2.0,
    "cold_start_seconds": 3.0,
    "item_seconds": 1.0,
    "write_rate": 52.4288,
    "child_seconds": 0.5,
    "child_start_rate": 1000.0,
    "child_start_transitions": 1.0,
    "get_limit": 5500.0,
    "retry_share": 0.0,
    "pool_share": 0.5,
    "pool_row_bytes": 100.0,
    "log_bytes": float(1 << 30),
    "task_memory": 4096.0,
    "task_seconds": 4.0,
    "header_seconds": 1.0,
    "request_seconds": 0.25,
    "transition_seconds": 0.1,
    "run_puts": 70.0,
    "application_start_seconds": 0.0,
    "spark_start_seconds": 20.0,
    "warm_vcpu": 2.0,
    "warm_memory": 4.0,
    "idle_seconds": 66.875,
    "spark_open_seconds": 4.0,
    "spark_read_rate": 19.6608,
    "draw_read_share": 0.5,
    "draw_gets": 4.0,
    "draw_seconds": 50.0,
    "check_seconds": 10.0,
    "executor_cores": 4.0,
    "job_vcpu": 5.0,
    "job_memory": 10.0,
    "archive_rate": 10.0,
}

_TASKS = ("Preflight", "PlanFanOut", "SummarizeFanOut", "CheckSample", "Report")
_STATES = ("Gate", "Preflight", "PlanFanOut", "FilterSweeps", "SummarizeFanOut", "Gate2", "SampleNegatives",
           "CheckSample", "Gate3", "Report")  # fmt: skip
GRAPH = Graph(_STATES, _TASKS, ("FilterSweep",))


def sweep(rows: int, name: str = "sweep-000m005-005p000.fits", size: int = 0) -> SweepInput:
    """A sweep file of so many rows."""
    return SweepInput(
        uri=name, size=size or rows * ROW_BYTES, etag="", rows=rows, release=0, row_bytes=ROW_BYTES
    )


def config_of(item_bytes: int) -> Config:
    """The published config with another size of items."""
    config = Config.parse(config_text("negative_sampling_v1"))
    execution = config.execution.model_copy(update={"target_item_bytes": item_bytes})
    return config.model_copy(update={"execution": execution})


def small_run() -> PlannedRun:
    """Two files of three equal items, two at a time at 2 GB; 1,000 positives and so 100,000 negatives."""
    rates = load_rates().rates.model_copy(update=ROUND)
    listing = Listing("two files", (sweep(2 * ROWS), sweep(ROWS, "sweep-005m005-010p000.fits")))
    return PlannedRun(listing, config_of(505 * MIB), 1000, rates, load_prices(), GRAPH, 2, 2048)


def whole_files(sweeps: Sequence[SweepInput], **options: Any) -> PlannedRun:
    """Files with the published rates and prices; each is one item, whatever its size, at one vCPU."""
    run = PlannedRun(
        Listing("files", tuple(sweeps)),
        config_of(1 << 40),
        50,
        load_rates().rates,
        load_prices(),
        load_graph(),
    )
    return replace(run, **{"memory": 1769, **options})


def with_rates(run: PlannedRun, **values: float) -> PlannedRun:
    """The same run with other values of some rates."""
    return replace(run, rates=run.rates.model_copy(update=values))


def changed(path: Path, changes: dict[str, Any]) -> str:
    """The text of a YAML file with some values changed, by their dotted keys; ``...`` removes a key."""
    data = yaml.safe_load(path.read_text())
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        section = data
        for name in sections:
            section = section[name]
        if value is ...:
            del section[key]
        else:
            section[key] = value
    return yaml.safe_dump(data)
