"""``lensneg report``: a run's report, drawn again."""

import click


@click.command()
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

    files = RunFiles(storage.normalize(out), run) if out is not None else None
    root = files.root if files else storage.normalize(run)
    try:
        written = write_report(root)
    except RunStateError as error:
        raise InputError(
            f"not the folder of a run that was planned ({error})", where=root, remedy="give OUT/runs/RUN_ID"
        ) from error
    click.echo(written.uri)
