"""A model of a run on AWS: dollars and wall time by part, from measured rates and a table of prices.

Nothing here measures: every rate and every price is read from a file that says where it comes from and
between which values it may lie. ``docs/cost.md`` states the formulae.
"""

from __future__ import annotations

import datetime
import heapq
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lensneg import storage
from lensneg.config import Config, ExecutionConfig, parse_config
from lensneg.datamodel import sweep_cell, sweep_dtype
from lensneg.errors import InputError
from lensneg.plan import slices
from lensneg.provenance import ROOT
from lensneg.run import SweepInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: What the project aims at for all of DR10.
TARGET_SECONDS: Final = 600.0
TARGET_USD: Final = 2.0

#: The default inputs of the model.
CONFIG_FILE: Final = str(ROOT / "configs" / "negative_sampling_v1.yaml")
PRICES_FILE: Final = str(ROOT / "configs" / "prices.yaml")
RATES_FILE: Final = str(ROOT / "configs" / "rates.yaml")
GRAPH_FILE: Final = str(ROOT / "statemachine" / "negative_sampling.asl.json")

#: Sizes between which the item size is chosen; the last makes an item of every file.
ITEM_SIZES: Final = (64 << 20, 128 << 20, 256 << 20, 512 << 20, 1 << 30, 1 << 40)

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

#: GET of run.json and the lens positions, once in each execution environment.
_GETS_PER_ENVIRONMENT: Final = 2

_ROW_BYTES: Final = sweep_dtype().itemsize
_HEADER_BYTES: Final = 16 * 2880

M = TypeVar("M", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rate(_Section):
    """An assumption of the model: its value, and between which values it may lie."""

    value: Number
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value {self.value:g} must lie between low {self.low:g} and high {self.high:g}")
        return self


class PositiveRate(Rate):
    """A rate that something is divided by, or that is meaningless at zero."""

    @model_validator(mode="after")
    def _above_zero(self) -> Self:
        if self.low <= 0:
            raise ValueError(f"low {self.low:g} must be above 0")
        return self


class Share(Rate):
    """A fraction."""

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.high > 1:
            raise ValueError(f"high {self.high:g} must be at most 1")
        return self


class SweepFacts(_Section):
    """What is known of the survey's files, for listings that give no sizes."""

    source: Annotated[str, Field(min_length=1)]
    files: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    known_bytes: dict[str, Annotated[int, Field(ge=_HEADER_BYTES)]]

    @model_validator(mode="after")
    def _some_unknown(self) -> Self:
        if self.rest_rows < 0 or self.files <= len(self.known_bytes):
            raise ValueError("known_bytes holds more files or rows than files and rows say there are")
        return self

    @property
    def rest_rows(self) -> int:
        """Mean rows of a file whose size is not known."""
        known = sum(_rows_of(size) for size in self.known_bytes.values())
        return (self.rows - known) // max(1, self.files - len(self.known_bytes))


class Rates(_Section):
    """rates.yaml. The file explains each key; ``low`` and ``high`` are what the sensitivity is made with."""

    # The map: reading.
    map_rate: PositiveRate
    network_burst_rate: PositiveRate
    network_rate: PositiveRate
    network_burst: Rate
    warm_burst: Rate
    connection_rate: PositiveRate
    read_connections: PositiveRate
    read_part: PositiveRate
    header_read: Rate
    gunzip_rate: PositiveRate
    gzip_ratio: PositiveRate
    # The map: everything else.
    init_seconds: Rate
    cold_start_seconds: Rate
    item_seconds: Rate
    write_rate: PositiveRate
    child_seconds: Rate
    child_start_rate: PositiveRate
    child_start_transitions: Rate
    get_limit: PositiveRate
    retry_share: Share
    pool_share: Share
    pool_row_bytes: Rate
    log_bytes: Rate
    # The other functions.
    task_memory: PositiveRate
    task_seconds: Rate
    header_seconds: Rate
    request_seconds: Rate
    transition_seconds: Rate
    run_puts: Rate
    # The draw.
    spark_start_seconds: Rate
    spark_open_seconds: Rate
    spark_read_rate: PositiveRate
    draw_read_share: Share
    draw_gets: Rate
    draw_seconds: Rate
    driver_vcpu: PositiveRate
    driver_memory: PositiveRate
    executors: PositiveRate
    executor_vcpu: PositiveRate
    executor_memory: PositiveRate


class RatesFile(_Section):
    """rates.yaml: the rates, and what is known of the files."""

    sweeps: SweepFacts
    rates: Rates


class Price(_Section):
    """A price: so many dollars for so many units."""

    usd: Number
    per: Annotated[int, Field(ge=1)]
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]

    @property
    def each(self) -> float:
        """Dollars for one unit."""
        return self.usd / self.per


