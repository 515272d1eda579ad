"""Views of a run on AWS in the terminal: tables of its states, and a live view of them."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lensneg.aws.history import Execution
from lensneg.aws.progress import Snapshot, attempts_text, changes, job_text, map_text
from lensneg.commands.common import plain_table
from lensneg.commands.failure import Failure
from lensneg.commands.run_failure import run_failure
from lensneg.errors import TransientError
from lensneg.schema.layout import RunFiles

STYLES = {"RUNNING": "bold cyan", "SUCCEEDED": "bold green"}


def duration(begun: datetime, ended: datetime) -> str:
    """Return the time between two moments in words."""
    return str(timedelta(seconds=round((ended - begun).total_seconds())))


def view(snapshot: Snapshot) -> Group:
    """Return a snapshot as tables: states, the map's items, the job, the cost, and the end."""
    execution = snapshot.execution
    parts: list[Table | Text] = []
    if snapshot.mini_test:
        parts.append(_states(snapshot.mini_test, f"mini-test {snapshot.mini_test.execution.name}"))
    parts.append(_states(snapshot, f"run {execution.run_id or '?'}, execution {execution.name}"))
    cost = snapshot.total_cost
    took = duration(execution.started, execution.ended or snapshot.at)
    by_part = f"Lambda {cost.lambda_usd:.4f}, EMR {cost.emr_usd:.4f}"
    by_part += f", Step Functions {cost.step_functions_usd:.4f}"
    status = (execution.status, STYLES.get(execution.status, "bold red"))
    parts.append(Text.assemble(status, f"  {took}  about {cost.total:.4f} USD so far ({by_part})"))
    if execution.error:
        parts.append(Text(f"{execution.error}: {execution.cause}"))
    return Group(*parts)


def snapshot_failure(snapshot: Snapshot, out: str, again: str) -> Failure:
    """Return the failure of a run that did not succeed. ``again`` is the command that goes on with it."""
    execution = snapshot.execution
    unfinished = [visit.name for visit in snapshot.visits if visit.exited is None]
    return run_failure(
        RunFiles(execution.out or out, execution.run_id or execution.name),
        execution.error or execution.status,
        execution.cause,
        state=unfinished[-1] if unfinished else "",
        has_mini_test=snapshot.mini_test is not None,
        command=again,
    )


def _states(snapshot: Snapshot, title: str) -> Table:
    table = plain_table(title, "state", "time", "")
    table.columns[1].justify = "right"
    for visit in snapshot.visits:
        under_way = visit.exited is None and snapshot.execution.status == "RUNNING"
        notes = [attempts_text(visit)] if visit.failures else []
        if visit.name == "FilterSweeps" and snapshot.map:
            notes.append(map_text(snapshot.map))
        if visit.name == "SampleNegatives" and snapshot.job:
            notes.append(job_text(snapshot.job))
        ended = visit.exited or (snapshot.at if under_way else snapshot.execution.ended or snapshot.at)
        style = "cyan" if under_way else "green" if visit.exited else "red"
        table.add_row(f"[{style}]{visit.name}", duration(visit.entered, ended), escape("; ".join(notes)))
    return table


class _Moment(Protocol):
    """What is followed, at a moment."""

    @property
    def execution(self) -> Execution: ...

    @property
    def at(self) -> datetime: ...


_AnyMoment = TypeVar("_AnyMoment", bound=_Moment)


def _again(console: Console, take: Callable[[], _AnyMoment], every: float) -> _AnyMoment:
    """Return the next snapshot. Errors of the network are printed and do not end the watching."""
    while True:
        time.sleep(every)
        try:
            return take()
        except TransientError as error:
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)


def follow(console: Console, take: Callable[[], Snapshot], every: float) -> Snapshot:
    """Show a run until it has ended, live on a terminal and in plain lines elsewhere.

    Parameters
    ----------
    console : rich.console.Console
        The console.
    take : callable
        Returns the next snapshot.
    every : float
        Seconds between snapshots.

    Returns
    -------
    Snapshot
        The last one.
    """
    return follow_as(console, take, every, view, _lines)


def _lines(before: Snapshot | None, now: Snapshot) -> Iterator[str]:
    cost = f" (about {now.total_cost.total:.4f} USD so far)"
    for line in changes(before, now):
        yield f"{line}{cost if 'map:' in line or 'job' in line else ''}"


def follow_as(
    console: Console,
    take: Callable[[], _AnyMoment],
    every: float,
    view: Callable[[_AnyMoment], RenderableType],
    lines: Callable[[_AnyMoment | None, _AnyMoment], Iterable[str]],
) -> _AnyMoment:
    """Show an execution until it has ended, by a view on a terminal and by lines of changes elsewhere."""
    snapshot = take()
    if console.is_terminal and not console.quiet:
        with Live(view(snapshot), console=console, refresh_per_second=2, vertical_overflow="visible") as live:
            while snapshot.execution.status == "RUNNING":
                snapshot = _again(console, take, every)
                live.update(view(snapshot))
        return snapshot
    before = None
    while True:
        for line in lines(before, snapshot):
            console.print(f"{snapshot.at:%H:%M:%S} {line}", markup=False, highlight=False, soft_wrap=True)
        if snapshot.execution.status != "RUNNING":
            return snapshot
        before, snapshot = snapshot, _again(console, take, every)
