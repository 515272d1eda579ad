"""``lensneg run``: the whole state machine on this machine."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lensneg.commands.common import (
    Command,
    Result,
    check_run_id,
    console,
    fail,
    interrupted,
    leave_out_option,
    mode_option,
    notes,
    prints_result,
    say,
)
from lensneg.commands.failure import Failure, given_command
from lensneg.errors import InputError

if TYPE_CHECKING:
    from lensneg.local.watcher import Outcome, Watcher
    from lensneg.schema.request import RunRequest

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Processes; by default one a core, as far as the memory goes.",
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
    help="Folder or s3:// prefix of the sweep files; or a HATS catalogue, or .csv or .parquet tables. With "
    "--stream: the https:// address of a folder or a HATS catalogue, or what lensneg sweeps list prints, in "
    "a .txt file.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="Fetch each sweep file when it is filtered, compare its SHA-256, and remove it after that.",
)
@click.option(
    "--stream-disk",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    metavar="GB",
    help="The room that fetched files may take at a time.",
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
@click.option(
    "--plan",
    is_flag=True,
    help="Make gate 1's checks, print what the run would read, draw and take, and write nothing.",
)
@mode_option
@workers_option
@click.option(
    "--run-id",
    callback=check_run_id,
    help="Name of the run; by default the time. The name of an unfinished run continues it.",
)
@prints_result
def run(workers: int | None, stream: bool, stream_disk: float, plan: bool, **inputs: Any) -> Result:
    """Run the whole state machine on this machine: sweeps in, audited manifest out.

    \b
    Example: lensneg run --config negative_sampling_v1 --sweeps build/sky/sweeps \\
                 --positives build/sky/positives.csv --out build/out
             lensneg sweeps list --near lenses.csv --best 50 > best.txt
             lensneg run --stream --config negative_sampling_v1 --sweeps best.txt \\
                 --positives lenses.csv --out build/out
    """  # noqa: D301 (\b keeps click from wrapping the paragraph)
    say(f"looking at the inputs of a run to {inputs['out']}")

    from lensneg.local.run import NO_MINI_TEST, execute, make_request

    _check_stream(inputs["sweeps"], stream)
    request = make_request(**inputs, tell=say)  # before what is slow to import
    if plan:
        from lensneg.commands.run_plan import plan_result
        from lensneg.local.run_plan import plan_run

        return plan_result(plan_run(request, workers, stream_disk))
    from lensneg.commands import run_screen as screen

    notes.print(f"run {request.run_id} begins", highlight=False)
    if request.mode != inputs["mode"]:
        notes.print(NO_MINI_TEST, highlight=False, soft_wrap=True)
    again = given_command(*([] if inputs["run_id"] else ["--run-id", request.run_id]))
    outcome = watched(request, lambda watcher: execute(request, workers, watcher, stream_disk, say), again)
    screen.show_outcome(console, request, outcome)
    failure = failure_of_outcome(request, outcome, again)
    if failure is not None:
        fail(failure, screen.outcome_json(outcome, failure.what))
    return Result(screen.outcome_json(outcome, ""), "")


def _check_stream(sweeps: str, stream: bool) -> None:
    """Refuse files on a web server without ``--stream``, and the other way round."""
    from lensneg.schema.request import is_remote

    if is_remote(sweeps) and not stream:
        remedy = "add --stream, which fetches one after the other; or fetch them first: lensneg sweeps fetch"
        raise InputError("these sweep files are on a web server", where=f"--sweeps {sweeps}", remedy=remedy)
    if stream and not is_remote(sweeps):
        remedy = "leave --stream out; or name an https:// address, or a listing in a .txt file"
        raise InputError("nothing need be fetched", where=f"--sweeps {sweeps}", remedy=remedy)


def watched(request: "RunRequest", execute: "Callable[[Watcher], Outcome]", again: str) -> "Outcome":
    """Execute a run with progress bars. SIGTERM and SIGHUP end it as Ctrl-C does.

    ``again`` is the command that continues an interrupted run.
    """
    from lensneg.commands.progress import counting_bars
    from lensneg.commands.run_screen import RunProgress

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    try:
        with counting_bars(notes) as bars:
            return execute(RunProgress(bars, request.mode))
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        interrupted("the command below continues the run", number, again)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def failure_of_outcome(request: "RunRequest", outcome: "Outcome", again: str) -> Failure | None:
    """Return the failure of a run that did not succeed. ``again`` is the command that continues it."""
    from lensneg.commands.run_failure import run_failure

    if outcome.status == "SUCCEEDED":
        return None
    return run_failure(
        outcome.files,
        outcome.error,
        outcome.cause,
        state=outcome.state,
        has_mini_test=request.mode == "test-then-full",
        command=again,
        logs=outcome.logs,
    )
