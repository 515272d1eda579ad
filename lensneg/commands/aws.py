"""``lensneg aws``: work with a deployed stack."""

import functools
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lensneg.commands.common import (
    EXIT_GATE_FAILED,
    Group,
    Result,
    check_run_id,
    checks_table,
    console,
    fail,
    leave_out_option,
    mode_option,
    notes,
    output_folder,
    prints_result,
    say,
    show,
)
from lensneg.commands.failure import Fault, faults_of_checks

if TYPE_CHECKING:
    from lensneg.aws.calls import Aws
    from lensneg.aws.deployment import Stack
    from lensneg.schema.request import RunRequest

#: The stack's name in samconfig.toml.
_DEFAULT_STACK: Final = "lensneg"


@click.group(cls=Group)
def aws() -> None:
    """Work with a deployed stack (docs/operate.md).

    Credentials and Region are those of the aws command (AWS_PROFILE, AWS_DEFAULT_REGION, …).

    Example: lensneg aws preflight
    """


@dataclass
class Session:
    """The stack and the AWS calls of a command. With ``--explain`` the calls change nothing.

    Without credentials, which ``--explain`` does not need, placeholders stand for the answers of AWS.
    """

    aws: "Aws"
    stack_name: str
    is_signed_in: bool = True

    @functools.cached_property
    def stack(self) -> "Stack":
        """The deployed stack."""
        from lensneg.aws.deployment import read_stack

        return read_stack(self.stack_name, self.aws)

    @property
    def of_stack(self) -> str:
        """The option that names the stack, where it is needed."""
        return "" if self.stack_name == _DEFAULT_STACK else f" --stack {self.stack_name}"


def on_stack(command: Callable[..., Result]) -> Callable[..., None]:
    """Add the options of all commands to one that takes a session, and print its result."""

    @click.option("--stack", "stack_name", default=_DEFAULT_STACK, help="The stack's name.")
    @click.option("--explain", is_flag=True, help="Print the aws commands that do the same; change nothing.")
    @prints_result
    @functools.wraps(command)
    def run(stack_name: str, explain: bool, **options: Any) -> Result:
        from lensneg.aws.calls import Aws

        say(f"stack {stack_name}")
        session = Session(Aws(dry=explain), stack_name)
        if explain:
            from lensneg.aws.placeholders import is_signed_in, placeholder_clients

            if not is_signed_in():
                say("without credentials: words in capitals stand for what AWS would answer")
                status = "FAILED" if command.__name__ == "resume" else "RUNNING"
                aws = Aws(dry=True, make_client=placeholder_clients(status))
                session = Session(aws, stack_name, is_signed_in=False)
        result = command(session, **options)
        return Result({"commands": session.aws.made}, "\n".join(session.aws.made)) if explain else result

    return run


def _sending_inputs(command: "Callable[[Session, RunRequest], Result]") -> Callable[..., Result]:
    """Add the options of a run's inputs. The command gets the request when they are in the bucket."""

    @click.option(
        "--config",
        default="negative_sampling_v1",
        metavar="FILE",
        help="The science's config: a file, or a shipped one by its name.",
    )
    @click.option(
        "--positives",
        multiple=True,
        required=True,
        metavar="FILE",
        help="Catalogue of known lenses, as lensneg run takes it, or its s3:// URI; repeatable.",
    )
    @click.option("--exclude", multiple=True, metavar="FILE", help="Further lens catalogue; repeatable.")
    @click.option(
        "--spectroscopic",
        multiple=True,
        metavar="FILE",
        help="Catalogue of spectroscopic lenses, as lensneg run takes it; repeatable.",
    )
    @click.option(
        "--suspects", multiple=True, metavar="FILE", help="Sources that may be lenses, as lensneg run's."
    )
    @click.option(
        "--hard-negatives", multiple=True, metavar="FILE", help="Known confusers, as lensneg run takes them."
    )
    @click.option("--pz", metavar="URI", help="Folder of the sweep files' -pz files, local or in the bucket.")
    @click.option(
        "--sweeps",
        metavar="URI",
        help="Folder of sweep files, HATS catalogue or table; not needed where the files are in S3 already.",
    )
    @leave_out_option
    @mode_option
    @click.option(
        "--max-concurrency",
        type=click.IntRange(1, 10_000),
        help="Map items at a time; 1,000 if not given. A new account's quota may be 10.",
    )
    @functools.wraps(command)
    def send_inputs(session: Session, run_id: str | None = None, **options: Any) -> Result:
        from lensneg.aws.deployment import require_complete
        from lensneg.aws.executions import gather_inputs
        from lensneg.aws.uploads import Upload
        from lensneg.aws.uploads import upload as send
        from lensneg.schema.request import new_id

        def on_file(entry: Upload, was_sent: bool) -> None:
            show(f"{'sent' if was_sent else 'there already':<14}{entry.target}")

        require_complete(session.stack)
        options["is_signed_in"] = session.is_signed_in
        request, uploads = gather_inputs(session.stack, run_id or new_id("run"), **options)
        send(session.aws, uploads, on_file)
        return command(session, request)

    return send_inputs


