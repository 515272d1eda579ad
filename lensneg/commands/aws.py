"""``lensneg aws``: what is done with a deployed stack."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lensneg.commands.common import (
    EXIT_BROKEN,
    EXIT_GATE_FAILED,
    console,
    json_option,
    notes,
    print_json,
    say,
    show,
)
from lensneg.schema.request import RUN_ID_PATTERN

if TYPE_CHECKING:
    from lensneg.aws.calls import Aws
    from lensneg.aws.deployment import Stack
    from lensneg.aws.executions import Inputs
    from lensneg.aws.progress import Snapshot
    from lensneg.aws.uploads import Upload

F = TypeVar("F", bound=Callable[..., Any])

#: The name that samconfig.toml gives a stack.
DEFAULT_STACK: Final = "lensneg"


@click.group()
def aws() -> None:
    """Work with a deployed stack (docs/operate.md).

    Credentials and Region come from where the aws command has them (AWS_PROFILE, AWS_DEFAULT_REGION, …).

    Example: lensneg aws preflight
    """


def _stack_option(command: F) -> F:
    option = click.option(
        "--stack", "name", default=DEFAULT_STACK, show_default=True, help="The stack's name."
    )
    return option(command)


def _explain_option(command: F) -> F:
    option = click.option(
        "--explain",
        is_flag=True,
        help="Print the aws commands that do the same; change nothing.",
    )
    return option(command)


def _inputs_options(command: F) -> F:
    """Give a command the options that say what a run is made from."""
    options = (
        click.option(
            "--config",
            default="configs/negative_sampling_v1.yaml",
            show_default=True,
            metavar="FILE",
            help="The science's config.",
        ),
        click.option(
            "--positives",
            multiple=True,
            required=True,
            metavar="FILE",
            help="Catalogue of known lenses, as lensneg run takes it, or its s3:// URI; repeatable.",
        ),
        click.option("--exclude", multiple=True, metavar="FILE", help="Further lens catalogue; repeatable."),
        click.option(
            "--sweeps", metavar="DIR", help="Folder of sweep files; not needed where they are in S3 already."
        ),
        click.option(
            "--mode",
            type=click.Choice(["test", "full", "test-then-full"]),
            default="test-then-full",
            show_default=True,
            help="A mini-test on a few files, everything, or one after the other.",
        ),
        click.option(
            "--max-concurrency",
            type=click.IntRange(1, 10_000),
            help="Map items at a time; 1,000 if not given. A new account's quota may be 10.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _run_id(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    import re

    if value is not None and not re.match(RUN_ID_PATTERN, value):
        raise click.BadParameter(f"{value!r}: letters, digits, - and _, at most 63, the first no sign")
    return value


def _run_argument(command: F) -> F:
    return click.argument("run_id", metavar="[RUN_ID]", required=False, callback=_run_id)(command)


def _open(name: str, *, dry: bool) -> tuple[Aws, Stack]:
    from lensneg.aws.calls import Aws
    from lensneg.aws.deployment import read_stack

    calls = Aws(dry=dry)
    return calls, read_stack(name, calls)


def _print_calls(calls: Aws) -> None:
    """Print the aws commands, for --explain."""
    for command in calls.made:
        click.echo(command)


def _send(calls: Aws, uploads: list[Upload]) -> None:
    from lensneg.aws.uploads import upload as send_all

    if calls.dry:
        import shlex

        for entry in uploads:
            if entry.source != entry.target:
                calls.note(shlex.join(["aws", "s3", "cp", entry.source, entry.target]))
        return
    for entry, was_sent in send_all(uploads):
        show(f"{'sent' if was_sent else 'there already':<14}{entry.target}")


def _gather(name: str, explain: bool, options: dict[str, Any]) -> tuple[Aws, Stack, Inputs]:
    from lensneg.aws.deployment import require_complete
    from lensneg.aws.executions import gather_inputs

    calls, stack = _open(name, dry=explain)
    require_complete(stack)
    return calls, stack, gather_inputs(stack, **options)


@aws.command()
@_stack_option
@_inputs_options
@_explain_option
def upload(name: str, explain: bool, **options: Any) -> None:
    """Check a config and catalogues, and put them into the stack's bucket.

    What is there already is not sent again. Prints the input of an execution that uses them.

    Example: lensneg aws upload --positives lenses.csv
    """
    calls, _, inputs = _gather(name, explain, options)
    _send(calls, inputs.uploads)
    if explain:
        _print_calls(calls)
        return
    show("\ninput of an execution, but for its run_id (which is the execution's name too):")
    click.echo(json.dumps(inputs.execution, indent=2))


@aws.command()
@_stack_option
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, 10_000),
    default=1000,
    show_default=True,
    help="Map items at a time that the account should have room for.",
)
@json_option
@_explain_option
def preflight(name: str, max_concurrency: int, as_json: bool, explain: bool) -> None:
    """Look whether a run could start: credentials, stack, bucket, functions, roles, quotas, prices.

    Changes nothing. Each row that did not pass says what to do; ends with 1 if a critical one failed. Config
    and catalogues are looked at by upload and start, and by gate 1.

    Example: lensneg aws preflight --stack lensneg
    """
    from lensneg.aws.calls import Aws
    from lensneg.aws.readiness import preflight as look
    from lensneg.commands.checks_table import checks_table

    calls = Aws(dry=explain)
    checks = list(look(calls, name, max_concurrency))
    ready = all(check.passed for check in checks if check.critical)
    if explain:
        _print_calls(calls)
        return
    if as_json:
        print_json({"ready": ready, "checks": [check.as_json() for check in checks]})
    else:
        console.print(checks_table(checks))
    if not ready:
        sys.exit(EXIT_GATE_FAILED)


@aws.command()
@_stack_option
@_inputs_options
@click.option("--run-id", callback=_run_id, help="Name of the run; by default the time.")
@json_option
@_explain_option
def start(name: str, run_id: str | None, as_json: bool, explain: bool, **options: Any) -> None:
    """Start a run: upload what it is made from, and start an execution.

    Takes what upload takes, and sends what is not in the bucket yet. The execution has the run's name.

    Example: lensneg aws start --positives lenses.csv --exclude others.csv --run-id first
    """
    from lensneg.aws import executions

    calls, stack, inputs = _gather(name, explain, options)
    run_id = run_id or executions.new_run_id()
    if as_json and not explain:
        from lensneg.aws.uploads import upload as send

        send(inputs.uploads)
    else:
        _send(calls, inputs.uploads)
    arn = executions.start(calls, stack, run_id, {"run_id": run_id, **inputs.execution})
    _show_started(calls, run_id, arn, name, as_json)


def _show_started(calls: Aws, run_id: str, arn: str, name: str, as_json: bool) -> None:
    if calls.dry:
        _print_calls(calls)
    elif as_json:
        print_json({"run_id": run_id, "execution_arn": arn})
    else:
        show(f"started       {arn}")
        of_stack = "" if name == DEFAULT_STACK else f" --stack {name}"
        say(f"lensneg aws watch {run_id}{of_stack} follows it")


@aws.command()
@_run_argument
@_stack_option
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Seconds between looks.",
)
@json_option
@_explain_option
def watch(run_id: str | None, name: str, every: float, as_json: bool, explain: bool) -> None:
    """Follow a run to its end: states, map items, the EMR job, cost so far.

    RUN_ID is by default the newest. Live on a terminal, plain lines elsewhere; Ctrl-C stops only the
    watching. Ends with 0 if the run succeeded, 1 if a gate failed, 3 if it broke. --json prints the end as
    JSON.

    Example: lensneg aws watch first
    """
    from lensneg.aws.history import describe
    from lensneg.aws.progress import take_snapshot
    from lensneg.commands import aws_screen

    calls, stack, found = _find(name, run_id, explain)

    def take() -> Snapshot:
        return take_snapshot(calls, describe(calls, found), stack.out_uri)

    if explain:
        take()
        _print_calls(calls)
        return
    last = aws_screen.follow(notes, take, every)
    _show(last, as_json)
    _exit_as(last)


def _find(name: str, run_id: str | None, explain: bool) -> tuple[Aws, Stack, str]:
    """Return the ARN of a run's newest execution."""
    from lensneg.aws.executions import find_execution

    calls, stack = _open(name, dry=explain)
    return calls, stack, find_execution(calls, stack, run_id).arn


