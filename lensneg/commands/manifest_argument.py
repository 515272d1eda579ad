"""The argument MANIFEST, which every command that takes a manifest has."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import click

from lensneg.schema.layout import MANIFEST_PLACES

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _ManifestType(click.Path):
    """What names a manifest, as an absolute path or an ``s3://`` URI. Shells complete it as a path."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from lensneg import storage

        return storage.normalize(value)


def manifest_argument(command: _Command) -> _Command:
    """Add the argument to a command, and what it may be to the help, before the example."""
    told = f"MANIFEST is {MANIFEST_PLACES}; a path or s3://. Of an output folder the latest is taken."
    text = inspect.cleandoc(command.__doc__ or "")
    command.__doc__ = text.replace("Example:", f"{told}\n\nExample:", 1)
    return click.argument("manifest", metavar="MANIFEST", type=_ManifestType())(command)
