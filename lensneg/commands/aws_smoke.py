"""``lensneg aws smoke``: the acceptance test of an account."""

import functools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Group
from rich.markup import escape
from rich.text import Text

from lensneg.commands.common import (
    EXIT_BROKEN,
    EXIT_GATE_FAILED,
    Command,
    Result,
    interrupted,
    notes,
    plain_table,
    prints_result,
    say,
)
from lensneg.commands.failure import Fault, fault_of_error

if TYPE_CHECKING:
    from lensneg.aws.smoke import Inputs, Smoke
    from lensneg.aws.steps import Outcome, Step, StepsReport

#: Rows of each sweep file. With fewer, a stratum of the sky would be short of negatives.
_ROWS: Final = 20_000

#: Seconds between two looks at the run.
_EVERY: Final = 5.0


@click.command("smoke", cls=Command)
@click.option(
    "--stack", "stack_name", metavar="NAME", help="Take this stack; without it, deploy one and delete it."
)
@click.option("--keep", is_flag=True, help="Remove nothing at the end.")
@prints_result
def smoke(stack_name: str | None, keep: bool) -> Result:
    """Test an account: run a small made-up sky on AWS and here, and compare the two manifests.

    Deploys a stack, or takes the one that --stack names. Uploads the sky, runs test-then-full,
    downloads the manifest, and compares its content with that of the local run. Prints each step with its
    time and cost. Removes what it made, and nothing else, also if a step failed or after Ctrl-C.

    Example: lensneg aws smoke --stack lensneg
    """
    from lensneg.aws.calls import Aws
    from lensneg.aws.own_stack import OwnStack, require_tools
    from lensneg.aws.smoke import Inputs, Smoke, new_name
    from lensneg.aws.steps import run_steps
    from lensneg.commands import aws_screen

    aws, name = Aws(), new_name()
    if not stack_name:
        require_tools()
    aws.read("sts", "get_caller_identity")  # without credentials nothing begins
    inputs = Inputs(Path("build") / name)
    stack = stack_name or OwnStack(aws, f"lensneg-{name}")
    test = Smoke(aws, name, inputs, stack, lambda take: aws_screen.follow(notes, take, _EVERY))
    say(f"smoke test {name}")
    report = run_steps(_steps(test, inputs), keep=keep, tell=lambda step: say(f"{step} …"))
    kept = [*test.kept(), str(inputs.folder)] if keep else []
    if report.signal:
        say("\n".join(f"{o.step}: {o.text or o.error}" for o in report.outcomes))
        interrupted(f"left in place: {', '.join(kept)}" if keep else _left(report), report.signal)
    return Result(
        _as_json(test, report, kept),
        _table(test, report),
        remark="\n".join(f"kept  {entry}" for entry in kept),
        faults=[
            Fault(f"{outcome.step}: {fault.where}", fault.why, fault.remedy)
            for outcome in report.failures
            for fault in [fault_of_error(outcome.error or RuntimeError(outcome.text))]
        ],
        exit_code=_exit_code(report),
    )


def _steps(test: "Smoke", inputs: "Inputs") -> "list[Step]":
    from lensneg.aws.smoke import compare
    from lensneg.aws.steps import CleanUp, Done, Step
    from lensneg.schema.manifest import Manifest

    here: list[Manifest] = []

    def run_here() -> Done:
        here.append(_run_here(test.name, inputs))
        return Done(f"{here[0].counts.negatives:,} negatives, {here[0].counts.positives:,} positives")

    def remove_files() -> str:
        shutil.rmtree(inputs.folder, ignore_errors=True)
        return str(inputs.folder)

    clean_up = CleanUp("remove the local files", remove_files)
    return [
        Step("make the sky", functools.partial(_make_sky, test.name, inputs), (clean_up,), is_local=True),
        Step("run here", run_here, is_local=True),
        *test.steps(),
        Step("compare", lambda: Done(compare(here[0], Manifest.open(inputs.downloaded)))),
    ]


def _make_sky(name: str, inputs: "Inputs") -> Any:
    from lensneg.aws.smoke import FILES, make_config
    from lensneg.aws.steps import Done
    from lensneg.mocksky import write_mock_sky

    sky = write_mock_sky(inputs.sky, files=FILES, rows=_ROWS)
    inputs.config.write_text(make_config(name), encoding="utf-8")
    return Done(f"{sky.files} sweep files, {sky.rows:,} rows")


def _run_here(name: str, inputs: "Inputs") -> Any:
    from lensneg.local.run import run

    return run(
        config=inputs.config,
        sweeps=inputs.sweeps,
        positives=inputs.positives,
        out=inputs.folder / "here",
        run_id=name,
    )


def _left(report: "StepsReport") -> str:
    failed = [outcome.step for outcome in report.failures]
    return f"failed: {', '.join(failed)}" if failed else "what it made is removed"


def _exit_code(report: "StepsReport") -> int:
    """Return 1 if the account failed, and 3 if this machine or the network did."""
    from lensneg.errors import TransientError

    if report.passed:
        return 0
    first = report.failures[0]
    broken = first.is_local or isinstance(first.error, TransientError)
    return EXIT_BROKEN if broken else EXIT_GATE_FAILED


def _row(outcome: "Outcome") -> dict[str, Any]:
    error = outcome.error
    found = {
        "step": outcome.step,
        "passed": error is None,
        "seconds": round(outcome.seconds, 1),
        "usd": round(outcome.usd, 6),
        "result": outcome.text,
    }
    if error is None:
        return found
    told = {key: getattr(error, key, "") for key in ("what", "where", "remedy")}
    return found | {"error": told if told["what"] else {**told, "what": str(error)}}


def _as_json(test: "Smoke", report: "StepsReport", kept: list[str]) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "run_id": test.name,
        "stack": test.stack.name if test.stack else None,
        "usd": round(report.usd, 6),
        "seconds": round(sum(outcome.seconds for outcome in report.outcomes), 1),
        "steps": [_row(outcome) for outcome in report.outcomes],
        "kept": kept,
    }


def _table(test: "Smoke", report: "StepsReport") -> Group:
    where = f"stack {test.stack.name} in {test.stack.region}" if test.stack else "no stack"
    table = plain_table(f"{test.name}, {where}", "step", "seconds", "USD", "result")
    for column in table.columns[1:3]:
        column.justify = "right"
    for outcome in report.outcomes:
        style = "red" if outcome.error else "green"
        failed = bool(outcome.error) and "FAILED" not in outcome.text
        result = "; ".join(filter(None, [outcome.text, "FAILED" if failed else ""]))
        usd = f"{outcome.usd:.4f}" if outcome.usd else ""
        table.add_row(f"[{style}]{outcome.step}", f"{outcome.seconds:,.0f}", usd, escape(result))
    seconds = sum(outcome.seconds for outcome in report.outcomes)
    table.add_row(
        "[bold]all", f"{seconds:,.0f}", f"{report.usd:.4f}", "PASSED" if report.passed else "FAILED"
    )
    return Group(table, Text(""))