_RUN: Final = click.argument("run_id", metavar="[RUN_ID]", required=False, callback=check_run_id)


@aws.command()
@on_stack
@_sending_inputs
def upload(_session: Session, request: "RunRequest") -> Result:
    """Check a config and catalogues, and upload them to the stack's bucket.

    Files that are there already are not sent again. Prints the input of an execution that uses them.

    Example: lensneg aws upload --positives lenses.csv
    """
    data = {key: value for key, value in request.as_input().items() if key != "run_id"}
    head = "\ninput of an execution, but for its run_id (which is the execution's name too):"
    return Result(data, f"{head}\n{json.dumps(data, indent=2)}")


@aws.command()
@on_stack
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, 10_000),
    default=1000,
    help="Map items at a time that the run would take.",
)
def preflight(session: Session, max_concurrency: int) -> Result:
    """Check whether a run could start: credentials, stack, bucket, functions, roles, quotas, prices.

    Changes nothing, but wakes functions that are inactive. Each check that did not pass says what to do.
    Ends with 1 if a critical check failed.
    Config and catalogues are checked by upload and start, and by gate 1.

    Example: lensneg aws preflight --stack lensneg
    """
    from lensneg.aws.readiness import preflight as readiness_checks

    checks = list(readiness_checks(session.aws, session.stack_name, max_concurrency))
    ready = all(check.passed for check in checks if check.critical)
    data = {"ready": ready, "checks": [check.as_json() for check in checks]}
    exit_code, faults = 0 if ready else EXIT_GATE_FAILED, faults_of_checks(checks)
    return Result(data, checks_table(checks), faults=faults, exit_code=exit_code)


@aws.command()
@on_stack
@_sending_inputs
@click.option("--run-id", callback=check_run_id, help="Name of the run; by default the time.")
def start(session: Session, request: "RunRequest") -> Result:
    """Start a run: upload its inputs, and start an execution.

    Takes the options of upload. Files that are in the bucket already are not sent again. The execution has
    the run's name.

    Example: lensneg aws start --positives lenses.csv --exclude others.csv --run-id first
    """
    return _start(session, request.run_id, request)


def _start(session: Session, name: str, request: "RunRequest") -> Result:
    from lensneg.aws import executions

    arn, run_id = executions.start(session.aws, session.stack, name, request), request.run_id
    remark = f"lensneg aws watch {run_id}{session.of_stack} follows it"
    return Result({"run_id": run_id, "execution_arn": arn}, f"started       {arn}", remark)


@aws.command()
@on_stack
@_RUN
@click.option("--every", type=click.FloatRange(min=0.1), default=5.0, help="Seconds between updates.")
def watch(session: Session, run_id: str | None, every: float) -> Result:
    """Follow a run to its end: states, map items, the EMR job, cost so far.

    RUN_ID is by default the newest. Prints a live view on a terminal, and plain lines elsewhere. Ctrl-C does
    not stop the run. Ends with 0 if the run succeeded, 1 if a gate failed, 3 if it broke. --json prints the
    end as JSON.

    Example: lensneg aws watch first
    """
    from lensneg.aws import progress
    from lensneg.aws.executions import find_execution
    from lensneg.commands import aws_screen

    found = find_execution(session.aws, session.stack, run_id)
    take = functools.partial(progress.take_snapshot, session.aws, found.arn, session.stack.out_uri)
    last = take() if session.aws.dry else aws_screen.follow(notes, take, every)
    if last.execution.status not in ("SUCCEEDED", "RUNNING"):  # --explain looks once, also at a run under way
        console.print(aws_screen.view(last))
        again = f"lensneg aws resume {last.execution.run_id}{session.of_stack}"
        fail(aws_screen.snapshot_failure(last, session.stack.out_uri, again), progress.as_json(last))
    return Result(progress.as_json(last), aws_screen.view(last))


