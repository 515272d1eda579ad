"""The model: dollars and seconds of a run, part by part. ``docs/cost.md`` states the formulae."""

import math
from dataclasses import replace
from typing import Final, NamedTuple

from lensneg.cost.listing import Listing
from lensneg.cost.map_time import MapTime, header_gets, map_time, network_seconds, row_gets, vcpu_share
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import GIB, MB, MIB, Price

#: The project's targets for all of DR10.
TARGET_SECONDS: Final = 600.0
TARGET_USD: Final = 2.0

#: A function is stopped after this long. Source: AWS Lambda developer guide, quotas.
LAMBDA_LIMIT_SECONDS: Final = 900.0

#: EMR Serverless bills a worker for at least this long. Source: Amazon EMR pricing, EMR Serverless.
WORKER_MINIMUM_SECONDS: Final = 60.0

#: The number of negatives for which ``draw_seconds`` and ``check_seconds`` are given.
DRAW_REFERENCE: Final = 500_000

#: Keys that S3 lists in one request. Source: Amazon S3 API reference, ListObjectsV2.
_KEYS_PER_LIST: Final = 1000

#: Requests of a map item besides its rows and headers. GET: its stats if it is done, and the state of its
#: file (HEAD). PUT: survivors, matches if there are any, stats.
_GETS_PER_ITEM: Final = 2
_PUTS_PER_ITEM: Final = 3

#: GET requests for run.json and the lens positions, once in each execution environment.
_GETS_PER_ENVIRONMENT: Final = 2

#: Listings by Preflight and SummarizeFanOut: of the sweeps by both; of the pool files and the matches.
_LISTS_OF_SWEEPS: Final = 2
_LISTS_OF_ITEMS: Final = 2

#: Ranges that Preflight reads of a sweep file besides the headers: the last row.
_GETS_OF_LAST_ROWS: Final = 1

#: GET requests of CheckSample for a pool file: its footer.
_GETS_PER_POOL_FILE: Final = 1


class Part(NamedTuple):
    """A part of a run that is paid for.

    Attributes
    ----------
    name : str
        What it is.
    quantity : float
        Amount in the units of the price.
    price : Price
        Its price.
    assumption : str
        What the quantity and the seconds follow from.
    seconds : float
        Seconds of the wall time; 0 if they pass within those of another part.
    """

    name: str
    quantity: float
    price: Price
    assumption: str
    seconds: float = 0.0

    @property
    def usd(self) -> float:
        """Dollars."""
        return self.quantity * self.price.each


class Estimate(NamedTuple):
    """The cost and the duration of a run.

    Attributes
    ----------
    parts : tuple of Part
        Parts in the order of the states, then those that all states share.
    map_billed_seconds : float
        Billed seconds of all map items.
    overruns : tuple of str
        Functions with an invocation that would take longer than Lambda allows.
    """

    parts: tuple[Part, ...]
    map_billed_seconds: float
    overruns: tuple[str, ...]

    @property
    def usd(self) -> float:
        """Dollars of all parts."""
        return sum(part.usd for part in self.parts)

    @property
    def seconds(self) -> float:
        """Wall time in seconds: the states run one after the other."""
        return sum(part.seconds for part in self.parts)

    def part(self, name: str) -> Part:
        """Return a part by its name."""
        return next(part for part in self.parts if part.name == name)


def estimate(run: PlannedRun) -> Estimate:
    """Estimate the cost and the duration of a run.

    Parameters
    ----------
    run : PlannedRun
        The run.

    Returns
    -------
    Estimate
        Its parts.
    """
    mapped = map_time(run)
    preflight, summarize, check, others = _function_parts(run)
    plan = others.seconds / len(run.other_functions)
    since_plan = plan + mapped.seconds + summarize.seconds
    map_and_draw = (*_map_parts(run, mapped), summarize, *_draw_parts(run, since_plan))
    functions = ("Preflight", "FilterSweep", "SummarizeFanOut", "CheckSample")
    longest = (preflight.seconds, mapped.longest_item, summarize.seconds, check.seconds)
    overruns = [f for f, seconds in zip(functions, longest, strict=True) if seconds > LAMBDA_LIMIT_SECONDS]
    parts = (preflight, *map_and_draw, check, others, *_shared_parts(run))
    return Estimate(parts, mapped.billed_seconds, tuple(overruns))


