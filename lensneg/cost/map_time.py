"""Seconds of the map: those of one item, and of all items on a number of environments."""

import heapq
import math
from typing import Final, NamedTuple

from lensneg.cost.listing import ROW_BYTES
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import MB, MIB, Rates
from lensneg.schema.item import Item
from lensneg.survey.names import is_gzipped

#: Memory at which a Lambda function has one vCPU. Source: AWS Lambda developer guide, memory.
MB_PER_VCPU: Final = 1769


def vcpu_share(memory: float) -> float:
    """Return the share of a core that a single thread gets.

    Parameters
    ----------
    memory : float
        Memory of the function in MB.

    Returns
    -------
    float
        The share, at most 1.

    Examples
    --------
    >>> vcpu_share(1769), vcpu_share(10240)
    (1.0, 1.0)
    >>> round(vcpu_share(512), 2)
    0.29
    """
    return min(1.0, memory / MB_PER_VCPU)


def network_seconds(n_bytes: float, burst_bytes: float, rates: Rates) -> float:
    """Return the seconds in which an invocation reads from S3.

    Parameters
    ----------
    n_bytes : float
        Bytes to read.
    burst_bytes : float
        How many bytes come at the burst rate.
    rates : Rates
        The burst rate and the lasting rate. Both are limited by that of the connections together.

    Returns
    -------
    float
        Seconds.
    """
    connections = rates.read_connections * rates.connection_rate * MB
    burst_rate, lasting_rate = rates.network_burst_rate * MIB, rates.network_rate * MIB
    fast = min(n_bytes, burst_bytes)
    return fast / min(burst_rate, connections) + (n_bytes - fast) / min(lasting_rate, connections)


def item_seconds(item: Item, run: PlannedRun, *, cold: bool) -> float:
    """Return the billed seconds of an item: INIT if cold, round trips, reading beside computing, writing.

    Parameters
    ----------
    item : Item
        The item.
    run : PlannedRun
        Its run.
    cold : bool
        Whether the item is the first of its execution environment.

    Returns
    -------
    float
        Seconds.
    """
    rates, core = run.rates, vcpu_share(run.memory)
    burst = rates.network_burst if cold else rates.warm_burst
    reading = network_seconds(item.n_bytes + rates.header_read * MIB, burst * MIB, rates)
    plain = item.n_rows * ROW_BYTES / MB
    unpacking = plain / rates.gunzip_rate if is_gzipped(item.sweep) else 0.0
    computing = (plain / rates.map_rate + unpacking) / core
    writing = rates.pool_bytes(item.n_rows) / (rates.write_rate * MB)
    init = rates.init_seconds / core if cold else 0.0
    return init + rates.item_seconds + max(reading, computing) + writing


class MapTime(NamedTuple):
    """The time of a map.

    Attributes
    ----------
    seconds : float
        Wall time.
    bound : str
        What limits the wall time.
    billed_seconds : float
        Billed seconds of all items.
    longest_item : float
        Billed seconds of the longest item.
    environments : int
        Number of execution environments that are started.
    """

    seconds: float
    bound: str
    billed_seconds: float
    longest_item: float
    environments: int


def map_time(run: PlannedRun) -> MapTime:
    """Return the time of a run's map.

    Items are assigned, largest first, to the environment that is free first. Items of one size take
    ceil(items / concurrency) waves. The first item of an environment is cold. The time of Step Functions
    between two items is not billed by Lambda.

    Parameters
    ----------
    run : PlannedRun
        The run.

    Returns
    -------
    MapTime
        Wall time and billed time.
    """
    rates = run.rates
    free: list[float] = []
    billed = []
    for item in run.items:
        cold = len(free) < run.concurrency
        billed.append(item_seconds(item, run, cold=cold))
        begun = rates.cold_start_seconds if cold else heapq.heappop(free)
        heapq.heappush(free, begun + rates.child_seconds + billed[-1])
    gets = row_gets(run) + len(run.items) * header_gets(rates)
    seconds, bound = max(
        (max(free), "the environments"),
        (len(billed) / rates.child_start_rate, f"starting {rates.child_start_rate:g} children a second"),
        (gets / rates.get_limit, f"S3's limit of {rates.get_limit:,.0f} GET a second"),
    )
    return MapTime(seconds, bound, sum(billed), max(billed), len(free))


def header_gets(rates: Rates) -> int:
    """Return the number of GET requests for a file's headers."""
    return max(1, math.ceil(rates.header_read / rates.read_part))


def row_gets(run: PlannedRun) -> int:
    """Return the number of GET requests for the rows of all items."""
    part = run.rates.read_part * MIB
    return sum(max(1, math.ceil(item.n_bytes / part)) for item in run.items)
