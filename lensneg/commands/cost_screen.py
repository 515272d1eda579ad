"""What ``lensneg cost`` prints: one screen, its details, or JSON."""

import math
from typing import Any, Final

from rich.console import Console
from rich.table import Table
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

_VERDICTS: Final = {True: ("met", "bold green"), False: ("MISSED", "bold red")}


def as_json(run: PlannedRun) -> dict[str, Any]:
    """Return the estimate of a run for a program.

    Parameters
    ----------
    run : PlannedRun

    Returns
    -------
    dict
        What ``lensneg cost --json`` prints.
    """
    result, listing, prices = estimate(run), run.listing, run.prices
    dearest, longest = _most(result)
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
            "dearest_part": dearest.name,
            "longest_part": longest.name,
        },
        "items": len(run.items),
        "waves": math.ceil(len(run.items) / run.concurrency),
        "state_transitions": sum(p.quantity for p in result.parts if p.name.endswith(": transitions")),
        "map_billed_seconds": result.map_billed_seconds,
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
    """Return the dearest part, and the one that takes longest."""
    return max(result.parts, key=lambda p: p.usd), max(result.parts, key=lambda p: p.seconds)


def show(console: Console, run: PlannedRun, *, details: bool) -> None:
    """Print the estimate of a run: at most 24 lines of 80 columns.

    Parameters
    ----------
    console : Console
    run : PlannedRun
    details : bool
        Print below them the assumption of each part, and the options.
    """
    result = estimate(run)
    _show_files(console, run)
    table = _table("part", USD="right", share="right", seconds="right")
    for part in result.parts:
        seconds = f"{part.seconds:.1f}" if part.seconds else ""
        table.add_row(part.name, _usd(part.usd), _share(part.usd, result.usd), seconds)
    table.add_row("total", f"{result.usd:.2f}", "", f"{result.seconds:.0f}", style="bold")
    console.print(table)
    _show_verdict(console, result)
    extras = not_included(run)
    text = "; ".join(f"{extra.name} {extra.usd:.2f} USD" if extra.usd else extra.name for extra in extras)
    console.print(f"not included: {text}", highlight=False)
    if details:
        _show_details(console, run, result, extras)


def _show_files(console: Console, run: PlannedRun) -> None:
    listing, prices = run.listing, run.prices
    sizes = f" (sizes of {listing.modelled:,} modelled)" if listing.modelled else ""
    ignored = f"; {listing.ignored:,} other entries ignored" if listing.ignored else ""
    head = f"{len(listing.sweeps):,} sweep files{sizes}{ignored}: {listing.source}"
    console.print(Text(head, style="bold"), no_wrap=True, overflow="ellipsis")
    console.print(
        f"{listing.bytes / 1e12:.3f} TB in {len(run.items):,} items, {run.negatives:,} negatives; prices of "
        f"{prices.region}, {prices.date}",
        highlight=False,
        markup=False,
    )


def _show_verdict(console: Console, result: Estimate) -> None:
    dearest, longest = _most(result)

    def judge(text: str, met: bool, most: str) -> None:
        console.print(Text.assemble(f"{text}: target ", _VERDICTS[met], f"; {most}"))

    judge(
        f"wall time {result.seconds / 60:.1f} of {TARGET_SECONDS / 60:g} min",
        result.seconds <= TARGET_SECONDS,
        f"longest: {longest.name}, {_share(longest.seconds, result.seconds)}",
    )
    judge(
        f"cost {result.usd:.2f} of {TARGET_USD:.2f} USD",
        result.usd <= TARGET_USD,
        f"dearest: {dearest.name}, {_share(dearest.usd, result.usd)}",
    )
    if result.overruns:
        names = ", ".join(result.overruns)
        console.print(
            f"Lambda stops {names} after {LAMBDA_LIMIT_SECONDS:g} s", style="bold red", highlight=False
        )


def _show_details(console: Console, run: PlannedRun, result: Estimate, extras: tuple[Extra, ...]) -> None:
    table = _table("part", quantity="right", assumption="left")
    for part in result.parts:
        amount = f"{part.quantity:,.0f}" if part.quantity >= 100 else f"{part.quantity:.3g}"
        table.add_row(part.name, f"{amount} {part.price.unit}", part.assumption)
    for extra in extras:
        table.add_row(extra.name, "not included", extra.why)
    table.add_row(
        "options",
        "",
        f"{run.concurrency:,} items at a time, {run.memory:,} MB, items of about "
        f"{run.config.execution.target_item_bytes / MIB:,.4g} MiB, {run.positives:,} positives, "
        f"{run.config.sampling.neg_pos_ratio} negatives for each; {run.listing.rows:,} rows",
    )
    console.print("")
    console.print(table)


def _table(first: str, **columns: Any) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for heading, justify in columns.items():
        table.add_column(heading, justify=justify)
    return table


def _usd(value: float) -> str:
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"
