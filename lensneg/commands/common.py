"""What the commands share: consoles, exit codes, common options, results and tables."""

import functools
import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, get_args

import click
from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Column, Table

from lensneg.schema.check import Check
from lensneg.schema.gate import GATE_NAMES
from lensneg.schema.request import Mode
from lensneg.storage.errors import FULL_DISK

EXIT_GATE_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_BROKEN: Final = 3
EXIT_INTERRUPTED: Final = 130

#: The meaning of each exit code, as ``lensneg --help`` prints it.
EXIT_CODES: Final = {
    0: "done",
    EXIT_GATE_FAILED: "a gate failed, or a check: the result is not what it should be",
    EXIT_BAD_INPUT: "bad usage or input: nothing was done",
    EXIT_BROKEN: "the work itself broke, or part of it; the same command goes on with it",
    EXIT_INTERRUPTED: "interrupted by Ctrl-C; 143 by SIGTERM, as at a time limit, and 129 by SIGHUP",
}

#: Control characters but the line break and the tab. A terminal obeys them, and names in files may hold any.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""Return text with control characters as escapes.

    Examples
    --------
    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class _Printable:
    """What is printed, with control characters as escapes. The codes of rich itself are left."""

    def __init__(self, content: ConsoleRenderable) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._content, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


class _PrintableHook(RenderHook):
    """Makes everything that a console prints printable."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(content) for content in renderables]


def _console(*, stderr: bool = False) -> Console:
    made = Console(stderr=stderr, emoji=False)
    made.push_render_hook(_PrintableHook())
    return made


#: Results go to standard output. Progress, remarks and errors go to standard error.
console = _console()
notes = _console(stderr=True)
errors = _console(stderr=True)

#: Whether errors are printed with a traceback.
_verbose = False

_VERDICT_STYLES: Final = {"ok": "green", "failed": "red", "warning": "yellow"}


def is_verbose() -> bool:
    """Return whether ``-v`` was given."""
    return _verbose


def failure_code(error: str, cause: str = "") -> int:
    """Return the exit code of a run that failed with an error of the state machine.

    A full disk breaks a run, though a gate may be the first to notice it.
    """
    is_gate = error in GATE_NAMES.values() and not FULL_DISK.search(cause)
    return EXIT_GATE_FAILED if is_gate else EXIT_BROKEN


def say(text: str) -> None:
    """Print a remark."""
    notes.print(text, markup=False, highlight=False, soft_wrap=True)


def show(text: str) -> None:
    """Print a line of a result as it is, since names of files may look like markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print a line of an error."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


def interrupted(remedy: str = "", number: int = signal.SIGINT) -> NoReturn:
    """End after Ctrl-C or another signal. A second Ctrl-C changes nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    complain(f"interrupted; {remedy}" if remedy else "interrupted")
    sys.exit(128 + number)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    click.echo(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for scripts.")

mode_option = click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default="test-then-full",
    help="A mini-test on a few files, everything, or one after the other.",
)

leave_out_option = click.option(
    "--leave-out",
    multiple=True,
    metavar="NAME",
    help="File or folder of the sweeps' folder that is no input, or a pattern such as '*.fz'; repeatable.",
)


class Result(NamedTuple):
    """The result of a command.

    Attributes
    ----------
    value : any
        Printed with ``--json``.
    text : str or rich renderable
        Printed without ``--json``.
    remark : str
        Printed without ``--json``, on standard error.
    faults : sequence of str
        Lines that are printed on standard error.
    exit_code : int
        The command ends with it.
    """

    value: Any
    text: RenderableType
    remark: str = ""
    faults: Sequence[str] = ()
    exit_code: int = 0

    def finish(self, as_json: bool) -> None:
        """Print the result, and end with its exit code if that is not 0."""
        if as_json:
            print_json(self.value)
        elif not isinstance(self.text, str):
            console.print(self.text)
        elif self.text:
            show(self.text)
        if self.remark and not as_json:
            say(self.remark)
        for fault in self.faults:
            complain(fault)
        if self.exit_code:
            sys.exit(self.exit_code)


def prints_result(command: Callable[..., Result]) -> Callable[..., None]:
    """Add ``--json`` to a command, and print its result."""

    @json_option
    @functools.wraps(command)
    def run(as_json: bool, **options: Any) -> None:
        command(**options).finish(as_json)

    return run


def plain_table(title: str | None, *headings: str) -> Table:
    """Return a table without a border whose columns fold."""
    columns = (Column(heading, overflow="fold") for heading in headings)
    return Table(*columns, title=title, title_justify="left", show_edge=False)


def checks_table(checks: Iterable[Check], title: str | None = None) -> Table:
    """Return a table of checks, with what was expected and the remedy of those that did not pass."""
    table = plain_table(title, "check", "verdict", "found", "what to do")
    for check in checks:
        found = check.found if check.passed else f"{check.found} (expected: {check.expected})"
        verdict = f"[{_VERDICT_STYLES[check.verdict]}]{check.verdict}"
        table.add_row(check.name, verdict, escape(found), "" if check.passed else escape(check.remedy))
    return table


def _be_quiet(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    notes.quiet = value


def _be_verbose(_context: click.Context, _parameter: click.Parameter, value: int) -> None:
    global _verbose
    _verbose = value > 0
    if value:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        if notes.is_terminal:  # the console prints log lines above progress bars
            handler = RichHandler(console=notes, show_path=False, highlighter=NullHighlighter())
            handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        library = logging.getLogger("lensneg")
        library.addHandler(handler)
        library.setLevel(logging.INFO if value == 1 else logging.DEBUG)


class Command(click.Command):
    """A command with ``-v`` and ``-q``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [
            click.Option(
                ["-v", "--verbose"],
                count=True,
                show_default=False,
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


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type  # groups in this group are of the same class


def exit_codes_help() -> str:
    r"""Return the exit codes for the end of a help text. ``\\b`` keeps click from wrapping the lines."""
    lines = [f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()]
    return "\b\nExit codes:\n" + "\n".join(lines)
