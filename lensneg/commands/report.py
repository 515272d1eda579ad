"""``lensneg report``: the report of a run, drawn again."""

import click

from lensneg.commands.common import Command, Result, prints_result
from lensneg.commands.manifest_argument import manifest_argument


@click.command(cls=Command)
@manifest_argument
@click.option("--out", metavar="DIR", help="Output folder of the run, where MANIFEST is the run's id.")
@prints_result
def report(manifest: str, out: str | None) -> Result:
    """Draw the report of a run again, published or not.

    Example: lensneg report build/out/runs/run-20261125T021119Z
    """
    from lensneg import storage
    from lensneg.commands.progress import steps
    from lensneg.errors import InputError, RunStateError
    from lensneg.schema.layout import RunFiles
    from lensneg.schema.manifest_places import WHAT_TO_GIVE, named_run
    from lensneg.stages.report import write_report

    if out is not None:
        manifest = RunFiles(storage.normalize(out), storage.basename(manifest)).root
    files = named_run(manifest)
    try:
        with steps(f"drawing the report of {files.run_id}") as tell:
            written = write_report(files.root, tell=tell).uri
    except RunStateError as error:
        raise InputError(error.what, where=error.where, remedy=error.remedy or WHAT_TO_GIVE) from error
    return Result({"run_id": files.run_id, "report": written}, written)