def _map_parts(run: PlannedRun, mapped: MapTime) -> tuple[Part, ...]:
    rates, prices, items = run.rates, run.prices, len(run.items)
    tries = 1 + rates.retry_share  # invocations that an item takes on average
    gb_seconds = mapped.billed_seconds * tries * run.memory / 1024
    gets = row_gets(run) + items * (_GETS_PER_ITEM + header_gets(rates))
    gets_and_retries = gets * tries + mapped.environments * _GETS_PER_ENVIRONMENT
    transitions = items * (rates.child_start_transitions + len(run.graph.child_states) * tries)
    how = (
        f"{items:,} items, {run.concurrency:,} at a time, if the account's quota allows it; "
        f"{mapped.environments:,} cold starts of {rates.init_seconds:g} s; {rates.network_burst:g} MiB of an "
        f"environment at {rates.network_burst_rate:g} MiB/s and {rates.warm_burst:g} of a later item, then "
        f"{rates.network_rate:g} MiB/s; meanwhile one thread at {rates.map_rate:,.0f} MB/s of a core; "
        f"{rates.retry_share:.0%} of items tried twice; wall time set by {mapped.bound}"
    )
    ranges = f"ranges of {rates.read_part:g} MiB and headers; the sweeps are in S3 in the same region"
    started = f"children are STANDARD executions: {rates.child_start_transitions:g} to start one; retries"
    return (
        Part("Map: Lambda", gb_seconds, prices.lambda_gb_second, how, mapped.seconds),
        Part("Map: invocations", items * tries, prices.lambda_request, "one an item, and its retries"),
        Part("Map: S3 GET", gets_and_retries, prices.s3_get, ranges),
        Part("Map: S3 PUT", items * _PUTS_PER_ITEM * tries, prices.s3_put, "survivors, matches, stats"),
        Part("Map: transitions", transitions, prices.step_functions_transition, started),
    )


def _draw_parts(run: PlannedRun, since_plan: float) -> tuple[Part, ...]:
    """Return the parts of the draw. The application has been starting for so many seconds."""
    rates, prices, items = run.rates, run.prices, len(run.items)
    megabytes = rates.pool_bytes(run.listing.rows) * rates.draw_read_share / MB
    reading = (items * rates.spark_open_seconds + megabytes / rates.spark_read_rate) / rates.executor_cores
    drawing = rates.draw_seconds * run.negatives / DRAW_REFERENCE
    waiting = max(0.0, rates.application_start_seconds - since_plan)
    seconds = waiting + rates.spark_start_seconds + reading + drawing
    hours = max(WORKER_MINIMUM_SECONDS, seconds) / 3600
    warm_hours = (since_plan + rates.idle_seconds) / 3600
    vcpu_hours = rates.job_vcpu * hours + rates.warm_vcpu * warm_hours
    gb_hours = rates.job_memory * hours + rates.warm_memory * warm_hours
    warm = f"{rates.warm_vcpu:g} of them also from PlanFanOut on, and {rates.idle_seconds:g} s after the job"
    how = (
        f"{waiting + rates.spark_start_seconds:.0f} s to start, "
        f"{reading:.0f} s to open {items:,} pool files and read {rates.draw_read_share:.0%} of them, "
        f"{drawing:.0f} s to draw {run.negatives:,} rows; "
        f"{rates.job_vcpu:g} vCPU, billed from the start of the job, at least a minute; {warm}"
    )
    memory = f"{rates.job_memory:g} GB of the same workers; their disks of 20 GB are free"
    return (
        Part("Draw: EMR vCPU", vcpu_hours, prices.emr_vcpu_hour, how, seconds),
        Part("Draw: EMR memory", gb_hours, prices.emr_gb_hour, memory),
    )


