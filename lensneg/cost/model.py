"""The model: dollars and seconds of a run, part by part. ``docs/cost.md`` states the formulae."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from lensneg.cost.graph import Graph
from lensneg.cost.inputs import ROW_BYTES, Price, Prices, Rates
from lensneg.cost.listing import Work, Workload
from lensneg.schema.config import Config, ExecutionConfig

MIB: Final = 1 << 20
GIB: Final = 1 << 30
MB: Final = 1_000_000

#: Memory at which a Lambda function has one vCPU.
MB_PER_VCPU: Final = 1769

#: A function is stopped after this long.
LAMBDA_LIMIT_SECONDS: Final = 900.0

#: EMR Serverless bills a worker for at least this long.
WORKER_MINIMUM_SECONDS: Final = 60.0

#: How many negatives ``draw_seconds`` stands for.
DRAW_REFERENCE: Final = 500_000

#: Keys that S3 lists in one request, and listings that a run makes beside that of the sweeps.
_KEYS_PER_LIST: Final = 1000
_SMALL_LISTS: Final = 10

#: Requests of one map item beside its rows and their header. GET: is it done, has its file changed (HEAD).
#: PUT: survivors, matches where there are any, stats.
_GETS_PER_ITEM: Final = 2
_PUTS_PER_ITEM: Final = 3

#: Requests of the fan-in for a small file: it is read, and a look is taken whether a table is whole (HEAD).
_REQUESTS_PER_RESULT: Final = 2

#: GET of CheckSample for a pool file: its footer and its lowest row group.
_GETS_PER_POOL_FILE: Final = 2

#: GET of run.json and the lens positions, once in each execution environment.
_GETS_PER_ENVIRONMENT: Final = 2


@dataclass(frozen=True)
class Options:
    """How a run is made.

    Attributes
    ----------
    execution : ExecutionConfig
        Its ``target_item_bytes`` cuts the files.
    concurrency : int
        Map items at a time.
    memory : int
        MB of the FilterSweep function.
    positives : int
        Known lenses to draw for.
    neg_pos_ratio : int
        Negatives for each of them.
    """

    execution: ExecutionConfig
    concurrency: int
    memory: int
    positives: int
    neg_pos_ratio: int

    @classmethod
    def of_config(
        cls, config: Config, *, concurrency: int, memory: int, positives: int, item_bytes: int | None = None
    ) -> Options:
        """Return the options with item size and ratio of a config."""
        options = cls(config.execution, concurrency, memory, positives, config.sampling.neg_pos_ratio)
        return options if item_bytes is None else options.with_item_bytes(item_bytes)

    def with_item_bytes(self, item_bytes: int) -> Options:
        """Return the same options with another item size."""
        execution = self.execution.model_copy(update={"target_item_bytes": item_bytes})
        return replace(self, execution=execution)

    @property
    def negatives(self) -> int:
        """Rows to draw."""
        return self.positives * self.neg_pos_ratio


@dataclass(frozen=True)
class Model:
    """What an estimate is made from, beside the work."""

    rates: Rates
    prices: Prices
    graph: Graph


@dataclass(frozen=True)
class Part:
    """One line of the bill. ``seconds`` is what it adds to the wall time; 0 where others' time covers it."""

    name: str
    quantity: float
    price: Price
    seconds: float
    assumption: str

    @property
    def usd(self) -> float:
        """Dollars."""
        return self.quantity * self.price.each


@dataclass(frozen=True)
class Estimate:
    """A run's parts, and the numbers behind them that people ask for.

    ``overruns`` names the functions of which an invocation would take longer than Lambda allows.
    """

    parts: tuple[Part, ...]
    items: int
    waves: int
    transitions: float
    map_billed_seconds: float
    overruns: tuple[str, ...]

    @property
    def usd(self) -> float:
        """Dollars of all parts."""
        return sum(part.usd for part in self.parts)

    @property
    def seconds(self) -> float:
        """Wall time: the states run one after the other."""
        return sum(part.seconds for part in self.parts)

    def part(self, name: str) -> Part:
        """Return a part by its name."""
        return next(part for part in self.parts if part.name == name)


def network_seconds(n_bytes: float, burst_bytes: float, rates: Rates) -> float:
    """Return the seconds in which an invocation reads from S3.

    Parameters
    ----------
    n_bytes : float
    burst_bytes : float
        How many of them come at the burst rate.
    rates : Rates
        Neither rate is reached where the connections together are slower.
    """
    connections = rates.read_connections.value * rates.connection_rate.value * MB
    fast = min(n_bytes, burst_bytes)
    return fast / min(rates.network_burst_rate.value * MIB, connections) + (n_bytes - fast) / min(
        rates.network_rate.value * MIB, connections
    )


