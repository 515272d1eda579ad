"""``lensneg cost``: what a run on AWS costs."""

from __future__ import annotations

from typing import Any

import click

from lensneg.commands.common import console, json_option, print_json


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
    help="Size of a map item; by default that of configs/negative_sampling_v1.yaml.",
)
@click.option("--positives", type=click.IntRange(1), default=5000, show_default=True, help="Known lenses.")
@click.option("--prices", metavar="FILE", help="Table of prices; by default configs/prices.yaml.")
@click.option("--rates", metavar="FILE", help="Assumptions; by default configs/rates.yaml.")
@json_option
def cost(as_json: bool, prices: str | None, rates: str | None, **options: Any) -> None:
    """Model what a run on AWS costs and how long it takes, from measured rates and a table of prices.

    Without --listing and --sweeps it is a run over all of DR10.1. Runs nothing and needs no account.

    \b
    Example: lensneg cost
             lensneg cost --listing sweeps.txt --concurrency 500 --memory 1769
    """  # noqa: D301 (\b is click's mark of a paragraph whose breaks stay)
    from lensneg import cost as model

    report = model.make_report(prices=prices or model.PRICES_FILE, rates=rates or model.RATES_FILE, **options)
    if as_json:
        print_json(model.as_json(report))
    else:
        model.show(console, report)
