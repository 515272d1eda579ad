"""Whether a command line is one that lensneg takes, and what it says when it fails."""

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


def told(printed: str) -> str:
    """The faults of the block that a failure ends with, each in a line as "where: why; to do"."""
    _, mark, block = printed.rpartition("FAILED   ")
    assert mark, f"no failure in {printed}"
    form = (
        r"[^\n]+\n(where    .*\nwhy      .*\nto do    .*\n)+(         and .*\n)?go on    .*\ndetails  .*\n?"
    )
    assert re.fullmatch(form.replace(".*", r"[^\n]*(?:\n {9}[^\n]*)*"), block), block
    faults = re.findall(r"^where    (.*?)\nwhy      (.*?)\nto do    (.*?)\n(?! {9})", block, re.M | re.S)
    return "\n".join(f"{where}: {why}; {remedy}" for where, why, remedy in faults)


def goes_on(printed: str) -> str:
    """The command that the block of a failure names to go on."""
    (command,) = re.findall(r"^go on    (.*)$", printed, re.M)
    return str(command)
