"""What the commands of ``lensneg aws`` share: the stack and its calls."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import click

from lensneg.aws.calls import Aws
from lensneg.aws.deployment import Stack, read_stack
from lensneg.commands.common import Result

#: The stack's name in samconfig.toml.
DEFAULT_STACK: Final = "lensneg"


@dataclass
class Session:
    """A command's stack, and its calls of AWS. With ``--explain`` they change nothing."""

    aws: Aws
    stack_name: str
    as_json: bool

    @functools.cached_property
    def stack(self) -> Stack:
        """The deployed stack."""
        return read_stack(self.stack_name, self.aws)


def on_stack(command: Callable[..., Result]) -> Callable[..., None]:
    """Add ``--stack`` and ``--explain`` to a command that takes a session, and print its result."""

    @click.option("--stack", "stack_name", default=DEFAULT_STACK, help="The stack's name.")
    @click.option("--explain", is_flag=True, help="Print the aws commands that do the same; change nothing.")
    @functools.wraps(command)
    def run(stack_name: str, explain: bool, as_json: bool = False, **options: Any) -> None:
        aws = Aws(dry=explain)
        result = command(Session(aws, stack_name, as_json), **options)
        if explain:
            result, as_json = Result(None, "\n".join(aws.made)), False
        result.finish(as_json)

    return run