def vcpu_share(memory: float) -> float:
    """Return how much of a core a single thread gets at a memory size in MB.

    Examples
    --------
    >>> vcpu_share(1769), vcpu_share(10240)
    (1.0, 1.0)
    >>> round(vcpu_share(512), 2)
    0.29
    """
    return min(1.0, memory / MB_PER_VCPU)


def compute_seconds(work: Work, memory: int, rates: Rates) -> float:
    """Return the seconds of one thread's work on an item."""
    plain = work.n_rows * ROW_BYTES
    seconds = plain / (rates.map_rate.value * MB)
    if work.compressed:
        seconds += plain / (rates.gunzip_rate.value * MB)
    return seconds / vcpu_share(memory)


def item_seconds(work: Work, memory: int, rates: Rates, *, cold: bool) -> float:
    """Return the billed seconds of an item: INIT where cold, reading beside computing, writing."""
    burst = (rates.network_burst if cold else rates.warm_burst).value * MIB
    read = network_seconds(work.n_bytes + rates.header_read.value * MIB, burst, rates)
    written = work.n_rows * rates.pool_share.value * rates.pool_row_bytes.value
    return (
        (rates.init_seconds.value / vcpu_share(memory) if cold else 0.0)
        + rates.item_seconds.value
        + max(read, compute_seconds(work, memory, rates))
        + written / (rates.write_rate.value * MB)
    )


@dataclass(frozen=True)
class MapTime:
    """The map.

    Attributes
    ----------
    seconds : float
        Wall time.
    billed_seconds : float
    environments : int
        How many were started for it.
    longest_item : float
        Its billed seconds.
    bound : str
        What the wall time is set by.
    """

    seconds: float
    billed_seconds: float
    environments: int
    longest_item: float
    bound: str


def map_time(work: Workload, options: Options, rates: Rates) -> MapTime:
    """Put the items, largest first, onto the first free of ``concurrency`` environments.

    With items of one size these are ceil(items / concurrency) waves. An environment's first item is
    cold; Step Functions' own time passes between one item and the next and is not billed by Lambda.
    """

    def seconds_of(kind: Work, cold: bool) -> float:
        return item_seconds(kind, options.memory, rates, cold=cold)

    kinds = {kind: (seconds_of(kind, False), seconds_of(kind, True)) for kind in set(work.items)}
    free: list[float] = []
    billed = 0.0
    for item in work.items:
        warm, cold = kinds[item]
        if len(free) < options.concurrency:
            billed += cold
            heapq.heappush(free, rates.cold_start_seconds.value + rates.child_seconds.value + cold)
        else:
            billed += warm
            heapq.heapreplace(free, free[0] + rates.child_seconds.value + warm)
    gets = _reads(work, rates) + len(work.items) * _header_gets(rates)
    limits = {
        "the environments": max(free),
        f"starting {rates.child_start_rate.value:g} children a second": len(work.items)
        / rates.child_start_rate.value,
        f"S3's limit of {rates.get_limit.value:,.0f} GET a second": gets / rates.get_limit.value,
    }
    bound = max(limits, key=lambda name: limits[name])
    longest = max(seconds for pair in kinds.values() for seconds in pair)
    return MapTime(limits[bound], billed, len(free), longest, bound)


def _header_gets(rates: Rates) -> int:
    """Return the GET requests in which a file's header is read."""
    return max(1, math.ceil(rates.header_read.value / rates.read_part.value))


def _reads(work: Workload, rates: Rates) -> float:
    """Return the GET requests for the rows of all items."""
    part = rates.read_part.value * MIB
    return float(sum(max(1, math.ceil(item.n_bytes / part)) for item in work.items))


@dataclass(frozen=True)
class DrawTime:
    """The Spark job: seconds of each step, and the workers' billed seconds."""

    start: float
    read: float
    draw: float
    billed_seconds: float

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.start + self.read + self.draw


def draw_time(work: Workload, options: Options, rates: Rates) -> DrawTime:
    """Return the draw's time; workers are billed from the job's start to its end, at least a minute."""
    cores = rates.executors.value * rates.executor_vcpu.value
    pool_bytes = sum(item.n_rows for item in work.items) * rates.pool_share.value * rates.pool_row_bytes.value
    opening = len(work.items) * rates.spark_open_seconds.value / cores
    reading = pool_bytes * rates.draw_read_share.value / (rates.spark_read_rate.value * MB * cores)
    drawing = rates.draw_seconds.value * options.negatives / DRAW_REFERENCE
    start = rates.spark_start_seconds.value
    wall = start + opening + reading + drawing
    return DrawTime(start, opening + reading, drawing, max(WORKER_MINIMUM_SECONDS, wall))