def _function_parts(run: PlannedRun) -> tuple[Part, ...]:
    """Return the functions that a run invokes once, each of them cold: three by name, then the others.

    Their threads wait for S3 at the same time, but only one of them runs Python code at a time. So a request
    counts with its processor time.
    """
    rates, files, items = run.rates, len(run.listing.sweeps), len(run.items)
    core = vcpu_share(rates.task_memory)
    task = (rates.init_seconds + rates.task_seconds) / core
    reading = network_seconds(files * rates.header_read * MIB, rates.network_burst * MIB, rates)
    headers = max(reading, files * rates.header_seconds / core)
    summarizing = run.result_files * rates.request_seconds / core
    checking = items * _GETS_PER_POOL_FILE * rates.request_seconds / core
    checking += rates.check_seconds * run.negatives / DRAW_REFERENCE / core
    others = run.other_functions

    def part(name: str, seconds: float, what: str, count: int = 1) -> Part:
        billed = count * task + seconds
        gb_seconds, wall = billed * rates.task_memory / 1024, billed + count * rates.cold_start_seconds
        how = f"{task:g} s of INIT and everything else, {rates.task_memory:,.0f} MB; {what}"
        return Part(f"{name}: Lambda", gb_seconds, run.prices.lambda_gb_second, how, wall)

    return (
        part("Preflight", headers, f"{headers:.0f} s to read and parse {files:,} headers"),
        part("SummarizeFanOut", summarizing, f"{summarizing:.0f} s for {run.result_files:,} small files"),
        part("CheckSample", checking, f"{checking:.0f} s for {run.negatives:,} rows"),
        part("Other functions", 0.0, f"each of {', '.join(others)}", len(others)),
    )


def _shared_parts(run: PlannedRun) -> tuple[Part, ...]:
    rates, prices, items = run.rates, run.prices, len(run.items)
    files, states = len(run.listing.sweeps), len(run.graph.states)
    pool_gets = items * (rates.draw_gets + _GETS_PER_POOL_FILE)
    gets = files * (header_gets(rates) + _GETS_OF_LAST_ROWS) + run.result_files + pool_gets
    lists = [files] * _LISTS_OF_SWEEPS + [items] * _LISTS_OF_ITEMS
    puts = rates.run_puts + sum(math.ceil(count / _KEYS_PER_LIST) for count in lists)
    logs = items * (1 + rates.retry_share) * rates.log_bytes / GIB
    waiting, transition = states * rates.transition_seconds, prices.step_functions_transition
    return (
        Part("Execution: transitions", states, transition, "the route through every gate", waiting),
        Part("Rest: S3 GET", gets, prices.s3_get, "headers, stats, matches, and pool files for the draw"),
        Part("Rest: S3 PUT, LIST", puts, prices.s3_put, "the run's own files and the manifest"),
        Part("CloudWatch Logs", logs, prices.logs_gb, "ingested; keeping them is not counted"),
    )


class Extra(NamedTuple):
    """A cost that is not part of an estimate."""

    name: str
    usd: float
    why: str


def not_included(run: PlannedRun) -> tuple[Extra, ...]:
    """Return what a run may cost in addition to its estimate.

    Parameters
    ----------
    run : PlannedRun
        The run.

    Returns
    -------
    tuple of Extra
        The additional costs.
    """
    listing, month = run.listing, run.prices.s3_gb_month.each / GIB
    smallest = sorted(listing.sweeps, key=lambda s: s.size)[: run.config.execution.mini_test_files]
    tested = Listing(listing.source, tuple(smallest))
    positives = math.ceil(run.positives * tested.rows / max(1, listing.rows))
    test = estimate(replace(run, listing=tested, positives=positives))
    pool = run.rates.pool_bytes(listing.rows)
    added = f"{test.seconds:.0f} s more in the mode test-then-full, unless this config and code passed one"
    moved = "free, but slow from the survey's server; from another region paid by the GB; PUTs of its parts"
    return (
        Extra("mini-test", test.usd, added),
        Extra("sweeps in S3, a month", listing.bytes * month, f"{listing.bytes / 1e12:.2f} TB"),
        Extra("pool files in S3, a month", pool * month, "until runs/ is deleted or expires"),
        Extra("getting the sweeps into S3", 0.0, moved),
    )