def _show(snapshot: Snapshot, as_json: bool) -> None:
    from lensneg.aws.progress import as_json as to_json
    from lensneg.commands import aws_screen

    if as_json:
        print_json(to_json(snapshot))
    else:
        console.print(aws_screen.view(snapshot))


def _exit_as(snapshot: Snapshot) -> None:
    """End with the exit code of how a run ended."""
    from lensneg.schema.gate import GATE_NAMES

    if snapshot.execution.status != "SUCCEEDED":
        sys.exit(EXIT_GATE_FAILED if snapshot.execution.error in GATE_NAMES.values() else EXIT_BROKEN)


@aws.command()
@_run_argument
@_stack_option
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Executions in the list."
)
@json_option
@_explain_option
def status(run_id: str | None, name: str, limit: int, as_json: bool, explain: bool) -> None:
    """Say how far a run is; without RUN_ID list the newest executions.

    Example: lensneg aws status first
    """
    from lensneg.aws import executions
    from lensneg.aws.history import describe
    from lensneg.aws.progress import take_snapshot

    if run_id is None:
        calls, stack = _open(name, dry=explain)
        listed = executions.list_executions(calls, stack)
        listed = [e for e in listed if not e["name"].endswith(executions.MINI_TEST_SUFFIX)][:limit]
        if explain:
            _print_calls(calls)
        elif as_json:
            keys = ("name", "status", "executionArn", "startDate", "stopDate")
            print_json([{key: str(e[key]) for key in keys if key in e} for e in listed])
        else:
            for entry in listed:
                show(f"{entry['status']:<10} {entry['startDate']:%Y-%m-%d %H:%M:%S}  {entry['name']}")
            if not listed:
                say("no executions yet; lensneg aws start starts one")
        return
    calls, stack, found = _find(name, run_id, explain)
    snapshot = take_snapshot(calls, describe(calls, found), stack.out_uri)
    if explain:
        _print_calls(calls)
    else:
        _show(snapshot, as_json)


