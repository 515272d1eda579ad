"""The command line. Its exit codes are in :mod:`lensneg.commands.common`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from lensneg import __version__, storage
from lensneg.commands.aws import aws
from lensneg.commands.common import (
    EXIT_BAD_INPUT,
    EXIT_BROKEN,
    EXIT_GATE_FAILED,
    EXIT_INTERRUPTED,
    Group,
    complain,
    console,
    cores,
    errors,
    exit_codes_help,
    is_verbose,
    json_option,
    notes,
    print_json,
    show,
)
from lensneg.commands.completion import completion
from lensneg.commands.export import export
from lensneg.commands.report import report
from lensneg.commands.reproduce import reproduce
from lensneg.commands.sweeps import sweeps
from lensneg.commands.validate import validate
from lensneg.config import parse_config
from lensneg.errors import InputError, LensnegError
from lensneg.gates import GATE_NAMES
from lensneg.run import RunRequest


def main() -> NoReturn:
    """Run the command line, and turn our errors into messages and exit codes."""
    try:
        sys.exit(cli(prog_name="lensneg", standalone_mode=False))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        errors.print("interrupted; the same command continues, a run with the same --run-id")
        sys.exit(EXIT_INTERRUPTED)
    except InputError as error:
        _complain(error)
        sys.exit(EXIT_BAD_INPUT)
    except (LensnegError, OSError) as error:
        _complain(error)
        sys.exit(EXIT_BROKEN)


def _complain(error: Exception) -> None:
    if is_verbose():
        complain("".join(traceback.format_exception(error)))
    errors.print("lensneg: ", style="bold red", end="")
    complain(str(error))


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog=exit_codes_help())
@click.version_option(__version__, prog_name="lensneg")
def cli() -> None:
    """Negatives for strong-lens finders, drawn from DESI Legacy Imaging Surveys sweeps.

    \b
    Example: lensneg mock-sky build/sky
             lensneg run --config configs/negative_sampling_v1.yaml --sweeps build/sky/sweeps \\
                 --positives build/sky/positives.csv --out build/out
    """  # noqa: D301 (\b is click's mark of a paragraph whose breaks stay)


@cli.command("mock-sky")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--files", default=4, show_default=True, help="Sweep files, each a cell of 5 x 5 degrees.")
@click.option("--rows", default=150_000, show_default=True, help="Rows of each file.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--positives",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A real catalogue: cover cells of it, with a galaxy at each of its positions there.",
)
@click.option("--gzip", is_flag=True, help="Write .fits.gz files.")
def mock_sky(folder: Path, files: int, rows: int, seed: int, positives: Path | None, gzip: bool) -> None:
    """Write a made-up sky in the DR10 data model to DIR.

    Example: lensneg mock-sky build/sky --files 4 --rows 150000
    """
    from rich.progress import Progress

    from lensneg.mocksky import write_mock_sky

    with Progress(console=notes, disable=not notes.is_terminal or notes.quiet) as progress:
        bar = progress.add_task("writing sweep files", total=files)
        sky = write_mock_sky(
            folder,
            files=files,
            rows=rows,
            seed=seed,
            positives=positives,
            gzip=gzip,
            on_file=lambda _name, _rows: progress.advance(bar),
        )
    speed = sky.bytes / 1e6 / sky.seconds
    console.print(
        f"{sky.files} sweep files, {sky.rows:,} rows, {sky.bytes / 1e6:,.0f} MB in {sky.seconds:.1f} s "
        f"({speed:,.0f} MB/s)",
        highlight=False,
    )
    show(f"sweeps     {sky.sweeps}\npositives  {sky.positives}")


@cli.command()
@click.option(
    "--config",
    required=True,
    metavar="FILE",
    help="The science's config, e.g. configs/negative_sampling_v1.yaml.",
)
@click.option("--sweeps", required=True, metavar="URI", help="Folder or s3:// prefix of the sweep files.")
@click.option(
    "--positives",
    required=True,
    multiple=True,
    metavar="FILE",
    help="Catalogue of known lenses to draw negatives for; repeatable. FILE?ra=COL&dec=COL names its "
    "columns, &where.COL=VALUE selects rows.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="FILE",
    help="Further lens catalogue to keep clear of; repeatable.",
)
@click.option("--out", required=True, metavar="DIR", help="Output folder, shared by all runs.")
@click.option(
    "--mode",
    type=click.Choice(["test", "full", "test-then-full"]),
    default="test-then-full",
    show_default=True,
    help="A mini-test on a few files, everything, or one after the other.",
)
@click.option("--workers", type=click.IntRange(1, 256), help="Processes; by default one a core.")
@click.option(
    "--run-id", help="Name of the run; by default the time. The name of an unfinished run continues it."
)
@json_option
def run(
    config: str,
    sweeps: str,
    positives: tuple[str, ...],
    exclude: tuple[str, ...],
    out: str,
    mode: Any,
    workers: int | None,
    run_id: str | None,
    as_json: bool,
) -> None:
    """Run the whole state machine on this machine: sweeps in, audited manifest out.

    Example: lensneg run --config configs/negative_sampling_v1.yaml --sweeps build/sky/sweeps --positives
    build/sky/positives.csv --out build/out
    """
    workers = workers or cores()
    request = RunRequest.parse(
        {
            "run_id": run_id or datetime.now(UTC).strftime("run-%Y%m%dT%H%M%SZ"),
            "mode": mode,
            "config": config,
            "sweeps": sweeps,
            "positives": positives,
            "exclude": exclude,
            "out": out,
        }
    )
    _check_door(request)
    from lensneg.local import console as screen
    from lensneg.local.runner import run_locally

    _heed_signals()
    try:
        with screen.Progress(notes, request.mode) as watcher:
            outcome = run_locally(request, workers, watcher)
    except KeyboardInterrupt as error:
        errors.print(
            f"interrupted; the same command with --run-id {request.run_id} continues the run", highlight=False
        )
        sys.exit(128 + (error.args[0] if error.args else signal.SIGINT))
    if as_json:
        print_json(screen.outcome_json(outcome))
    else:
        screen.show_outcome(console, request, outcome)
    if outcome.status == "SUCCEEDED":
        return
    sys.exit(EXIT_GATE_FAILED if outcome.error in GATE_NAMES.values() else EXIT_BROKEN)


def _heed_signals() -> None:
    """Let a request to end from outside unwind the run as Ctrl-C does, so that all its processes end."""

    def interrupt(number: int, _frame: Any) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, interrupt)


def _check_door(request: RunRequest) -> None:
    """Refuse at once what can be seen to be wrong; gate 1 looks closer."""
    try:
        parse_config(storage.read_bytes(request.config).decode(), request.config)
    except FileNotFoundError as error:
        raise InputError(
            f"--config {request.config}: no such file; start from configs/negative_sampling_v1.yaml"
        ) from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            f"--config {request.config}: not a YAML file; configs/negative_sampling_v1.yaml shows its form"
        ) from error
    if storage.is_s3(request.out):
        raise InputError(
            f"--out {request.out}: a run on this machine writes to a local folder; for a run in S3 deploy "
            "template.yaml and start an execution there"
        )
    if os.path.exists(request.out) and not os.path.isdir(request.out):
        raise InputError(f"--out {request.out}: a file; name a folder, which need not exist yet")
    if not storage.is_s3(request.sweeps) and not Path(request.sweeps).is_dir():
        raise InputError(f"--sweeps {request.sweeps}: no such folder; lensneg mock-sky can make one to try")
    for option, specs in (("--positives", request.positives), ("--exclude", request.exclude)):
        for spec in specs:
            if not storage.exists(spec.uri):
                raise InputError(f"{option} {spec.uri}: no such file; check the path")


@cli.command()
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


for command in (validate, report, aws, reproduce, export, sweeps, completion):
    cli.add_command(command)