def estimate(work: Workload, options: Options, model: Model) -> Estimate:
    """Return what a run costs and how long it takes, part by part.

    Parameters
    ----------
    work : Workload
        At least one item.
    options : Options
    model : Model
    """
    mapped = map_time(work, options, model.rates)
    preflight, summarize, check, others = _task_parts(work, options, model)
    parts = (
        preflight,
        *_map_parts(work, options, model, mapped),
        summarize,
        *_draw_parts(work, options, model),
        check,
        others,
        *_small_parts(work, options, model),
    )
    transitions = sum(part.quantity for part in parts if part.price == model.prices.step_functions_transition)
    waves = math.ceil(len(work.items) / options.concurrency)
    invocations = {
        "Preflight": preflight.seconds,
        "FilterSweep": mapped.longest_item,
        "SummarizeFanOut": summarize.seconds,
        "CheckSample": check.seconds,
    }
    overruns = tuple(name for name, seconds in invocations.items() if seconds > LAMBDA_LIMIT_SECONDS)
    return Estimate(parts, len(work.items), waves, transitions, mapped.billed_seconds, overruns)


def _attempts(rates: Rates) -> float:
    """Return the invocations an item takes on average."""
    return 1 + rates.retry_share.value


def _matched_items(work: Workload, options: Options) -> int:
    """Return at most how many items have matches of positives."""
    return min(len(work.items), options.positives)


def _map_parts(work: Workload, options: Options, model: Model, mapped: MapTime) -> Iterator[Part]:
    rates, prices, items = model.rates, model.prices, len(work.items)
    attempts = _attempts(rates)
    waves = math.ceil(items / options.concurrency)
    yield Part(
        "Map: Lambda",
        mapped.billed_seconds * attempts * options.memory / 1024,
        prices.lambda_gb_second,
        mapped.seconds,
        f"{items:,} items, {options.concurrency:,} at a time ({waves} wave{'s' if waves > 1 else ''}), "
        f"{options.memory:,} MB; {mapped.environments:,} cold starts of {rates.init_seconds.value:g} s INIT; "
        f"{rates.header_read.value:g} MiB of header an item; {rates.read_connections.value:g} connections of "
        f"at most {rates.connection_rate.value:g} MB/s; first "
        f"{rates.network_burst.value:g} MiB of an environment at {rates.network_burst_rate.value:g} MiB/s, "
        f"{rates.warm_burst.value:g} MiB of each later item, then {rates.network_rate.value:g} MiB/s; "
        f"meanwhile one thread at {rates.map_rate.value:,.0f} MB/s of a core; {rates.retry_share.value:.0%} "
        f"of items tried twice; wall time set by {mapped.bound}. The account's quota of concurrent "
        "executions must allow it: a new account's is far below 1,000",
    )
    yield Part(
        "Map: invocations", items * attempts, prices.lambda_request, 0.0, "one an item, and its retries"
    )
    yield Part(
        "Map: S3 GET",
        (_reads(work, rates) + items * (_GETS_PER_ITEM + _header_gets(rates))) * attempts
        + mapped.environments * _GETS_PER_ENVIRONMENT,
        prices.s3_get,
        0.0,
        f"ranges of {rates.read_part.value:g} MiB, {_header_gets(rates)} an item for the header and "
        f"{_GETS_PER_ITEM} more, {_GETS_PER_ENVIRONMENT} an environment; the sweeps are in S3 in the same "
        "region, so transfer is free",
    )
    yield Part(
        "Map: S3 PUT",
        items * _PUTS_PER_ITEM * attempts,
        prices.s3_put,
        0.0,
        "survivors, matches and stats of each item",
    )
    yield Part(
        "Map: transitions",
        items * (rates.child_start_transitions.value + len(model.graph.child_states) * attempts),
        prices.step_functions_transition,
        0.0,
        f"children are STANDARD executions: {rates.child_start_transitions.value:g} to start one, and "
        f"{', '.join(model.graph.child_states)} in it, with its retries",
    )


