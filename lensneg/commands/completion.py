"""``lensneg completion``: the script that teaches a shell to complete lensneg's commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes lensneg's commands and options in a shell.

    \b
    Example: lensneg completion bash > ~/.local/share/bash-completion/completions/lensneg
             lensneg completion zsh > "${fpath[1]}/_lensneg"
             lensneg completion fish > ~/.config/fish/completions/lensneg.fish
    """  # noqa: D301 (\b is click's mark of a paragraph whose breaks stay)
    kind = get_completion_class(shell)
    assert kind is not None  # click.Choice allows no other
    root = context.find_root().command
    click.echo(kind(root, {}, "lensneg", "_LENSNEG_COMPLETE").source())
