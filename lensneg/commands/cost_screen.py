"""The output of ``lensneg cost``: one screen, its details, or JSON."""

import math
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from lensneg.cost.model import (
    LAMBDA_LIMIT_SECONDS,
    TARGET_SECONDS,
    TARGET_USD,
    Estimate,
    Extra,
    Part,
    estimate,
    not_included,
)
from lensneg.cost.planned_run import PlannedRun
from lensneg.cost.tables import MIB
from lensneg.cost.time_line import planned_states

#: Columns of the bars.
_BAR: Final = 32

_VERDICTS: Final = {True: ("met", "bold green"), False: ("MISSED", "bold red")}


def as_json(run: PlannedRun) -> dict[str, Any]:
    """Return the estimate of a run for ``--json``.

    Parameters
    ----------
    run : PlannedRun
        The run.

    Returns
    -------
    dict
        The content of the JSON object.
    """
    result, listing, prices = estimate(run), run.listing, run.prices
    costliest, longest = _most(result)
    states, usd_of_all = planned_states(run, result)
    return {
        "prices": {"date": prices.date.isoformat(), "region": prices.region},
        "listing": {
            "source": listing.source,
            "files": len(listing.sweeps),
            "modelled_sizes": listing.modelled,
            "ignored": listing.ignored,
            "bytes": listing.bytes,
            "rows": listing.rows,
        },
        "options": {
            "concurrency": run.concurrency,
            "memory_mb": run.memory,
            "item_bytes": run.config.execution.target_item_bytes,
            "positives": run.positives,
            "negatives": run.negatives,
        },
        "usd": result.usd,
        "seconds": result.seconds,
        "verdict": {
            "target_seconds": TARGET_SECONDS,
            "target_usd": TARGET_USD,
            "meets_seconds": result.seconds <= TARGET_SECONDS,
            "meets_usd": result.usd <= TARGET_USD,
            "overruns": list(result.overruns),
            "costliest_part": costliest.name,
            "longest_part": longest.name,
        },
        "items": len(run.items),
        "waves": math.ceil(len(run.items) / run.concurrency),
        "state_transitions": sum(p.quantity for p in result.parts if p.name.endswith(": transitions")),
        "map_billed_seconds": result.map_billed_seconds,
        "states": [{"state": state, **span.as_json()} for state, span in states.items()],
        "usd_of_all_states": usd_of_all,
        "parts": [
            {
                "name": part.name,
                "quantity": part.quantity,
                "unit": part.price.unit,
                "unit_usd": part.price.each,
                "usd": part.usd,
                "seconds": part.seconds,
                "assumption": part.assumption,
            }
            for part in result.parts
        ],
        "not_included": [extra._asdict() for extra in not_included(run)],
    }


def _most(result: Estimate) -> tuple[Part, Part]:
    """Return the part that costs most, and the part that takes longest."""
    return max(result.parts, key=lambda p: p.usd), max(result.parts, key=lambda p: p.seconds)


def view(run: PlannedRun, *, details: bool) -> Group:
    """Return the planned time line of a run: at most 24 lines of 80 columns.

    Parameters
    ----------
    run : PlannedRun
        The run.
    details : bool
        Whether the parts of the cost, their assumptions and the options follow.

    Returns
    -------
    rich.console.Group
        The lines.
    """
    result, extras = estimate(run), not_included(run)
    left_out = "; ".join(f"{extra.name} {extra.usd:.2f} USD" if extra.usd else extra.name for extra in extras)
    lines: list[RenderableType] = [*_head(run), _states(run, result), *_verdicts(result)]
    lines.append(f"not included, about: {left_out}")
    if details:
        lines += ["", _parts(result), "", _details(run, result, extras)]
    return Group(*lines)


