"""What the commands share: consoles, exit codes, common options, results and tables."""

import functools
import json
import logging
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, get_args

import click
from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.markup import escape
from rich.table import Column, Table

from lensneg.commands.failure import Failure, Fault, failure_of, fault_of_error
from lensneg.commands.settings import settings
from lensneg.errors import InputError, LensnegError
from lensneg.schema.options import Mode

if TYPE_CHECKING:
    from lensneg.schema.check import Check

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

#: Errors that are told without a traceback.
_EXPECTED: Final = (LensnegError, OSError, MemoryError, click.ClickException)

_VERDICT_STYLES: Final = {"ok": "green", "failed": "red", "warning": "yellow"}


def say(text: str) -> None:
    """Print a remark."""
    notes.print(text, markup=False, highlight=False, soft_wrap=True)


def show(text: str) -> None:
    """Print a line of a result as it is, since names of files may look like markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print a line of an error."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


def fail(failure: Failure, result: dict[str, Any] | None = None) -> NoReturn:
    """Print a failure, and end with its exit code. With ``--json`` it is printed with the result, too."""
    if settings.as_json:
        print_json({**(result or {}), "failure": failure.as_json()})
    first, _, rest = failure.text().partition("\n")
    errors.print(first, style="bold red", markup=False, highlight=False, soft_wrap=True)
    complain(rest)
    sys.exit(failure.exit_code)


def fail_with(error: BaseException) -> NoReturn:
    """Print an error as a failure, with its traceback if ``-v`` was given, and end with its exit code.

    What is no error of lensneg or of the operating system is a fault of lensneg, with its traceback.
    """
    fault = fault_of_error(error)
    is_usage = isinstance(error, click.ClickException)
    if (settings.verbose and not is_usage) or not isinstance(error, _EXPECTED):
        settings.verbose = True
        complain("".join(traceback.format_exception(error)))
    code = EXIT_BAD_INPUT if is_usage or isinstance(error, InputError) else EXIT_BROKEN
    command = f"{settings.command} --help" if is_usage else ""
    fail(failure_of([fault], code, command=command, details=["docs/cli.md"] if is_usage else ()))


def interrupted(remedy: str = "", number: int = signal.SIGINT, command: str = "") -> NoReturn:
    """End after Ctrl-C or another signal. A second Ctrl-C changes nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fault = Fault("", f"interrupted ({signal.Signals(number).name})", remedy or "give the command again")
    fail(failure_of([fault], 128 + number, command=command))


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    click.echo(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def output_folder(given: str, option: str) -> str:
    """Return the folder that a command writes to, as an absolute path or URI. A local one is made and tried.

    Raises
    ------
    InputError
        If it cannot be written to.
    """
    from lensneg import storage
    from lensneg.storage.local import try_folder

    uri = storage.normalize(given)
    if not storage.is_s3(uri):
        where = f"{option} {uri}"
        if storage.is_file(uri):
            raise InputError("a file", where=where, remedy="name a folder, which need not exist yet")
        try_folder(Path(uri), where)
    return uri


def check_run_id(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no name of a run."""
    from lensneg.schema.request import RUN_ID_PATTERN

    if value is not None and not re.match(RUN_ID_PATTERN, value):
        raise click.BadParameter(f"{value!r}: letters, digits, - and _, at most 63, the first no sign")
    return value


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
    value : dict
        Printed with ``--json``, with the failure as ``failure``.
    text : str or rich renderable
        Printed without ``--json``.
    remark : str
        Printed without ``--json``, on standard error.
    faults : sequence of Fault
        What is wrong, if the command failed.
    exit_code : int
        The command ends with it.
    what : str
        What failed; by default the command.
    details : sequence of str
        Where more is said of a failure.
    """

    value: dict[str, Any]
    text: RenderableType
    remark: str = ""
    faults: Sequence[Fault] = ()
    exit_code: int = 0
    what: str = ""
    details: Sequence[str] = ()

    def finish(self) -> None:
        """Print the result. End with a failure if the exit code is not 0."""
        if not settings.as_json:
            if not isinstance(self.text, str):
                console.print(self.text)
            elif self.text:
                show(self.text)
            if self.remark:
                say(self.remark)
        if self.exit_code:
            fail(failure_of(self.faults, self.exit_code, what=self.what, details=self.details), self.value)
        if settings.as_json:
            print_json({**self.value, "failure": None})


def prints_result(command: Callable[..., Result]) -> Callable[..., None]:
    """Let a command print the result that it returns."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        command(*arguments, **options).finish()

    return run


def plain_table(title: str | None, *headings: str) -> Table:
    """Return a table without a border whose columns fold."""
    columns = (Column(heading, overflow="fold") for heading in headings)
    return Table(*columns, title=title, title_justify="left", show_edge=False)


def checks_table(checks: "Iterable[Check]", title: str | None = None) -> Table:
    """Return a table of checks, with what was expected and the remedy of those that did not pass."""
    table = plain_table(title, "check", "verdict", "found", "what to do")
    for check in checks:
        found = check.found if check.passed else f"{check.found} (expected: {check.expected})"
        verdict = f"[{_VERDICT_STYLES[check.verdict]}]{check.verdict}"
        table.add_row(check.name, verdict, escape(found), "" if check.passed else escape(check.remedy))
    return table


def _be_quiet(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    settings.quiet = notes.quiet = value
    console.quiet = value or settings.as_json


def _be_verbose(_context: click.Context, _parameter: click.Parameter, value: int) -> None:
    settings.verbose = value > 0
    if value:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        if notes.is_terminal:
            from rich.highlighter import NullHighlighter
            from rich.logging import RichHandler

            # The console prints log lines above progress bars.
            handler = RichHandler(console=notes, show_path=False, highlighter=NullHighlighter())
            handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        library = logging.getLogger("lensneg")
        library.addHandler(handler)
        library.setLevel(logging.INFO if value == 1 else logging.DEBUG)


class Command(click.Command):
    """A command with the options that every command has."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                help="Print the result as one JSON object, for scripts.",
            ),
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
                help="Print failures only, and what --json asks for.",
            ),
        ]

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the arguments. What is wrong with them is told as ``--json`` asks, wherever that stands."""
        settings.command = f"{parent.command_path} {info_name}" if parent else str(info_name)
        settings.as_json = "--json" in args
        return super().make_context(info_name, args, parent, **extra)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type  # groups in this group are of the same class

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help where no command is given. It is no result, so it goes to standard error."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(EXIT_BAD_INPUT)
        return super().parse_args(ctx, args)


def exit_codes_help() -> str:
    r"""Return the exit codes for the end of a help text. ``\\b`` keeps click from wrapping the lines."""
    lines = [f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()]
    return "\b\nExit codes:\n" + "\n".join(lines)
