"""``lensneg aws``: what is done with a deployed stack."""

from __future__ import annotations

import json

import click

from lensneg.commands.common import console


@click.group()
def aws() -> None:
    """Work with a deployed stack (docs/operate.md)."""


@aws.command()
@click.option("--stack", "name", default="lensneg", show_default=True, help="The stack's name.")
@click.option(
    "--config",
    default="configs/negative_sampling_v1.yaml",
    show_default=True,
    metavar="FILE",
    help="The science's config.",
)
@click.option(
    "--positives",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Catalogue of known lenses, as lensneg run takes it; repeatable.",
)
@click.option("--exclude", multiple=True, metavar="FILE", help="Further lens catalogue; repeatable.")
@click.option(
    "--sweeps", metavar="DIR", help="Folder of sweep files; not needed where they are in S3 already."
)
def upload(
    name: str, config: str, positives: tuple[str, ...], exclude: tuple[str, ...], sweeps: str | None
) -> None:
    """Check a config and catalogues, and put them into the stack's bucket.

    What is there already is not sent again. Prints the input of an execution that uses them.

    Example: lensneg aws upload --positives lenses.csv
    """
    from lensneg import stack as stacks

    stack = stacks.read_stack(name)
    config_file = stacks.config_upload(stack, config)
    positive_files = [stacks.catalog_upload(stack, text) for text in positives]
    exclude_files = [stacks.catalog_upload(stack, text) for text in exclude]
    sweep_files = stacks.sweep_uploads(stack, sweeps) if sweeps else []
    sent = stacks.upload([config_file, *positive_files, *exclude_files, *sweep_files])
    for entry, was_sent in sent:
        mark = "sent" if was_sent else "there already"
        console.print(f"{mark:<14}{entry.target}", markup=False, highlight=False, soft_wrap=True)
    execution = {
        "mode": "test-then-full",
        "config": config_file.option,
        "sweeps": stack.sweeps_uri,
        "positives": [entry.option for entry in positive_files],
        "exclude": [entry.option for entry in exclude_files],
        "out": stack.out_uri,
    }
    console.print("\ninput of an execution, but for its run_id (which is the execution's name too):")
    click.echo(json.dumps(execution, indent=2))