def _states(run: PlannedRun, result: Estimate) -> Table:
    """Return the planned time line: a bar for each state, from its begin to its end."""
    states, usd_of_all = planned_states(run, result)
    whole = max(span.end for span in states.values()) or 1.0
    numbers = [Column(heading, justify="right") for heading in ("begins", "seconds", "USD")]
    table = Table("state", Column("", width=_BAR, no_wrap=True), *numbers, box=None, pad_edge=False)
    for state, span in states.items():
        begin, end = (round(at / whole * _BAR) for at in (span.begin, span.end))
        begin = min(begin, _BAR - 1)
        bar = " " * begin + "█" * max(1, end - begin)
        table.add_row(state, bar, f"{span.begin:,.0f}", f"{span.seconds:,.1f}", _usd(span.usd or 0.0))
    table.add_row("all states", "transitions, S3", "", "", _usd(usd_of_all))
    table.add_row("total, estimated", "", "", f"{result.seconds:,.0f}", f"{result.usd:.2f}", style="bold")
    return table


def _parts(result: Estimate) -> Table:
    numbers = [Column(heading, justify="right") for heading in ("USD", "share", "seconds")]
    table = Table("part", *numbers, box=None, pad_edge=False)
    for part in result.parts:
        seconds = f"{part.seconds:.1f}" if part.seconds else ""
        table.add_row(part.name, _usd(part.usd), _share(part.usd, result.usd), seconds)
    return table


def _usd(usd: float) -> str:
    return "<0.001" if 0 < usd < 0.0005 else f"{usd:.3f}"


def _head(run: PlannedRun) -> Iterator[Text]:
    listing, prices = run.listing, run.prices
    sizes = f" (sizes of {listing.modelled:,} modelled)" if listing.modelled else ""
    ignored = f"; {listing.ignored:,} other entries ignored" if listing.ignored else ""
    files = f"{len(listing.sweeps):,} sweep files{sizes}{ignored}: {listing.source}"
    yield Text(files, style="bold", no_wrap=True, overflow="ellipsis")
    about = "about " if listing.modelled else ""
    amounts = f"{about}{listing.bytes / 1e12:.3f} TB, {len(run.items):,} items, {run.negatives:,} negatives"
    yield Text(f"{amounts}; prices of {prices.region}, {prices.date}")


def _verdicts(result: Estimate) -> Iterator[Text]:
    costliest, longest = _most(result)
    time = f"time about {result.seconds / 60:.1f} of {TARGET_SECONDS / 60:g} min: target "
    most = f"; longest: {longest.name}, {_share(longest.seconds, result.seconds)}"
    yield Text.assemble(time, _VERDICTS[result.seconds <= TARGET_SECONDS], most)
    cost = f"cost about {result.usd:.2f} of {TARGET_USD:.2f} USD: target "
    most = f"; costliest: {costliest.name}, {_share(costliest.usd, result.usd)}"
    yield Text.assemble(cost, _VERDICTS[result.usd <= TARGET_USD], most)
    if result.overruns:
        overruns = f"Lambda stops {', '.join(result.overruns)} after {LAMBDA_LIMIT_SECONDS:g} s"
        yield Text(overruns, style="bold red")


def _details(run: PlannedRun, result: Estimate, extras: tuple[Extra, ...]) -> Table:
    table = Table("part", Column("quantity", justify="right"), "assumption", box=None, pad_edge=False)
    for part in result.parts:
        amount = f"{part.quantity:,.0f}" if part.quantity >= 100 else f"{part.quantity:.3g}"
        table.add_row(part.name, f"{amount} {part.price.unit}", part.assumption)
    for extra in extras:
        table.add_row(extra.name, "not included", extra.why)
    target = run.config.execution.target_item_bytes
    size = f"items of about {target / MIB:,.4g} MiB" if target else "an item a file, unless there are few"
    options = (
        f"{run.concurrency:,} items at a time, {run.memory:,} MB, {size}, {run.positives:,} positives, "
        f"{run.config.negative_pools.neg_pos_ratio} negatives for each; about {run.listing.rows:,} rows"
    )
    table.add_row("options", "", options)
    return table


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"
