"""What the commands share: consoles, exit codes, and the options that each of them has."""

import json
import logging
from typing import Any, Final

import click
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

EXIT_GATE_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_BROKEN: Final = 3
EXIT_INTERRUPTED: Final = 130

#: What each exit code means; printed by ``lensneg --help``.
EXIT_CODES: Final = {
    0: "done",
    EXIT_GATE_FAILED: "a gate failed, or a check: the result is not what it should be",
    EXIT_BAD_INPUT: "bad usage or input: nothing was done",
    EXIT_BROKEN: "the work itself broke, or part of it; the same command goes on with it",
    EXIT_INTERRUPTED: "interrupted",
}

#: Results go to standard output; progress and remarks to standard error, and so do errors.
console = Console()
notes = Console(stderr=True)
errors = Console(stderr=True)

#: Whether errors come with a traceback.
_verbose = False


def is_verbose() -> bool:
    """Return whether the person asked for more than messages."""
    return _verbose


def say(text: str) -> None:
    """Print a remark."""
    notes.print(text, markup=False, highlight=False, soft_wrap=True)


def show(text: str) -> None:
    """Print a line of a result, as it is: names of files may look like markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print a line of what is wrong."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value for a program."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for scripts.")


def _be_quiet(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    notes.quiet = value


def _be_verbose(_context: click.Context, _parameter: click.Parameter, value: int) -> None:
    global _verbose
    _verbose = value > 0
    if value:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        if notes.is_terminal:  # its console keeps the bars of the progress below what is logged
            handler = RichHandler(console=notes, show_path=False, highlighter=NullHighlighter())
            handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        library = logging.getLogger("lensneg")
        library.addHandler(handler)
        library.setLevel(logging.INFO if value == 1 else logging.DEBUG)


class Group(click.Group):
    """A group whose commands, and theirs, all have ``-v`` and ``-q``."""

    group_class = type  # groups below it are of this kind too

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, with the options that every command has."""
        super().add_command(cmd, name)
        for command in _leaves(cmd):
            if not any(parameter.name == "verbose" for parameter in command.params):
                command.params += [
                    click.Option(
                        ["-v", "--verbose"],
                        count=True,
                        expose_value=False,
                        callback=_be_verbose,
                        help="Log each stage, and show where an error comes from; -vv logs more.",
                    ),
                    click.Option(
                        ["-q", "--quiet"],
                        is_flag=True,
                        expose_value=False,
                        callback=_be_quiet,
                        help="No progress and no remarks: results and errors only.",
                    ),
                ]


def _leaves(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for below in command.commands.values() for leaf in _leaves(below)]


def exit_codes_help() -> str:
    r"""Return the exit codes as the foot of a help text; a line that starts with \\b keeps its breaks."""
    lines = [f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()]
    return "\b\nExit codes:\n" + "\n".join(lines)
