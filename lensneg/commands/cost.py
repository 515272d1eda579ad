"""``lensneg cost``: what a run on AWS costs."""

import click

from lensneg.commands.common import console, json_option, print_json
from lensneg.errors import InputError
from lensneg.schema.resources import CONFIGS


@click.command()
@click.option(
    "--listing",
    metavar="FILE",
    help="Names of sweep files, one a line, and bytes in a second column if known: what lensneg sweeps list "
    "prints. By default all of DR10.1.",
)
@click.option("--sweeps", metavar="URI", help="Instead: a folder or s3:// prefix of sweep files.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=1000,
    show_default=True,
    help="Map items at a time.",
)
@click.option(
    "--memory",
    type=click.IntRange(128, 10_240),
    default=1769,
    show_default=True,
    help="MB of the FilterSweep function; 1,769 are one vCPU.",
)
@click.option(
    "--item-bytes",
    type=click.IntRange(min=1 << 20),
    help="Size of a map item; by default that of negative_sampling_v1.",
)
@click.option("--positives", type=click.IntRange(1), default=5000, show_default=True, help="Known lenses.")
@click.option(
    "--prices",
    metavar="FILE",
    default=str(CONFIGS / "prices.yaml"),
    help="Table of prices; by default the shipped configs/prices.yaml.",
)
@click.option(
    "--rates",
    metavar="FILE",
    default=str(CONFIGS / "rates.yaml"),
    help="Assumptions; by default the shipped configs/rates.yaml.",
)
@click.option("--details", is_flag=True, help="Print the assumptions of each part and the options, too.")
@json_option
def cost(
    listing: str | None,
    sweeps: str | None,
    concurrency: int,
    memory: int,
    item_bytes: int | None,
    positives: int,
    prices: str,
    rates: str,
    details: bool,
    as_json: bool,
) -> None:
    """Model what a run on AWS costs and how long it takes, from measured rates and a table of prices.

    Without --listing and --sweeps it is a run over all of DR10.1. Runs nothing and needs no account.

    \b
    Example: lensneg cost
             lensneg cost --listing sweeps.txt --concurrency 500 --memory 1769
    """  # noqa: D301 (\b is click's mark of a paragraph whose breaks stay)
    from lensneg import storage
    from lensneg.commands import cost_screen
    from lensneg.cost.graph import load_graph
    from lensneg.cost.listing import list_release, list_sweeps, parse_listing
    from lensneg.cost.planned_run import PlannedRun
    from lensneg.cost.prices import load_prices
    from lensneg.cost.rates import load_rates
    from lensneg.schema.config import Config

    if listing is not None and sweeps is not None:
        raise InputError(
            "both are given", where="--listing and --sweeps", remedy="give one, or neither for all of DR10.1"
        )
    known = load_rates(rates)
    config = Config.parse((CONFIGS / "negative_sampling_v1.yaml").read_text())
    if item_bytes is not None:
        execution = config.execution.model_copy(update={"target_item_bytes": item_bytes})
        config = config.model_copy(update={"execution": execution})
    if listing is not None:
        files = parse_listing(storage.read_text(listing, "--listing"), listing, known)
    elif sweeps is not None:
        files = list_sweeps(sweeps, known)
    else:
        files = list_release(known)
    run = PlannedRun(
        files, config, positives, known.rates, load_prices(prices), load_graph(), concurrency, memory
    )
    if as_json:
        print_json(cost_screen.as_json(run))
    else:
        cost_screen.show(console, run, details=details)