def _draw_parts(work: Workload, options: Options, model: Model) -> Iterator[Part]:
    rates, prices = model.rates, model.prices
    drawn = draw_time(work, options, rates)
    hours = drawn.billed_seconds / 3600
    yield Part(
        "Draw: EMR vCPU",
        (rates.driver_vcpu.value + rates.executors.value * rates.executor_vcpu.value) * hours,
        prices.emr_vcpu_hour,
        drawn.seconds,
        f"driver of {rates.driver_vcpu.value:g} vCPU and {rates.driver_memory.value:g} GB, "
        f"{rates.executors.value:g} executors of {rates.executor_vcpu.value:g} vCPU and "
        f"{rates.executor_memory.value:g} GB, all billed from the job's start, at least a minute: "
        f"{drawn.start:.0f} s to start, {drawn.read:.0f} s to open {len(work.items):,} pool files and read "
        f"{rates.draw_read_share.value:.0%} of them, {drawn.draw:.0f} s to draw {options.negatives:,} rows",
    )
    yield Part(
        "Draw: EMR memory",
        (rates.driver_memory.value + rates.executors.value * rates.executor_memory.value) * hours,
        prices.emr_gb_hour,
        0.0,
        "the same workers and seconds; the 20 GB disk of a worker is free",
    )


def _task_parts(work: Workload, options: Options, model: Model) -> Iterator[Part]:
    rates, items = model.rates, len(work.items)
    core = vcpu_share(rates.task_memory.value)
    # Each of these functions is invoked once in a run, so each invocation is cold.
    task = (rates.init_seconds.value + rates.task_seconds.value) / core
    parsing = work.files * rates.header_seconds.value / core
    reading = network_seconds(
        work.files * rates.header_read.value * MIB, rates.network_burst.value * MIB, rates
    )
    results = items + _matched_items(work, options)
    fan_in = results * _REQUESTS_PER_RESULT * rates.request_seconds.value / core
    gathering = (
        items * (_GETS_PER_POOL_FILE * rates.request_seconds.value + rates.gather_seconds.value) / core
    )
    with_parts = ("Preflight", "SummarizeFanOut", "CheckSample")
    others = [name for name in model.graph.tasks if name not in with_parts]

    def part(name: str, billed: float, count: int, assumption: str) -> Part:
        wall = billed + count * rates.cold_start_seconds.value
        gb_seconds = billed * rates.task_memory.value / 1024
        return Part(f"{name}: Lambda", gb_seconds, model.prices.lambda_gb_second, wall, assumption)

    yield part(
        "Preflight",
        task + max(parsing, reading),
        1,
        f"{task:g} s of INIT and everything else; beside each other {parsing:.0f} s to parse {work.files:,} "
        f"headers, one at a time, and {reading:.0f} s to read {rates.header_read.value:g} MiB for each",
    )
    yield part(
        "SummarizeFanOut",
        task + fan_in,
        1,
        f"{task:g} s of INIT and everything else; {results:,} files of stats and matches, "
        f"{_REQUESTS_PER_RESULT} requests of {rates.request_seconds.value:g} s for each: threads wait for S3 "
        "together, but work one at a time",
    )
    yield part(
        "CheckSample",
        task + gathering,
        1,
        f"{task:g} s of INIT and everything else; {items:,} pool files, {_GETS_PER_POOL_FILE} requests of "
        f"{rates.request_seconds.value:g} s and {rates.gather_seconds.value:g} s of decoding for each: "
        "threads wait for S3 together, and are taken to work one at a time",
    )
    yield part(
        "Other functions",
        len(others) * task,
        len(others),
        f"{', '.join(others)}, {task:g} s each with INIT, {rates.task_memory.value:,.0f} MB",
    )


def _small_parts(work: Workload, options: Options, model: Model) -> Iterator[Part]:
    rates, prices, items = model.rates, model.prices, len(work.items)
    states = len(model.graph.states)
    yield Part(
        "Execution: transitions",
        states,
        prices.step_functions_transition,
        states * rates.transition_seconds.value,
        f"the way through every gate, {rates.transition_seconds.value:g} s a state",
    )
    yield Part(
        "Rest: S3 GET",
        work.files * _header_gets(rates)
        + (items + _matched_items(work, options)) * _REQUESTS_PER_RESULT
        + items * (rates.draw_gets.value + _GETS_PER_POOL_FILE),
        prices.s3_get,
        0.0,
        f"{_header_gets(rates)} a header, {_REQUESTS_PER_RESULT} for each file of stats or matches, and "
        f"{rates.draw_gets.value:g} of Spark and {_GETS_PER_POOL_FILE} of CheckSample a pool file",
    )
    yield Part(
        "Rest: S3 PUT, LIST",
        rates.run_puts.value + math.ceil(work.files / _KEYS_PER_LIST) + _SMALL_LISTS,
        prices.s3_put,
        0.0,
        "the run's own files and the manifest",
    )
    yield Part(
        "CloudWatch Logs",
        items * _attempts(rates) * rates.log_bytes.value / GIB,
        prices.logs_gb,
        0.0,
        f"{rates.log_bytes.value:,.0f} bytes an invocation, ingested; keeping them is not counted",
    )
