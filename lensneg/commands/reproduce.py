"""``lensneg reproduce``: a run again from its own record."""

from typing import TYPE_CHECKING

import click

from lensneg.commands.common import (
    EXIT_GATE_FAILED,
    Command,
    Result,
    console,
    fail,
    prints_result,
    say,
    show,
)
from lensneg.commands.failure import Fault, given_command
from lensneg.commands.manifest_argument import manifest_argument
from lensneg.commands.run import failure_of_outcome, watched, workers_option
from lensneg.errors import InputError

if TYPE_CHECKING:
    from lensneg.audit.reproduction import PartVerdict


@click.command(cls=Command)
@manifest_argument
@click.option("--out", metavar="DIR", help="Folder of the second run; by default build/reproduce/<run_id>.")
@click.option("--sweeps", metavar="URI", help="Where the sweep files are now, if they were moved.")
@click.option(
    "--catalog", "catalogs", multiple=True, metavar="FILE", help="A catalogue that was moved; repeatable."
)
@click.option("--inputs-only", is_flag=True, help="Compare the inputs, and run nothing.")
@workers_option
@prints_result
def reproduce(
    manifest: str,
    out: str | None,
    sweeps: str | None,
    catalogs: tuple[str, ...],
    inputs_only: bool,
    workers: int | None,
) -> Result:
    """Run again from a run's record, and say whether the manifest is identical.

    Inputs that differ from the recorded ones (catalogue, sweep file, code) are named. Ends with 0 if the
    content is identical, with 1 if not.

    Example: lensneg reproduce build/out/manifests/run-20260101T000000Z/manifest.json
    """
    from lensneg import storage
    from lensneg.audit.reproduction import compare_manifests, look_at_inputs, other_sweeps, request_again
    from lensneg.commands.progress import steps
    from lensneg.schema.check import brief
    from lensneg.schema.manifest import Manifest

    original = Manifest.open(manifest)
    record = original.record.run
    if any(map(storage.exists, original.files("negatives") + original.files("positives"))):
        # The record, with which the second manifest is compared, is to be that of files.
        with steps(f"comparing the files of {original.run_id} with its manifest.json") as tell:
            original.verify(tell)
    else:
        say("its Parquet files are not there: the second manifest is compared with its manifest.json alone")
    with steps("comparing the inputs with the record") as tell:
        inputs = look_at_inputs(record, sweeps, catalogs, original.record.not_read, tell)
    differences = {"differences": [difference._asdict() for difference in inputs.differences]}
    for difference in inputs.differences:
        show(f"differs: {difference.kind} {difference.name}: {difference.text}")
    for part in original.record.not_read:
        if part.sweep not in {difference.name for difference in inputs.differences}:
            say(f"left out, as in the run: {part.text}")
    if not inputs.differences:
        say("inputs: the recorded config, catalogues, sweep files and code")
    faults = [Fault(f"{d.kind} {d.name}", d.text, "give the recorded input") for d in inputs.differences]
    if inputs_only:
        return Result(differences, "", faults=faults, exit_code=EXIT_GATE_FAILED if faults else 0)
    if inputs.missing:
        missing = "; ".join(difference.text for difference in inputs.missing[:3])
        more = f"; and {len(inputs.missing) - 3} more" if len(inputs.missing) > 3 else ""
        raise InputError(f"inputs are missing: {missing}{more}", where=manifest)
    if others := other_sweeps(inputs.sweeps):
        say(f"left out, as they are not of the run: {brief(others, 3)}")
    request = request_again(record, inputs, out or f"build/reproduce/{record.run_id}")

    from lensneg.commands import run_screen as screen
    from lensneg.local.run import execute

    outcome = watched(request, lambda watcher: execute(request, workers, watcher), given_command())
    failure = failure_of_outcome(request, outcome, given_command())
    if failure is not None:
        screen.show_outcome(console, request, outcome)
        fail(failure, differences)
    second = Manifest.open(outcome.files.manifest)
    with steps("comparing the two manifests") as tell:
        second.verify(tell)
        verdicts = compare_manifests(original, second)
    identical = all(verdict.same_content for verdict in verdicts)
    identical_bytes = all(verdict.same_bytes for verdict in verdicts)
    parts = [verdict._asdict() for verdict in verdicts]
    equal = {"identical": identical, "identical_bytes": identical_bytes, "parts": parts}
    value = {**equal, **differences, "manifest": second.uri}
    _show_parts(verdicts)
    show(f"manifest  {second.uri}")
    if not identical:
        no_cause = Fault(second.uri, "no input differs", "please report it as a bug")
        what = "NOT reproduced: the content differs"
        return Result(value, "", faults=faults or [no_cause], exit_code=EXIT_GATE_FAILED, what=what)
    console.print("reproduced: the manifest is identical", style="bold green")
    remark = "its bytes are not: rows name the code that made them, and the files the version of pyarrow"
    return Result(value, "", "" if identical_bytes else remark)


def _show_parts(verdicts: "list[PartVerdict]") -> None:
    for verdict in verdicts:
        text = f"{verdict.part}: content {'identical' if verdict.same_content else 'DIFFERS'}, "
        text += f"bytes {'identical' if verdict.same_bytes else 'differ'}"
        if verdict.only_before or verdict.only_now:
            text += f"; {verdict.only_before:,} rows are gone and {verdict.only_now:,} are new"
        if verdict.columns:
            text += f"; other values in {', '.join(verdict.columns)}"
        show(text)
