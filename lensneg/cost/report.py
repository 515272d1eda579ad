"""What a person, or a program, sees of the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from lensneg.cost.analysis import ITEM_SIZES, TARGET_SECONDS, TARGET_USD, Report, Swing, assess
from lensneg.cost.graph import GRAPH_FILE, read_graph
from lensneg.cost.inputs import load_prices, load_rates, read_text
from lensneg.cost.listing import list_release, list_sweeps, read_listing
from lensneg.cost.model import GIB, LAMBDA_LIMIT_SECONDS, MIB, Estimate, Model, Options, Part
from lensneg.errors import InputError
from lensneg.schema.config import Config
from lensneg.schema.resources import CONFIGS
from lensneg.survey.releases import RELEASE_NAME

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: The config whose item size and ratio are taken.
CONFIG_FILE: Final = str(CONFIGS / "negative_sampling_v1.yaml")


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
    """Read the inputs of ``lensneg cost``, and assess; without listing and sweeps, the whole release.

    Raises
    ------
    InputError
        If both listing and sweeps are given, or a file cannot be read or is at fault.
    """
    if listing is not None and sweeps is not None:
        raise InputError(f"give either --listing FILE or --sweeps URI; neither means all of {RELEASE_NAME}")
    known = load_rates(rates)
    table = load_prices(prices)
    config = Config.parse(read_text(CONFIG_FILE, "config"), CONFIG_FILE)
    graph = read_graph(json.loads(read_text(GRAPH_FILE, "state machine")))
    options = Options.of_config(
        config, concurrency=concurrency, memory=memory, positives=positives, item_bytes=item_bytes
    )
    if listing is not None:
        files = read_listing(listing, known)
    elif sweeps is not None:
        files = list_sweeps(sweeps, known)
    else:
        files = list_release(known)
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
    say(listing.source, "bold")
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
