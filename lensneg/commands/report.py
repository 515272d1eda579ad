"""``lensneg report``: the report of a run, drawn again."""

import click

from lensneg.commands.common import Command


@click.command(cls=Command)
@click.argument("run")
@click.option("--out", metavar="DIR", help="Output folder of the run, where RUN is its id.")
def report(run: str, out: str | None) -> None:
    """Draw the report of a RUN again: its folder, OUT/runs/RUN_ID, or its id with --out.

    Example: lensneg report build/out/runs/run-20261125T021119Z
    """
    from lensneg import storage
    from lensneg.errors import InputError, RunStateError
    from lensneg.schema.layout import RunFiles
    from lensneg.stages.report import write_report

    root = storage.normalize(run) if out is None else RunFiles(storage.normalize(out), run).root
    remedy = "give OUT/runs/RUN_ID"
    try:
        if not storage.exists(RunFiles.of_root(root).run):
            raise InputError("not the folder of a run that was planned", where=root, remedy=remedy)
        click.echo(write_report(root).uri)
    except RunStateError as error:
        raise InputError(error.what, where=error.where, remedy=error.remedy or remedy) from error
