"""``lensneg rollback``: back to a manifest that was published earlier."""

import click

from lensneg.commands.common import Command, Result, prints_result


@click.command(cls=Command)
@click.argument("out")
@click.argument("run_id")
@prints_result
def rollback(out: str, run_id: str) -> Result:
    """Make the latest.json of an output folder OUT name RUN_ID, a run that was published there earlier.

    The files of its manifest are checked first. No manifest is changed or removed. OUT is a folder or an s3://
    prefix.

    Example: lensneg rollback build/out run-20261125T021119Z
    """
    from lensneg import storage
    from lensneg.stages.rollback import rollback as go_back

    written = go_back(storage.normalize(out), run_id)
    return Result({"run_id": run_id, "latest": written.uri}, f"{written.uri} names {run_id}")
