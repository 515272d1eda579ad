"""``lensneg reproduce``: a run again from its own record."""

import sys
from typing import TYPE_CHECKING

import click

from lensneg.commands.common import (
    EXIT_GATE_FAILED,
    Command,
    console,
    json_option,
    notes,
    print_json,
    say,
    show,
)
from lensneg.commands.run import end_as, watched, workers_option
from lensneg.errors import InputError

if TYPE_CHECKING:
    from lensneg.audit.reproduction import PartVerdict


@click.command(cls=Command)
@click.argument("manifest")
@click.option("--out", metavar="DIR", help="Folder of the second run; by default build/reproduce/<run_id>.")
@click.option("--sweeps", metavar="URI", help="Where the sweep files are now, if they were moved.")
@click.option(
    "--catalog", "catalogs", multiple=True, metavar="FILE", help="A catalogue that was moved; repeatable."
)
@click.option("--inputs-only", is_flag=True, help="Compare the inputs, and run nothing.")
@workers_option
@json_option
def reproduce(
    manifest: str,
    out: str | None,
    sweeps: str | None,
    catalogs: tuple[str, ...],
    inputs_only: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Run again from a run's record, and say whether the manifest is identical.

    MANIFEST is an output folder, a run, a manifest's folder or its manifest.json. Inputs that differ from the
    recorded ones (catalogue, sweep file, code) are named. Ends with 0 if the content is identical,
    with 1 if not.

    Example: lensneg reproduce build/out/manifests/run-20260101T000000Z/manifest.json
    """
    from lensneg import storage
    from lensneg.audit.reproduction import compare_manifests, look_at_inputs, other_sweeps, request_again
    from lensneg.schema.check import brief
    from lensneg.schema.manifest import Manifest

    original = Manifest.open(manifest)
    record = original.record.run
    if any(map(storage.exists, original.files("negatives") + original.files("positives"))):
        original.verify()  # so that the record, with which the second manifest is compared, is that of files
    else:
        say("its Parquet files are not there: the second manifest is compared with its manifest.json alone")
    inputs = look_at_inputs(record, sweeps, catalogs, original.record.not_read)
    differences = {"differences": [difference._asdict() for difference in inputs.differences]}
    if not as_json:
        for difference in inputs.differences:
            show(f"differs: {difference.kind} {difference.name}: {difference.text}")
        for part in original.record.not_read:
            if part.sweep not in {difference.name for difference in inputs.differences}:
                say(f"left out, as in the run: {part.text}")
        if not inputs.differences:
            say("inputs: the recorded config, catalogues, sweep files and code")
    if inputs_only:
        if as_json:
            print_json(differences)
        sys.exit(EXIT_GATE_FAILED if inputs.differences else 0)
    if inputs.missing:
        missing = "; ".join(difference.text for difference in inputs.missing[:3])
        more = f"; and {len(inputs.missing) - 3} more" if len(inputs.missing) > 3 else ""
        raise InputError(f"inputs are missing: {missing}{more}", where=manifest)
    if others := other_sweeps(inputs.sweeps):
        say(f"left out, as they are not of the run: {brief(others, 3)}")
    request = request_again(record, inputs, out or f"build/reproduce/{record.run_id}")

    from lensneg.commands import run_screen as screen
    from lensneg.local.run import execute

    again = "the same command continues the run"
    outcome = watched(request, lambda watcher: execute(request, workers, watcher), again)
    if outcome.status != "SUCCEEDED":
        screen.show_outcome(notes if as_json else console, request, outcome)
    end_as(outcome, again)
    second = Manifest.open(outcome.files.manifest)
    second.verify()
    verdicts = compare_manifests(original, second)
    identical = all(verdict.same_content for verdict in verdicts)
    identical_bytes = all(verdict.same_bytes for verdict in verdicts)
    if as_json:
        parts = [verdict._asdict() for verdict in verdicts]
        equal = {"identical": identical, "identical_bytes": identical_bytes, "parts": parts}
        print_json({**equal, **differences, "manifest": second.uri})
    else:
        _show_parts(verdicts)
        show(f"manifest  {second.uri}")
        if identical:
            console.print("reproduced: the manifest is identical", style="bold green")
        else:
            console.print("NOT reproduced: the content differs", style="bold red")
            no_cause = "no input differs: please report it as a bug"
            show("cause: the inputs named above" if inputs.differences else no_cause)
        if identical and not identical_bytes:
            say("its bytes are not: rows name the code that made them, and the files the version of pyarrow")
    if not identical:
        sys.exit(EXIT_GATE_FAILED)


def _show_parts(verdicts: "list[PartVerdict]") -> None:
    for verdict in verdicts:
        text = f"{verdict.part}: content {'identical' if verdict.same_content else 'DIFFERS'}, "
        text += f"bytes {'identical' if verdict.same_bytes else 'differ'}"
        if verdict.only_before or verdict.only_now:
            text += f"; {verdict.only_before:,} rows are gone and {verdict.only_now:,} are new"
        if verdict.columns:
            text += f"; other values in {', '.join(verdict.columns)}"
        show(text)
