"""Seconds of the map: of one item, and of all of them on a number of environments."""

import heapq
import math
from typing import Final, NamedTuple

from lensneg.cost.listing import ROW_BYTES
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.rates import MB, MIB, Rates
from lensneg.schema.item import Item

#: Memory at which a Lambda function has one vCPU. Source: AWS Lambda developer guide, memory.
MB_PER_VCPU: Final = 1769


def vcpu_share(memory: float) -> float:
    """Return how much of a core a single thread gets.

    Parameters
    ----------
    memory : float
        Memory of the function in MB.

    Returns
    -------
    float
        At most 1.

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
    burst_bytes : float
        How many of them come at the burst rate.
    rates : Rates
        Neither rate is reached where the connections together are slower.

    Returns
    -------
    float
    """
    connections = rates.read_connections * rates.connection_rate * MB
    fast = min(n_bytes, burst_bytes)
    return fast / min(rates.network_burst_rate * MIB, connections) + (n_bytes - fast) / min(
        rates.network_rate * MIB, connections
    )


def item_seconds(item: Item, run: PlannedRun, *, cold: bool) -> float:
    """Return the billed seconds of an item: INIT if cold, round trips, reading beside computing, writing.

    Parameters
    ----------
    item : Item
    run : PlannedRun
    cold : bool
        Whether it is the first item of its execution environment.

    Returns
    -------
    float
    """
    rates, core = run.rates, vcpu_share(run.memory)
    burst = rates.network_burst if cold else rates.warm_burst
    reading = network_seconds(item.n_bytes + rates.header_read * MIB, burst * MIB, rates)
    plain = item.n_rows * ROW_BYTES / MB
    unpacking = plain / rates.gunzip_rate if item.sweep.endswith(".gz") else 0.0
    computing = (plain / rates.map_rate + unpacking) / core
    writing = rates.pool_bytes(item.n_rows) / (rates.write_rate * MB)
    init = rates.init_seconds / core if cold else 0.0
    return init + rates.item_seconds + max(reading, computing) + writing


class MapTime(NamedTuple):
    """The map.

    Attributes
    ----------
    seconds : float
        Wall time.
    bound : str
        What the wall time is set by.
    billed_seconds : float
    longest_item : float
        Its billed seconds.
    environments : int
        Execution environments that were started.
    """

    seconds: float
    bound: str
    billed_seconds: float
    longest_item: float
    environments: int


def map_time(run: PlannedRun) -> MapTime:
    """Put the items, largest first, onto the first free of ``concurrency`` environments.

    With items of one size these are ceil(items / concurrency) waves. An environment's first item is
    cold. Step Functions' own time passes between one item and the next, and Lambda does not bill it.

    Parameters
    ----------
    run : PlannedRun

    Returns
    -------
    MapTime
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
    """Return the GET requests in which a file's header is read."""
    return max(1, math.ceil(rates.header_read / rates.read_part))


def row_gets(run: PlannedRun) -> int:
    """Return the GET requests for the rows of all items."""
    part = run.rates.read_part * MIB
    return sum(max(1, math.ceil(item.n_bytes / part)) for item in run.items)
