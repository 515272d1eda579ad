"""``lensneg cost``: the cost of a run on AWS."""

import click

from lensneg.commands.common import Command, Result, prints_result
from lensneg.commands.sweeps import CONFIG_OPTION, RELEASE_OPTION, release_of
from lensneg.errors import InputError
from lensneg.survey.releases import RELEASE_NAME


@click.command(cls=Command)
@click.option(
    "--listing",
    metavar="FILE",
    help="Names of sweep files, one a line, and bytes in a second column if known: what lensneg sweeps list "
    "prints. By default all of DR10.1.",
)
@click.option("--sweeps", metavar="URI", help="Instead: a folder or s3:// prefix of sweep files.")
@RELEASE_OPTION
@CONFIG_OPTION
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=1000, help="Map items at a time.")
@click.option(
    "--memory",
    type=click.IntRange(128, 10_240),
    default=1024,
    help="MB of the FilterSweep function; 1,769 are one vCPU.",
)
@click.option(
    "--item-bytes",
    type=click.IntRange(min=1 << 20),
    help="Size of a map item; by default that of the config, or of negative_sampling_v1.",
)
@click.option("--positives", type=click.IntRange(1, 10**9), default=5000, help="Known lenses.")
@click.option("--prices", metavar="FILE", help="Table of prices; by default the shipped configs/prices.yaml.")
@click.option("--rates", metavar="FILE", help="Assumptions; by default the shipped configs/rates.yaml.")
@click.option(
    "--details", is_flag=True, help="Print the parts of the cost, their assumptions and the options, too."
)
@prints_result
def cost(
    listing: str | None,
    sweeps: str | None,
    release: str | None,
    config: str | None,
    concurrency: int,
    memory: int,
    item_bytes: int | None,
    positives: int,
    prices: str | None,
    rates: str | None,
    details: bool,
) -> Result:
    """Estimate the cost and duration of a run on AWS, from measured rates and a table of prices.

    Prints the planned time line, state by state. Without --listing and --sweeps it is a run over all of
    DR10.1. Runs nothing and needs no account.

    \b
    Example: lensneg cost
             lensneg cost --listing sweeps.txt --concurrency 500 --memory 1769
    """  # noqa: D301 (\b keeps click from wrapping the paragraph)
    from lensneg import storage
    from lensneg.commands import cost_screen
    from lensneg.cost.listing import list_release, list_sweeps, parse_listing
    from lensneg.cost.planned_run import PlannedRun
    from lensneg.cost.tables import load_prices, load_rates
    from lensneg.schema.config import Config

    if listing is not None and sweeps is not None:
        remedy = "give one, or neither for all of DR10.1"
        raise InputError("both are given", where="--listing and --sweeps", remedy=remedy)
    if (release := release_of(release, config)) != RELEASE_NAME and listing is None and sweeps is None:
        what = f"the names of the sweep files of {release} are not known here"
        remedy = f"give --sweeps, or --listing with what lensneg sweeps list --release {release} --ask prints"
        raise InputError(what, where="--config" if config else "--release", remedy=remedy)
    known = load_rates(rates)
    science = Config.load(config or "negative_sampling_v1")
    if item_bytes is not None:
        execution = science.execution.model_copy(update={"target_item_bytes": item_bytes})
        science = science.model_copy(update={"execution": execution})
    if listing is not None:
        files = parse_listing(storage.read_text(listing, "--listing"), listing, known)
    else:
        files = list_sweeps(sweeps, known) if sweeps is not None else list_release(known)
    price_table = load_prices(prices)
    run = PlannedRun(
        files, science, positives, known.rates, price_table, concurrency=concurrency, memory=memory
    )
    return Result(cost_screen.as_json(run), cost_screen.view(run, details=details))