@aws.command()
@_run_argument
@_stack_option
@json_option
@_explain_option
def stop(run_id: str | None, name: str, as_json: bool, explain: bool) -> None:
    """Stop a run's execution, and cancel its EMR job run if one goes on.

    RUN_ID is by default the newest. What is done stays: lensneg aws resume goes on from there.

    Example: lensneg aws stop first
    """
    from lensneg.aws import executions

    calls, stack = _open(name, dry=explain)
    stopped = executions.stop(calls, stack, run_id)
    if explain:
        _print_calls(calls)
    elif as_json:
        print_json({"stopped": stopped})
    else:
        for text in stopped:
            show(f"stopped  {text}")


@aws.command()
@click.argument("run_id", metavar="RUN_ID", callback=_run_id)
@_stack_option
@json_option
@_explain_option
def resume(run_id: str, name: str, as_json: bool, explain: bool) -> None:
    """Go on with a run that failed or was stopped: a new execution of the same run and input.

    The input is that of its last execution, or, where Step Functions has forgotten that, it is made of the
    run's run.json. What is done is not done again.

    Example: lensneg aws resume first
    """
    from lensneg.aws import executions
    from lensneg.aws.deployment import require_complete

    calls, stack = _open(name, dry=explain)
    require_complete(stack)
    plan = executions.plan_resumption(calls, stack, run_id)
    arn = executions.start(calls, stack, plan.name, plan.execution)
    if not explain:
        say(f"input of {plan.source}")
    _show_started(calls, run_id, arn, name, as_json)


@aws.command()
@_run_argument
@_stack_option
@click.option(
    "--to",
    metavar="DIR",
    help="Folder for it; by default build/manifests/<run_id>.",
    type=click.Path(path_type=Path),
)
@json_option
@_explain_option
def download(run_id: str | None, name: str, to: Path | None, as_json: bool, explain: bool) -> None:
    """Fetch a published manifest, and check every file's SHA-256 against manifest.json.

    RUN_ID is by default the one published last. Ends with 1 if a file is not what manifest.json says; the
    same command fetches only what is missing.

    Example: lensneg aws download first --to manifests/first
    """
    import shlex

    from lensneg.aws import download as fetching
    from lensneg.schema.layout import RunFiles

    calls, stack = _open(name, dry=explain)
    if run_id is None:
        run_id = fetching.latest_run(stack.out_uri)
    folder = to or Path("build/manifests") / run_id
    source = RunFiles(stack.out_uri, run_id).manifest_folder
    if explain:
        calls.note(shlex.join(["aws", "s3", "cp", "--recursive", source, str(folder)]))
        _print_calls(calls)
        return
    fetched = fetching.download(
        stack.out_uri, run_id, folder, lambda f: say(f"{f.outcome:<14}{f.name} ({f.size:,} bytes)")
    )
    wrong = [f.name for f in fetched if not f.good]
    if as_json:
        files = [{"name": f.name, "bytes": f.size, "outcome": f.outcome} for f in fetched]
        print_json({"run_id": run_id, "folder": str(folder), "whole": not wrong, "files": files})
    elif wrong:
        show(
            f"WRONG: {', '.join(wrong)}: missing in {source}, or not of the SHA-256 that manifest.json says; "
            "the same command tries again, and an older version of the object may be the right one"
        )
    else:
        show(f"{len(fetched)} files, all of the SHA-256 that manifest.json says: {folder}")
    if wrong:
        sys.exit(EXIT_GATE_FAILED)
