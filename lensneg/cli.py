"""The command line, and the exit codes of errors."""

import io
import sys
import traceback
from typing import NoReturn

import click

from lensneg.commands.aws import aws
from lensneg.commands.aws_fetch import fetch
from lensneg.commands.aws_smoke import smoke
from lensneg.commands.calibrate import calibrate
from lensneg.commands.common import (
    EXIT_BAD_INPUT,
    EXIT_BROKEN,
    Group,
    complain,
    errors,
    exit_codes_help,
    interrupted,
    is_verbose,
)
from lensneg.commands.completion import completion
from lensneg.commands.cost import cost
from lensneg.commands.export import export
from lensneg.commands.mock_sky import mock_sky
from lensneg.commands.report import report
from lensneg.commands.reproduce import reproduce
from lensneg.commands.rollback import rollback
from lensneg.commands.run import run
from lensneg.commands.self_test import self_test
from lensneg.commands.streams import use_patient_streams
from lensneg.commands.sweeps import sweeps
from lensneg.commands.validate import validate
from lensneg.errors import InputError, LensnegError
from lensneg.version import __version__


def main() -> NoReturn:
    """Run the command line, and turn errors into messages and exit codes."""
    use_patient_streams()
    try:
        code = cli(prog_name="lensneg", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
        sys.exit(code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        complain(message.getvalue().rstrip())
        sys.exit(EXIT_BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        interrupted()
    except (LensnegError, OSError) as error:
        if is_verbose():
            complain("".join(traceback.format_exception(error)))
        errors.print("lensneg: ", style="bold red", end="")
        complain(str(error))
        sys.exit(EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_BROKEN)


_SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


@click.group(cls=Group, context_settings=_SETTINGS, epilog=exit_codes_help())
@click.version_option(__version__, prog_name="lensneg")
def cli() -> None:
    """Negatives for strong-lens finders, drawn from DESI Legacy Imaging Surveys sweeps.

    \b
    Example: lensneg mock-sky build/sky
             lensneg run --config negative_sampling_v1 --sweeps build/sky/sweeps \\
                 --positives build/sky/positives.csv --out build/out
    """  # noqa: D301 (\b keeps click from wrapping the paragraph)


for command in (
    mock_sky,
    run,
    validate,
    report,
    export,
    calibrate,
    reproduce,
    rollback,
    sweeps,
    cost,
    aws,
    self_test,
    completion,
):
    cli.add_command(command)
aws.add_command(fetch)
aws.add_command(smoke)
