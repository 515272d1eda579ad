"""What follows from the model: what it depends on, which item size serves best, and the targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from lensneg.cost.inputs import Rate, Rates
from lensneg.cost.listing import Listing, Workload, workload
from lensneg.cost.model import GIB, Estimate, Model, Options, estimate

#: What the project aims at for all of DR10.
TARGET_SECONDS: Final = 600.0
TARGET_USD: Final = 2.0

#: Sizes between which the item size is chosen; the last makes an item of every file.
ITEM_SIZES: Final = (64 << 20, 128 << 20, 256 << 20, 512 << 20, 1 << 30, 1 << 40)


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
