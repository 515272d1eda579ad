"""``lensneg aws fetch``: the survey's sweep files into the stack's bucket, within the Region."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from lensneg.commands.aws import Session, on_stack
from lensneg.commands.common import EXIT_BROKEN, Command, Result, notes, say
from lensneg.commands.failure import Fault
from lensneg.commands.sweeps import CHECKSUMS_OPTION, FROM_OPTION, Chosen, choosing
from lensneg.schema.options import MOST_AT_ONCE
from lensneg.survey.releases import RELEASE_NAME

if TYPE_CHECKING:
    from lensneg.aws.fetching import FetchSnapshot
    from lensneg.cost.fetch import PlannedFetch
    from lensneg.cost.listing import Listing


@click.command(cls=Command)
@on_stack
@choosing
@FROM_OPTION
@CHECKSUMS_OPTION
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, MOST_AT_ONCE),
    default=8,
    help="Files at a time; all of them load one server of the survey.",
)
@click.option("--plan", "plan_only", is_flag=True, help="Print the cost and the duration, and start nothing.")
@click.option("--every", type=click.FloatRange(min=0.1), default=10.0, help="Seconds between updates.")
def fetch(
    session: Session,
    chosen: Chosen,
    release: str,
    base_url: str,
    checksums: str | None,
    max_concurrency: int,
    plan_only: bool,
    every: float,
) -> Result:
    """Fetch sweep files from the survey's server to the stack's bucket, and follow that to its end.

    Functions in the stack's Region fetch the files. A file gets its name when its SHA-256 equals that of the
    folder's list. Files that are there already are kept, and one that was broken off goes on where it was.
    Files of another version than DR10.1 are put in a folder with its name, as some have the same names.
    Ctrl-C does not stop the fetch. If one is under way, the command follows that. Ends with 3 if a file
    failed. The same command tries again what failed.

    Example: lensneg aws fetch --near lenses.csv
    """
    from lensneg import storage
    from lensneg.aws import fetching
    from lensneg.aws.calls import Call
    from lensneg.aws.deployment import require_complete
    from lensneg.commands.aws_screen import follow_as
    from lensneg.cost.fetch import plan_fetch
    from lensneg.cost.tables import load_prices, load_rates
    from lensneg.survey.server import Server, read_checksums

    require_complete(session.stack)
    prefix = session.stack.sweeps_uri
    to = prefix if release == RELEASE_NAME else storage.join(prefix, release)
    machine, rates = fetching.fetch_machine(session.stack), load_rates()
    listing = fetching.planned_listing(chosen.names, rates)
    planned = plan_fetch(listing, max_concurrency, rates.rates, load_prices())
    if plan_only:
        return Result(_plan_as_json(listing, planned), _plan_text(listing, planned, max_concurrency))
    arn = fetching.fetch_under_way(session.aws, machine)
    if arn:
        say(f"under way already, and nothing else was started: {arn}")
    else:
        say(f"{_plan_text(listing, planned, max_concurrency)}; to {to}")
        listed = read_checksums(checksums) if checksums else Server(base_url).checksums()
        items = fetching.items_of(chosen.names, listed, checksums or base_url)
        arn = fetching.start_fetch(session.aws, session.stack, items, base_url, to, listed, max_concurrency)
    if session.aws.dry:
        return Result({}, "")
    stop = Call("stepfunctions", "stop_execution", {"executionArn": arn})
    say(f"Ctrl-C ends the watching, but not the fetch, which this ends: {stop}")
    take = fetching.FetchFollower(session.aws, arn).take
    last = follow_as(notes, take, every, _view, fetching.fetch_changes)
    remedy = "give the same command again: it tries again what failed and leaves the rest alone"
    faults = [Fault(failure.name, failure.reason, remedy) for failure in last.summary.failed]
    if last.execution.status != "SUCCEEDED" and not faults:
        told = f"{last.execution.status} {last.execution.error}: {last.execution.cause}"
        faults.append(Fault(last.execution.arn, told, remedy))
    code = EXIT_BROKEN if faults else 0
    return Result(fetching.fetch_as_json(last), _view(last), faults=faults, exit_code=code)


def _plan_text(listing: "Listing", planned: "PlannedFetch", at_once: int) -> str:
    about = "about " if listing.modelled else ""
    hours, cost = timedelta(seconds=round(planned.seconds)), planned.cost
    text = f"{len(listing.sweeps):,} sweep files, {about}{listing.bytes / 1e9:,.1f} GB, {at_once} at a time: "
    text += f"about {hours} and {cost.total:.4f} USD if none is there (Lambda {cost.lambda_usd:.4f}, "
    return text + f"Step Functions {cost.step_functions_usd:.4f}, S3 requests {cost.s3_usd:.4f})"


def _plan_as_json(listing: "Listing", planned: "PlannedFetch") -> dict[str, Any]:
    cost = planned.cost
    return {
        "files": len(listing.sweeps),
        "bytes": listing.bytes,
        "estimated": listing.modelled > 0,
        "seconds": planned.seconds,
        "usd": {
            "lambda": cost.lambda_usd,
            "step_functions": cost.step_functions_usd,
            "s3": cost.s3_usd,
            "total": cost.total,
        },
    }


def _view(snapshot: "FetchSnapshot") -> Group:
    from lensneg.aws.fetching import fetch_text
    from lensneg.commands.aws_screen import STYLES, duration

    execution = snapshot.execution
    status = (execution.status, STYLES.get(execution.status, "bold red"))
    took = duration(execution.started, execution.ended or snapshot.at)
    bar = ProgressBar(total=max(1, snapshot.summary.files), completed=snapshot.done, width=60)
    parts: list[ProgressBar | Text] = [Text(f"fetch {execution.name}"), bar, Text(fetch_text(snapshot))]
    parts.append(Text.assemble(status, f"  {took}  about {snapshot.summary.usd:.4f} USD so far"))
    if execution.error:
        parts.append(Text(f"{execution.error}: {execution.cause}"))
    return Group(*parts)
