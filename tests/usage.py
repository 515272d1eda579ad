"""Whether a command line is one that lensneg takes."""

import re

import click

from lensneg.cli import cli


def click_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and the rest of them."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def parses(words: list[str]) -> None:
    """Lensneg has the command and every option of it."""
    command, rest = click_command(words)
    if rest and isinstance(command, click.Group):
        assert rest[0].startswith("-") or rest[0].isupper(), f"no command {rest[0]!r}"
    options = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    for word in rest:
        assert not word.startswith("-") or re.fullmatch(r"-\d+|-", word) or word in options, word
