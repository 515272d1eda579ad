"""``lensneg run``: the whole state machine on this machine."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from lensneg import storage
from lensneg.commands.common import (
    EXIT_BROKEN,
    EXIT_GATE_FAILED,
    console,
    cores,
    errors,
    json_option,
    notes,
    print_json,
)
from lensneg.errors import InputError
from lensneg.schema.config import Config
from lensneg.schema.gate import GATE_NAMES
from lensneg.schema.request import RunRequest


@click.command()
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
    request = RunRequest.of_input(
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
    from lensneg.commands import run_screen as screen
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
        Config.parse(storage.read_bytes(request.config).decode(), request.config)
    except FileNotFoundError as error:
        raise InputError(
            "no such file",
            where=f"--config {request.config}",
            remedy="start from configs/negative_sampling_v1.yaml",
        ) from error
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            "not a YAML file",
            where=f"--config {request.config}",
            remedy="configs/negative_sampling_v1.yaml shows its form",
        ) from error
    if storage.is_s3(request.out):
        raise InputError(
            "a run on this machine writes to a local folder",
            where=f"--out {request.out}",
            remedy="for a run in S3 deploy template.yaml and start an execution there",
        )
    if os.path.exists(request.out) and not os.path.isdir(request.out):
        raise InputError(
            "a file", where=f"--out {request.out}", remedy="name a folder, which need not exist yet"
        )
    if not storage.is_s3(request.sweeps) and not Path(request.sweeps).is_dir():
        raise InputError(
            "no such folder",
            where=f"--sweeps {request.sweeps}",
            remedy="lensneg mock-sky can make one to try",
        )
    for option, specs in (("--positives", request.positives), ("--exclude", request.exclude)):
        for spec in specs:
            if not storage.exists(spec.uri):
                raise InputError(f"{option} {spec.uri}: no such file", remedy="check the path")
