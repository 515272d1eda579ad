"""``lensneg run``: the whole state machine on this machine."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lensneg.commands.common import (
    EXIT_BROKEN,
    Command,
    complain,
    console,
    failure_code,
    interrupted,
    json_option,
    leave_out_option,
    mode_option,
    notes,
    print_json,
    say,
)
from lensneg.schema.request import RunRequest

if TYPE_CHECKING:
    from lensneg.local.watcher import Outcome, Watcher

workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes; by default one a core."
)


@click.command(cls=Command)
@click.option(
    "--config",
    required=True,
    metavar="FILE",
    help="The science's config: a file, or a shipped one by its name, negative_sampling_v1 or "
    "paper_iv_parity.",
)
@click.option(
    "--sweeps",
    required=True,
    metavar="URI",
    help="Folder or s3:// prefix of the sweep files; or a HATS catalogue, or .csv or .parquet tables.",
)
@click.option(
    "--positives",
    required=True,
    multiple=True,
    metavar="FILE",
    help="Catalogue of known lenses to draw negatives for; repeatable. FILE?ra=COL&dec=COL names its "
    "columns, &where.COL=VALUE selects rows. The other rows are excluded as known lenses, unless "
    "&others=ignore is added.",
)
@click.option(
    "--exclude", multiple=True, metavar="FILE", help="Further lens catalogue to keep clear of; repeatable."
)
@click.option(
    "--spectroscopic",
    multiple=True,
    metavar="FILE",
    help="Catalogue of spectroscopic lenses, such as DESI DR1's (TARGET_RA, TARGET_DEC): kept clear of, and "
    "compared with the positives in the report; repeatable.",
)
@click.option(
    "--suspects",
    multiple=True,
    metavar="FILE",
    help="Catalogue of sources that may be lenses, with positions or TARGETIDs: never drawn. "
    "FILE?score=COL&score_min=0.5 takes those of high scores; repeatable.",
)
@click.option(
    "--hard-negatives",
    multiple=True,
    metavar="FILE",
    help="Catalogue of known confusers, with positions or TARGETIDs: drawn first, for pool N2. "
    "FILE?name=NAME gives the category external:NAME; repeatable.",
)
@click.option(
    "--pz",
    metavar="URI",
    help="Folder or s3:// prefix of the sweep files' -pz files: adds photometric redshifts.",
)
@leave_out_option
@click.option("--out", required=True, metavar="DIR", help="Output folder, shared by all runs.")
@mode_option
@workers_option
@click.option(
    "--run-id", help="Name of the run; by default the time. The name of an unfinished run continues it."
)
@json_option
def run(workers: int | None, as_json: bool, **inputs: Any) -> None:
    """Run the whole state machine on this machine: sweeps in, audited manifest out.

    Example: lensneg run --config negative_sampling_v1 --sweeps build/sky/sweeps --positives
    build/sky/positives.csv --out build/out
    """
    from lensneg.commands import run_screen as screen
    from lensneg.local.run import NO_MINI_TEST, execute, make_request

    request = make_request(**inputs, tell=say)
    notes.print(f"run {request.run_id} begins", highlight=False)
    if request.mode != inputs["mode"]:
        notes.print(NO_MINI_TEST, highlight=False, soft_wrap=True)
    again = f"the same command with --run-id {request.run_id} continues the run"
    outcome = watched(request, lambda watcher: execute(request, workers, watcher), again)
    if as_json:
        print_json(screen.outcome_json(request, outcome))
    else:
        screen.show_outcome(console, request, outcome)
    end_as(outcome, again)


def watched(request: RunRequest, execute: "Callable[[Watcher], Outcome]", again: str) -> "Outcome":
    """Execute a run with progress bars. SIGTERM and SIGHUP end it as Ctrl-C does.

    ``again`` says how an interrupted run is continued.
    """
    from lensneg.commands.run_screen import RunProgress, run_bars

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    try:
        with run_bars(notes) as bars:
            return execute(RunProgress(bars, request.mode))
    except KeyboardInterrupt as error:
        interrupted(again, error.args[0] if error.args else signal.SIGINT)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def end_as(outcome: "Outcome", again: str) -> None:
    """End with the exit code of a run that did not succeed. Say how a run that broke is continued."""
    if outcome.status != "SUCCEEDED":
        code = failure_code(outcome.error, outcome.cause)
        if code == EXIT_BROKEN:
            complain(again)
        sys.exit(code)
