"""``lensneg completion``: the script that completes commands and options in a shell."""

import click
from click.shell_completion import get_completion_class

from lensneg.commands.common import Command, Result, prints_result


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@prints_result
def completion(context: click.Context, shell: str) -> Result:
    """Print the script that completes lensneg's commands and options in a shell.

    \b
    Example: lensneg completion bash > ~/.local/share/bash-completion/completions/lensneg
             lensneg completion zsh > "${fpath[1]}/_lensneg"
             lensneg completion fish > ~/.config/fish/completions/lensneg.fish
    """  # noqa: D301 (\b keeps click from wrapping the paragraph)
    completer = get_completion_class(shell)
    assert completer is not None  # click.Choice allows no other shell
    script = completer(context.find_root().command, {}, "lensneg", "_LENSNEG_COMPLETE").source()
    return Result({"shell": shell, "script": script}, script)