class Prices(_Section):
    """prices.yaml: what AWS charged in a region on a day."""

    date: datetime.date
    region: Annotated[str, Field(min_length=1)]
    lambda_gb_second: Price
    lambda_request: Price
    step_functions_transition: Price
    emr_vcpu_hour: Price
    emr_gb_hour: Price
    s3_get: Price
    s3_put: Price
    s3_gb_month: Price
    logs_gb: Price


def load_rates(uri: str) -> RatesFile:
    """Read a file of rates.

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    return _load(RatesFile, uri, "--rates", "configs/rates.yaml")


def load_prices(uri: str) -> Prices:
    """Read a table of prices.

    Raises
    ------
    InputError
        With every fault: its key, its value and what was expected.
    """
    return _load(Prices, uri, "--prices", "configs/prices.yaml")


def _read_text(uri: str, option: str) -> str:
    try:
        return storage.read_bytes(storage.normalize(uri)).decode()
    except FileNotFoundError as error:
        raise InputError(f"{option} {uri}: no such file") from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {uri}: not a text file") from error


def _load(model: type[M], uri: str, option: str, example: str) -> M:
    text = _read_text(uri, option)
    try:
        data = yaml.safe_load(text)
    except Exception as error:  # PyYAML raises many kinds on a value that does not fit its tag
        raise InputError(f"{uri}: not a readable YAML file: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{uri}: expected a mapping, got {type(data).__name__}; start from {example}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_fault(fault, example) for fault in error.errors(include_url=False)]
        raise InputError(
            f"{uri}: {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n  " + "\n  ".join(faults)
        ) from error


def _fault(fault: Any, example: str) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it, or check its spelling"
    if fault["type"] == "missing":
        return f"{key}: missing; see {example}"
    return f"{key}: got {fault['input']!r:.80}; {fault['msg'].removeprefix('Value error, ')}"


# What is to be done: files, cut into items.


@dataclass(frozen=True)
class Listing:
    """Sweep files by name.

    Attributes
    ----------
    source : str
    sweeps : tuple of SweepInput
        Ordered by name.
    modelled : int
        Files whose size was not given.
    ignored : int
        Entries that are not sweep files.
    """

    source: str
    sweeps: tuple[SweepInput, ...]
    modelled: int
    ignored: int

    @property
    def bytes(self) -> int:
        """Bytes of all files as they are stored."""
        return sum(sweep.size for sweep in self.sweeps)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(sweep.rows for sweep in self.sweeps)


def _rows_of(size: int) -> int:
    """Return the rows of an uncompressed sweep file of so many bytes."""
    return max(0, size - _HEADER_BYTES) // _ROW_BYTES


def parse_listing(text: str, source: str, rates: RatesFile) -> Listing:
    """Read a listing: a name a line, with the file's bytes in a second column where they are known.

    Parameters
    ----------
    text : str
        Empty lines and lines that start with ``#`` are skipped.
    source : str
        Where the text comes from; named in errors.
    rates : RatesFile
        A file without a size gets the one that is known of it, or the mean of the others.

    Raises
    ------
    InputError
        If a size is no number, a cell of the sky is listed twice, or there is no sweep file at all.
    """
    entries: list[tuple[str, int | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:
            raise InputError(
                f"{source}: line {number}: got {line.strip()!r:.80}; expected NAME or NAME BYTES"
            )
        if len(words) == 2 and not (words[1].isdecimal() and int(words[1]) > 0):
            raise InputError(
                f"{source}: line {number}: size: got {words[1]!r:.40}; expected bytes, a whole number above 0"
            )
        entries.append((words[0], int(words[1]) if len(words) == 2 else None))
    return _listing(entries, source, rates)


def read_listing(uri: str, rates: RatesFile) -> Listing:
    """Read a listing from a file; see :func:`parse_listing`."""
    return parse_listing(_read_text(uri, "--listing"), uri, rates)


def list_sweeps(uri: str, rates: RatesFile) -> Listing:
    """List the sweep files below a folder or an s3:// prefix, with their sizes."""
    uri = storage.normalize(uri)
    try:
        found = storage.list_files(uri)
    except FileNotFoundError as error:
        raise InputError(f"--sweeps {uri}: no such folder") from error
    return _listing([(info.uri, info.size) for info in found], uri, rates)