@aws.command()
@on_stack
@_RUN
@click.option("--limit", type=click.IntRange(1), default=20, help="Executions in the list.")
def status(session: Session, run_id: str | None, limit: int) -> Result:
    """Print the progress of a run, or without RUN_ID the newest executions.

    Example: lensneg aws status first
    """
    from lensneg.aws import executions, progress
    from lensneg.commands import aws_screen

    if run_id is not None:
        found = executions.find_execution(session.aws, session.stack, run_id)
        snapshot = progress.take_snapshot(session.aws, found.arn, session.stack.out_uri)
        return Result(progress.as_json(snapshot), aws_screen.view(snapshot))
    listed = executions.list_executions(session.aws, session.stack)[:limit]
    lines = [f"{e.status:<10} {e.started:%Y-%m-%d %H:%M:%S}  {e.name}" for e in listed]
    remark = "" if listed else "no executions yet; lensneg aws start starts one"
    data = [
        {"name": e.name, "status": e.status, "executionArn": e.arn, "startDate": str(e.started)}
        | ({"stopDate": str(e.ended)} if e.ended else {})
        for e in listed
    ]
    return Result({"executions": data}, "\n".join(lines), remark)


@aws.command()
@on_stack
@_RUN
def stop(session: Session, run_id: str | None) -> Result:
    """Stop a run's execution, cancel its EMR job run if one goes on, and wait until both have ended.

    RUN_ID is by default the newest. Finished work is kept, and lensneg aws resume goes on from there.

    Example: lensneg aws stop first
    """
    from lensneg.aws import stopping
    from lensneg.commands.progress import step

    with step("stopping, and waiting for the end"):
        stopped = stopping.stop(session.aws, session.stack, run_id)
    return Result({"stopped": stopped}, "\n".join(f"stopped  {text}" for text in stopped))


@aws.command()
@on_stack
@click.argument("run_id", metavar="RUN_ID", callback=check_run_id)
def resume(session: Session, run_id: str) -> Result:
    """Go on with a run that failed or was stopped: a new execution of the same run and input.

    The input is that of the last execution. If Step Functions has forgotten it, it is made from the run's
    run.json. Finished work is not repeated.

    Example: lensneg aws resume first
    """
    from lensneg.aws import executions
    from lensneg.aws.deployment import require_complete

    require_complete(session.stack)
    name, request, source = executions.plan_resumption(session.aws, session.stack, run_id)
    result = _start(session, name, request)
    return result._replace(remark=f"input of {source}\n{result.remark}")


@aws.command()
@on_stack
@_RUN
@click.option(
    "--to",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for it; by default build/manifests/<run_id>.",
)
def download(session: Session, run_id: str | None, to: Path | None) -> Result:
    """Fetch a published manifest, and check every file's SHA-256 against manifest.json.

    RUN_ID is by default the run that was published last. Ends with 1 if a file differs from manifest.json.
    The same command then fetches only what is missing.

    Example: lensneg aws download first --to manifests/first
    """
    from lensneg.aws import download as fetching
    from lensneg.schema.layout import RunFiles

    out = session.stack.out_uri
    run_id = run_id or (fetching.latest_run(out) if session.is_signed_in else "RUN_ID")
    folder = to or Path("build/manifests") / run_id
    source = RunFiles(out, run_id).manifest_folder
    if session.aws.dry:
        session.aws.note(shlex.join(["aws", "s3", "cp", "--recursive", source, str(folder)]))
        return Result({}, "")
    output_folder(str(folder), "--to")
    fetched = fetching.download(
        out, run_id, folder, lambda file: say(f"{file.outcome:<14}{file.name} ({file.size:,} bytes)")
    )
    wrong = [file.name for file in fetched if file.outcome == "WRONG"]
    files = [{"name": f.name, "bytes": f.size, "outcome": f.outcome} for f in fetched]
    data = {"run_id": run_id, "folder": str(folder), "whole": not wrong, "files": files}
    if not wrong:
        return Result(data, f"{len(files)} files, all of the SHA-256 that manifest.json says: {folder}")
    why = f"missing in {source}, or not of the SHA-256 that manifest.json says"
    remedy = "the same command tries again, and an older version of the object may be the right one"
    faults = [Fault(name, why, remedy) for name in wrong]
    return Result(data, "", faults=faults, exit_code=EXIT_GATE_FAILED)
