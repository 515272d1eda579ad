"""The command line, and the exit codes of errors."""

import sys
from typing import NoReturn

import click

from lensneg.commands.aws import aws
from lensneg.commands.aws_fetch import fetch
from lensneg.commands.aws_smoke import smoke
from lensneg.commands.calibrate import calibrate
from lensneg.commands.common import Group, exit_codes_help, fail_with, interrupted
from lensneg.commands.completion import completion
from lensneg.commands.cost import cost
from lensneg.commands.doctor import doctor
from lensneg.commands.export import export
from lensneg.commands.init import init
from lensneg.commands.mock_sky import mock_sky
from lensneg.commands.report import report
from lensneg.commands.reproduce import reproduce
from lensneg.commands.rollback import rollback
from lensneg.commands.run import run
from lensneg.commands.self_test import self_test
from lensneg.commands.settings import Settings, settings
from lensneg.commands.streams import use_patient_streams
from lensneg.commands.sweeps import sweeps
from lensneg.commands.validate import validate
from lensneg.version import __version__


def main() -> NoReturn:
    """Run the command line, and turn errors into messages and exit codes."""
    use_patient_streams()
    vars(settings).update(vars(Settings(as_json="--json" in sys.argv)))  # a process may run several commands
    try:
        code = cli(prog_name="lensneg", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        interrupted()
    except Exception as error:
        fail_with(error)
    sys.exit(code)


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
    init,
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
    doctor,
    completion,
):
    cli.add_command(command)
aws.add_command(fetch)
aws.add_command(smoke)