def _listing(entries: Iterable[tuple[str, int | None]], source: str, rates: RatesFile) -> Listing:
    sweeps: dict[object, SweepInput] = {}
    modelled = ignored = 0
    for uri, size in entries:
        name = storage.basename(uri)
        cell = sweep_cell(name)
        if cell is None:
            ignored += 1
            continue
        if cell in sweeps:
            raise InputError(f"{source}: {name}: its cell of the sky is listed twice; remove one of the two")
        modelled += size is None
        sweeps[cell] = _sweep(name, size, rates)
    if not sweeps:
        raise InputError(
            f"{source}: no sweep file among {ignored:,} entries; expected names like "
            "sweep-AAAcBBB-DDDcEEE.fits, one a line or in the folder"
        )
    ordered = sorted(sweeps.values(), key=lambda sweep: sweep.uri)
    return Listing(source, tuple(ordered), modelled, ignored)


def _sweep(name: str, size: int | None, rates: RatesFile) -> SweepInput:
    ratio = rates.rates.gzip_ratio.value if name.endswith(".gz") else 1.0
    if size is None:
        plain = rates.sweeps.known_bytes.get(
            name.removesuffix(".gz"), rates.sweeps.rest_rows * _ROW_BYTES + _HEADER_BYTES
        )
        rows, size = _rows_of(plain), int(plain * ratio)
    else:
        rows = _rows_of(int(size / ratio))
    return SweepInput(uri=name, size=size, etag="", rows=rows, release=0, row_bytes=_ROW_BYTES)


class Work(NamedTuple):
    """What a map item reads: stored bytes, rows, and whether they are gzipped."""

    n_bytes: int
    n_rows: int
    compressed: bool


@dataclass(frozen=True)
class Workload:
    """Files cut into items, largest first as the map takes them."""

    files: int
    items: tuple[Work, ...]


def workload(sweeps: Iterable[SweepInput], execution: ExecutionConfig) -> Workload:
    """Cut files into items by the very rule of the plan (:func:`lensneg.plan.slices`)."""
    sweeps = tuple(sweeps)
    items = [
        Work(item.n_bytes, item.n_rows, item.sweep.endswith(".gz"))
        for sweep in sweeps
        for item in slices(sweep, execution)
    ]
    return Workload(len(sweeps), tuple(sorted(items, reverse=True)))


# The state machine: what a run that passes every gate goes through.


@dataclass(frozen=True)
class Graph:
    """States on the way of a run that passes, of the execution itself and of one child of its map."""

    states: tuple[str, ...]
    tasks: tuple[str, ...]
    child_states: tuple[str, ...]


def read_graph(definition: Mapping[str, Any]) -> Graph:
    """Count what a state machine goes through.

    The shortest way from the first state to an end that is no Fail: through no mini-test, retry or catch.

    Parameters
    ----------
    definition : dict
        Amazon States Language with one distributed Map on the way.

    Examples
    --------
    >>> read_graph({"StartAt": "A", "States": {
    ...     "A": {"Type": "Choice", "Choices": [{"Next": "B"}], "Default": "C"},
    ...     "B": {"Type": "Succeed"}, "C": {"Type": "Fail"}}}).states
    ('A', 'B')
    """
    states = _way(definition)
    bodies = [definition["States"][name] for name in states]
    children = [body["ItemProcessor"] for body in bodies if body["Type"] == "Map"]
    tasks = tuple(
        name
        for name, body in zip(states, bodies, strict=True)
        if body["Type"] == "Task" and "lambda:invoke" in body["Resource"]
    )
    return Graph(states, tasks, tuple(name for child in children for name in _way(child)))


