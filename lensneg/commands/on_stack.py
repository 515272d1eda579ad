"""What the commands of ``lensneg aws`` share: the stack, its calls, and how a result is printed."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import click
from rich.console import RenderableType

from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack, read_stack
from lensneg.commands.common import console, print_json, say, show

#: The name that samconfig.toml gives a stack.
DEFAULT_STACK: Final = "lensneg"


class Result(NamedTuple):
    """What a command found.

    Attributes
    ----------
    value : any
        For ``--json``.
    text : str or rich renderable
        For a person.
    remark : str
        Also for a person, on standard error.
    exit_code : int
    """

    value: Any
    text: RenderableType
    remark: str = ""
    exit_code: int = 0


@dataclass
class Session:
    """A command's calls of AWS; with ``--explain`` they change nothing."""

    aws: Aws
    stack_name: str
    as_json: bool

    @functools.cached_property
    def stack(self) -> Stack:
        """The deployed stack."""
        return read_stack(self.stack_name, self.aws)


def on_stack(command: Callable[..., Result]) -> Callable[..., None]:
    """Add --stack and --explain to a command, and print its result; the command gets a session first."""

    @click.option("--stack", "stack_name", default=DEFAULT_STACK, show_default=True, help="The stack's name.")
    @click.option("--explain", is_flag=True, help="Print the aws commands that do the same; change nothing.")
    @functools.wraps(command)
    def run(stack_name: str, explain: bool, as_json: bool = False, **options: Any) -> None:
        aws = Aws(dry=explain)
        result = command(Session(aws, stack_name, as_json), **options)
        if explain:
            for call in aws.made:
                click.echo(call)
            return
        if as_json:
            print_json(result.value)
        elif not isinstance(result.text, str):
            console.print(result.text)
        elif result.text:
            show(result.text)
        if result.remark and not as_json:
            say(result.remark)
        if result.exit_code:
            sys.exit(result.exit_code)

    return run
