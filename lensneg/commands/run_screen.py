"""What a person sees of a run: bars while it goes on, tables at its end."""

import threading
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from lensneg import storage
from lensneg.local.watcher import Outcome
from lensneg.page.summary import strata_table
from lensneg.schema.gate import read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest, mini_test_id
from lensneg.schema.validation import StratumResult


class Progress:
    """A bar for each map and each draw; plain lines where the output is not a terminal.

    Parameters
    ----------
    console : rich.console.Console
    mode : str
        The request's mode; where a mini-test comes first, its bars say so.
    """

    def __init__(self, console: Console, mode: str) -> None:
        self._console = console
        self._phases = ["mini-test ", ""] if mode == "test-then-full" else [""]
        self._bars = RichProgress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._lock = threading.Lock()
        self._maps: dict[str, Any] = {}
        self._counts: dict[str, list[int]] = {}
        self._draw: Any = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def planned(self, root: str, items: int) -> None:
        """Add a bar for a map."""
        with self._lock:
            title = f"{self._phases[len(self._maps)]}map"
            self._maps[root] = self._bars.add_task(title, total=items, note="")
            self._counts[root] = [0, 0, items]
        self._line(f"{storage.basename(root)}: {items:,} items")

    def filtered(self, root: str, failed: bool) -> None:
        """Move a map's bar."""
        with self._lock:
            counts = self._counts[root]
            counts[0] += 1
            counts[1] += failed
            note = f"{counts[1]} failed attempts" if counts[1] else ""
            self._bars.update(self._maps[root], advance=0 if failed else 1, note=note)
            done, total = counts[0] - counts[1], counts[2]
        if not failed and (done == total or done % max(1, total // 10) == 0):
            self._line(f"{storage.basename(root)}: {done:,} of {total:,} items done")

    def reached(self, state: str) -> None:
        """Say that a task has ended."""
        self._line(f"{state} done")

    def draw_step(self, step: int, steps: int, name: str) -> None:
        """Move the draw's bar."""
        with self._lock:
            if step == 1:
                title = f"{self._phases[len(self._maps) - 1]}draw"
                self._draw = self._bars.add_task(title, total=steps, note="")
            self._bars.update(self._draw, completed=step, note=name)
        self._line(f"SampleNegatives: {name}")


def show_outcome(console: Console, request: RunRequest, outcome: Outcome) -> None:
    """Print how a run ended: the gates, the strata, and where things are."""
    files = outcome.files
    if request.mode == "test-then-full":
        mini_test = RunFiles(files.out, mini_test_id(files.run_id))
        _show_gates(console, f"mini-test {mini_test.run_id}", mini_test)
    _show_gates(console, f"run {files.run_id}", files)
    _show_strata(console, strata_table(files))
    paths = {
        "manifest": files.manifest,
        "report": files.report,
        "run": files.root,
        "logs": storage.join(files.root, "logs"),
    }
    for name, path in paths.items():
        if storage.exists(path) or name in ("run", "logs"):
            console.print(f"{name:<9} {path}", markup=False, highlight=False, soft_wrap=True)
    if outcome.status == "SUCCEEDED":
        verdict = "mini-test passed" if request.mode == "test" else "published"
        console.print(verdict, style="bold green")
    else:
        console.print(f"{outcome.status}: {outcome.error}", style="bold red", markup=False, highlight=False)
        console.print(outcome.cause, markup=False, highlight=False, soft_wrap=True)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return how a run ended, for a program: status, error, the gates' checks, and where things are."""
    files = outcome.files
    return {
        "run_id": files.run_id,
        "status": outcome.status,
        "error": outcome.error,
        "cause": outcome.cause,
        "gates": [gate.as_json() for gate in read_gates(files)],
        "manifest": files.manifest if storage.exists(files.manifest) else None,
        "report": files.report if storage.exists(files.report) else None,
        "run": files.root,
    }


def _show_gates(console: Console, title: str, files: RunFiles) -> None:
    table = Table(title=title, title_justify="left", show_edge=False)
    for heading in ("gate", "verdict", "checks", "failed"):
        table.add_column(heading, overflow="fold")
    for gate in read_gates(files):
        failed = [check for check in gate.checks if not check.passed]
        table.add_row(
            gate.gate,
            "[green]passed" if gate.passed else "[red]failed",
            str(len(gate.checks)),
            escape(", ".join(c.name + ("" if c.critical else " (warning)") for c in failed)),
        )
    console.print(table)


def _show_strata(console: Console, strata: tuple[StratumResult, ...]) -> None:
    if not strata:
        return
    table = Table(title="strata", title_justify="left", show_edge=False, show_footer=True)
    columns = {
        "positives": [s.positives for s in strata],
        "target": [s.target for s in strata],
        "N1": [s.pools[0].drawn for s in strata],
        "N2": [s.pools[1].drawn for s in strata],
        "shortfall": [s.shortfall for s in strata],
    }
    table.add_column("nobs_z", "all")
    table.add_column("type")
    for name, values in columns.items():
        table.add_column(name, f"{sum(values):,}", justify="right")
    for i, stratum in enumerate(strata):
        numbers = [f"{values[i]:,}" for values in columns.values()]
        table.add_row(stratum.nobs_z_bin, stratum.type_bin, *numbers)
    console.print(table)