def _way(machine: Mapping[str, Any]) -> tuple[str, ...]:
    ways: list[tuple[str, ...]] = [(machine["StartAt"],)]
    seen = set(ways[0])
    for way in ways:
        state = machine["States"][way[-1]]
        if state.get("End") or state["Type"] == "Succeed":
            return way
        nexts = [state.get("Next"), state.get("Default"), *(c["Next"] for c in state.get("Choices", ()))]
        for name in nexts:
            if name is not None and name not in seen:
                seen.add(name)
                ways.append((*way, name))
    raise InputError("the state machine has no way to an end that is not a Fail state")


# The model.


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
    plain = work.n_rows * _ROW_BYTES
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
    preflight, summarize, others = _task_parts(work, options, model)
    parts = (
        preflight,
        *_map_parts(work, options, model, mapped),
        summarize,
        *_draw_parts(work, options, model),
        others,
        *_small_parts(work, options, model),
    )
    transitions = sum(part.quantity for part in parts if part.price == model.prices.step_functions_transition)
    waves = math.ceil(len(work.items) / options.concurrency)
    invocations = {
        "Preflight": preflight.seconds,
        "FilterSweep": mapped.longest_item,
        "SummarizeFanOut": summarize.seconds,
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
    others = [name for name in model.graph.tasks if name not in ("Preflight", "SummarizeFanOut")]

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
        + items * rates.draw_gets.value,
        prices.s3_get,
        0.0,
        f"{_header_gets(rates)} a header, {_REQUESTS_PER_RESULT} for each file of stats or matches, and "
        f"{rates.draw_gets.value:g} of Spark a pool file",
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


# What follows from it.


class Swing(NamedTuple):
    """By how much dollars and wall time change if a rate has its low or its high value instead."""

    name: str
    rate: Rate
    usd_at_low: float
    usd_at_high: float
    seconds_at_low: float
    seconds_at_high: float

    @property
    def usd(self) -> float:
        """The larger change of the dollars, without its sign."""
        return max(abs(self.usd_at_low), abs(self.usd_at_high))

    @property
    def seconds(self) -> float:
        """The larger change of the wall time, without its sign."""
        return max(abs(self.seconds_at_low), abs(self.seconds_at_high))


def sensitivity(work: Workload, options: Options, model: Model) -> list[Swing]:
    """Vary each rate on its own to its low and to its high value."""
    base = estimate(work, options, model)

    def at(name: str, rate: Rate, value: float) -> tuple[float, float]:
        rates = model.rates.model_copy(update={name: rate.model_copy(update={"value": value})})
        other = estimate(work, options, replace(model, rates=rates))
        return other.usd - base.usd, other.seconds - base.seconds

    swings = []
    for name in Rates.model_fields:
        rate: Rate = getattr(model.rates, name)
        low, high = at(name, rate, rate.low), at(name, rate, rate.high)
        swings.append(Swing(name, rate, low[0], high[0], low[1], high[1]))
    return swings


class Bounds(NamedTuple):
    """Dollars and wall time with every rate at the end of its range that lowers, or raises, them most."""

    usd_low: float
    usd_high: float
    seconds_low: float
    seconds_high: float


def bounds(work: Workload, options: Options, model: Model, swings: Iterable[Swing]) -> Bounds:
    """Put all rates to their best, then to their worst, for the dollars and for the wall time."""
    swings = tuple(swings)

    def at(of: str, pick: Callable[[Iterable[tuple[float, float]]], tuple[float, float]]) -> Estimate:
        changed = {}
        for swing in swings:
            low, high = getattr(swing, f"{of}_at_low"), getattr(swing, f"{of}_at_high")
            value = pick([(0.0, swing.rate.value), (low, swing.rate.low), (high, swing.rate.high)])[1]
            changed[swing.name] = swing.rate.model_copy(update={"value": value})
        return estimate(work, options, replace(model, rates=model.rates.model_copy(update=changed)))

    return Bounds(
        at("usd", min).usd, at("usd", max).usd, at("seconds", min).seconds, at("seconds", max).seconds
    )


class ItemSize(NamedTuple):
    """What a run costs with files cut into items of another size; ``item_bytes`` None is whole files."""

    item_bytes: int | None
    items: int
    waves: int
    transitions_usd: float
    lambda_usd: float
    usd: float
    seconds: float

    @property
    def meets(self) -> bool:
        """Whether the wall time is within the target."""
        return self.seconds <= TARGET_SECONDS


def item_sizes(listing: Listing, options: Options, model: Model) -> list[ItemSize]:
    """Estimate a run for each of :data:`ITEM_SIZES`, and for the size that the options have."""
    rows = []
    for size in sorted({*ITEM_SIZES, options.execution.target_item_bytes}):
        other = options.with_item_bytes(size)
        work = workload(listing.sweeps, other.execution)
        result = estimate(work, other, model)
        rows.append(
            ItemSize(
                None if size == ITEM_SIZES[-1] else size,
                result.items,
                result.waves,
                result.part("Map: transitions").usd,
                result.part("Map: Lambda").usd,
                result.usd,
                result.seconds,
            )
        )
    return rows


def recommend(sizes: list[ItemSize]) -> ItemSize:
    """Return the cheapest size that meets the wall-time target; the fastest where none does."""
    meeting = [size for size in sizes if size.meets]
    if meeting:
        return min(meeting, key=lambda size: (size.usd, size.seconds))
    return min(sizes, key=lambda size: (size.seconds, size.usd))


class Extra(NamedTuple):
    """Something that is not part of the total."""

    name: str
    usd: float
    why: str


@dataclass(frozen=True)
class Report:
    """All that ``lensneg cost`` says."""

    listing: Listing
    options: Options
    model: Model
    estimate: Estimate
    not_included: tuple[Extra, ...]
    swings: tuple[Swing, ...]
    bounds: Bounds
    sizes: tuple[ItemSize, ...]

    @property
    def recommended(self) -> ItemSize:
        """The item size to use."""
        return recommend(list(self.sizes))


def assess(listing: Listing, options: Options, model: Model) -> Report:
    """Estimate a run, what it depends on, and which item size serves best."""
    work = workload(listing.sweeps, options.execution)
    swings = tuple(sensitivity(work, options, model))
    return Report(
        listing,
        options,
        model,
        estimate(work, options, model),
        _not_included(listing, work, options, model),
        swings,
        bounds(work, options, model, swings),
        tuple(item_sizes(listing, options, model)),
    )


def _not_included(listing: Listing, work: Workload, options: Options, model: Model) -> tuple[Extra, ...]:
    month = model.prices.s3_gb_month.each
    smallest = sorted(listing.sweeps, key=lambda sweep: sweep.size)[: options.execution.mini_test_files]
    share = sum(sweep.rows for sweep in smallest) / max(1, listing.rows)
    test = estimate(
        workload(smallest, options.execution),
        replace(options, positives=math.ceil(options.positives * share)),
        model,
    )
    rates = model.rates
    pool = sum(item.n_rows for item in work.items) * rates.pool_share.value * rates.pool_row_bytes.value
    return (
        Extra(
            "mini-test",
            test.usd,
            f"{len(smallest)} file{'s' if len(smallest) > 1 else ''}, {test.seconds:.0f} s more in the mode "
            "test-then-full; none where one has passed with this config and code",
        ),
        Extra("sweeps in S3, a month", listing.bytes / GIB * month, f"{listing.bytes / 1e12:.2f} TB"),
        Extra("pool files in S3, a month", pool / GIB * month, "until runs/ is deleted or expires"),
        Extra(
            "getting the sweeps into S3",
            0.0,
            "transfer in is free, but takes long from the survey's server; from another region it is paid "
            "for by the GB; PUTs of its parts",
        ),
    )


# What a person, or a program, sees.


def make_report(
    *,
    listing: str | None,
    sweeps: str | None,
    concurrency: int,
    memory: int,
    item_bytes: int | None,
    positives: int,
    prices: str,
    rates: str,
) -> Report:
    """Read the inputs of ``lensneg cost``, and assess.

    Raises
    ------
    InputError
        If neither or both of listing and sweeps are given, or a file cannot be read or is at fault.
    """
    if (listing is None) == (sweeps is None):
        raise InputError("give either --listing FILE or --sweeps URI")
    known = load_rates(rates)
    table = load_prices(prices)
    config = parse_config(_read_text(CONFIG_FILE, "config"), CONFIG_FILE)
    graph = read_graph(json.loads(_read_text(GRAPH_FILE, "state machine")))
    options = Options.of_config(
        config, concurrency=concurrency, memory=memory, positives=positives, item_bytes=item_bytes
    )
    files = read_listing(listing, known) if listing is not None else list_sweeps(str(sweeps), known)
    return assess(files, options, Model(known.rates, table, graph))


def verdicts(report: Report) -> dict[str, Any]:
    """Return how the estimate stands to the project's targets, and what weighs most."""
    result = report.estimate
    dearest = max(result.parts, key=lambda part: part.usd)
    longest = max(result.parts, key=lambda part: part.seconds)
    return {
        "target_seconds": TARGET_SECONDS,
        "target_usd": TARGET_USD,
        "meets_seconds": result.seconds <= TARGET_SECONDS,
        "meets_usd": result.usd <= TARGET_USD,
        "overruns": list(result.overruns),
        "dearest_part": dearest.name,
        "longest_part": longest.name,
        "most_sensitive_usd": max(report.swings, key=lambda swing: swing.usd).name,
        "most_sensitive_seconds": max(report.swings, key=lambda swing: swing.seconds).name,
    }


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as it is printed with ``--json``."""
    result, options, prices = report.estimate, report.options, report.model.prices
    return {
        "prices": {"date": prices.date.isoformat(), "region": prices.region},
        "listing": {
            "source": report.listing.source,
            "files": len(report.listing.sweeps),
            "modelled_sizes": report.listing.modelled,
            "ignored": report.listing.ignored,
            "bytes": report.listing.bytes,
            "rows": report.listing.rows,
        },
        "options": {
            "concurrency": options.concurrency,
            "memory_mb": options.memory,
            "item_bytes": options.execution.target_item_bytes,
            "positives": options.positives,
            "negatives": options.negatives,
        },
        "usd": result.usd,
        "seconds": result.seconds,
        "verdict": verdicts(report),
        "items": result.items,
        "waves": result.waves,
        "state_transitions": result.transitions,
        "map_billed_seconds": result.map_billed_seconds,
        "parts": [_part_json(part) for part in result.parts],
        "not_included": [extra._asdict() for extra in report.not_included],
        "bounds": report.bounds._asdict(),
        "sensitivity": [{**swing._asdict(), "rate": swing.rate.model_dump()} for swing in report.swings],
        "item_sizes": [{**size._asdict(), "meets_seconds": size.meets} for size in report.sizes],
        "recommended_item_bytes": report.recommended.item_bytes,
    }


def _part_json(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "quantity": part.quantity,
        "unit": part.price.unit,
        "unit_usd": part.price.each,
        "usd": part.usd,
        "seconds": part.seconds,
        "assumption": part.assumption,
    }


def show(console: Console, report: Report) -> None:
    """Print a report."""
    listing, options, result = report.listing, report.options, report.estimate

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False)

    sizes = f" (sizes of {listing.modelled:,} modelled)" if listing.modelled else ""
    ignored = f"; {listing.ignored:,} other entries ignored" if listing.ignored else ""
    say(
        f"{len(listing.sweeps):,} sweep files{sizes}{ignored}: {listing.bytes / 1e12:.3f} TB, "
        f"{listing.rows:,} rows; {result.items:,} items of about "
        f"{_size(options.execution.target_item_bytes)}, {options.negatives:,} negatives; prices of "
        f"{report.model.prices.region}, {report.model.prices.date}"
    )
    say("")
    _show_parts(console, result)
    say("")
    _show_verdict(say, report)
    say("")
    _show_sizes(console, report)
    say("")
    for what, of, form in _TORNADOES:
        _show_tornado(console, report.swings, what, of, form)
        say("")
    _show_list(console, "assumptions", [(part.name, part.assumption) for part in result.parts])
    say("")
    _show_list(
        console,
        "not included",
        [
            (extra.name, f"{extra.usd:.2f} USD; {extra.why}" if extra.usd else extra.why)
            for extra in report.not_included
        ],
    )


def _size(item_bytes: int | None) -> str:
    if item_bytes is None or item_bytes >= ITEM_SIZES[-1]:
        return "whole files"
    return f"{item_bytes / GIB:g} GiB" if item_bytes >= GIB else f"{item_bytes / MIB:,.4g} MiB"


def _usd(value: float) -> str:
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _quantity(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...], **options: Any) -> Table:
    from rich.table import Table  # the functions on AWS, which have no rich, estimate too

    table = Table(title=title, title_justify="left", show_edge=False, **options)
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _show_parts(console: Console, result: Estimate) -> None:
    table = _table("parts", ("part",), ("quantity", "unit", "USD", "%", "seconds"))
    for part in result.parts:
        table.add_row(
            part.name,
            _quantity(part.quantity),
            part.price.unit,
            _usd(part.usd),
            _share(part.usd, result.usd),
            f"{part.seconds:.1f}" if part.seconds else "",
        )
    table.add_section()
    table.add_row("total", "", "", f"{result.usd:.2f}", "", f"{result.seconds:.0f}", style="bold")
    console.print(table)


def _show_verdict(say: Callable[..., None], report: Report) -> None:
    result, verdict, ends = report.estimate, verdicts(report), report.bounds
    longest, dearest = result.part(verdict["longest_part"]), result.part(verdict["dearest_part"])

    def judge(text: str, met: bool, over: str) -> None:
        say(text + ("met" if met else f"MISSED by {over}"), "bold green" if met else "bold red")

    judge(
        f"wall time {result.seconds / 60:.1f} min: target of {TARGET_SECONDS / 60:g} min ",
        verdict["meets_seconds"],
        f"{(result.seconds - TARGET_SECONDS) / 60:.1f} min",
    )
    say(
        f"  longest: {longest.name}, {longest.seconds:.0f} s ({_share(longest.seconds, result.seconds)})\n"
        f"  most sensitive to {verdict['most_sensitive_seconds']}; all rates at best "
        f"{ends.seconds_low / 60:.1f}, at worst {ends.seconds_high / 60:.1f} min"
    )
    for name in result.overruns:
        say(f"  {name} would be stopped: Lambda ends a function after {LAMBDA_LIMIT_SECONDS:g} s", "bold red")
    judge(
        f"cost {result.usd:.2f} USD: target of {TARGET_USD:.2f} USD ",
        verdict["meets_usd"],
        f"{result.usd - TARGET_USD:.2f} USD",
    )
    say(
        f"  dearest: {dearest.name}, {dearest.usd:.2f} USD ({_share(dearest.usd, result.usd)})\n"
        f"  most sensitive to {verdict['most_sensitive_usd']}; all rates at best "
        f"{ends.usd_low:.2f}, at worst {ends.usd_high:.2f} USD"
    )


def _show_sizes(console: Console, report: Report) -> None:
    numbers = ("items", "waves", "transitions", "map", "USD", "seconds", "in time")
    table = _table("item size, and its dollars", ("size",), numbers)
    best = report.recommended
    for size in report.sizes:
        table.add_row(
            _size(size.item_bytes),
            f"{size.items:,}",
            str(size.waves),
            f"{size.transitions_usd:.3f}",
            f"{size.lambda_usd:.3f}",
            f"{size.usd:.2f}",
            f"{size.seconds:.0f}",
            "yes" if size.meets else "no",
            style="bold" if size is best else None,
        )
    console.print(table)
    text = "cheapest within the target time" if best.meets else "none is within the target time; fastest"
    console.print(f"{text}: {_size(best.item_bytes)}, {best.usd:.2f} USD", highlight=False)


#: The tables of the most sensitive rates: of what, by which key, and how a change is written.
_TORNADOES: Final = (
    ("the dollars", "usd", "{:+.3f}"),
    ("the seconds", "seconds", "{:+.1f}"),
)


def _show_tornado(console: Console, swings: Iterable[Swing], what: str, of: str, form: str) -> None:
    table = _table(
        f"what changes {what} most", ("rate",), ("low", "value", "high", "unit", "at low", "at high")
    )
    for swing in sorted(swings, key=lambda swing: -getattr(swing, of))[:5]:
        low, high = getattr(swing, f"{of}_at_low"), getattr(swing, f"{of}_at_high")
        numbers = [f"{x:g}" for x in (swing.rate.low, swing.rate.value, swing.rate.high)]
        table.add_row(swing.name, *numbers, swing.rate.unit, form.format(low), form.format(high))
    console.print(table)


def _show_list(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_edge=False, show_header=False, box=None)
    table.add_column(min_width=20)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, text)
    console.print(table)
