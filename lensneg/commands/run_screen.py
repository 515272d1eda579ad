"""Views of a run in the terminal: bars while it goes on, tables at its end."""

import threading
from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from lensneg import storage
from lensneg.commands.common import plain_table
from lensneg.local.watcher import Outcome
from lensneg.page.summary import strata_table
from lensneg.schema.gate import read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest, mini_test_id
from lensneg.schema.validation import StratumResult

#: The states of a run that call a function, in order.
_FUNCTIONS: Final = (
    "Preflight",
    "PlanFanOut",
    "SummarizeFanOut",
    "CheckSample",
    "ValidateManifest",
    "PublishManifest",
    "Report",
)


class RunProgress:
    """The progress of a run: a bar for its states, each map and each draw, or plain lines without a terminal.

    Parameters
    ----------
    bars : rich.progress.Progress
        The bars of :func:`counting_bars`.
    mode : str
        The mode of the run. The bars of a mini-test that comes first have that in their titles.
    """

    def __init__(self, bars: Progress, mode: str) -> None:
        self._bars = bars
        self._phases = ["mini-test ", ""] if mode == "test-then-full" else [""]
        self._lock = threading.Lock()
        self._maps: dict[str, TaskID] = {}
        self._items: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._draw = TaskID(0)
        states = len(_FUNCTIONS) * len(self._phases)
        self._states = bars.add_task("states", total=states, note="Preflight")

    def _line(self, text: str) -> None:
        if not self._bars.console.is_terminal:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def planned(self, root: str, items: int) -> None:
        """Add a bar for a map."""
        with self._lock:
            title = f"{self._phases[len(self._maps)]}map"
            self._maps[root] = self._bars.add_task(title, total=items, note="")
            self._items[root] = items
        self._line(f"{storage.basename(root)}: {items:,} items")

    def filtered(self, root: str, failed: bool) -> None:
        """Advance a map's bar, or count a failed attempt."""
        with self._lock:
            (self._failed if failed else self._done)[root] += 1
            note = f"{self._failed[root]} failed attempts" if self._failed[root] else ""
            self._bars.update(self._maps[root], completed=self._done[root], note=note)
            done, total = self._done[root], self._items[root]
        if not failed and (done == total or done % max(1, total // 10) == 0):
            self._line(f"{storage.basename(root)}: {done:,} of {total:,} items done")

    def reached(self, state: str) -> None:
        """Count a task that has ended."""
        following = _FUNCTIONS[(_FUNCTIONS.index(state) + 1) % len(_FUNCTIONS)] if state in _FUNCTIONS else ""
        self._bars.update(self._states, advance=1, note=following)
        self._line(f"{state} done")

    def draw_step(self, step: int, steps: int, name: str) -> None:
        """Advance the draw's bar."""
        with self._lock:
            if step == 1:
                title = f"{self._phases[len(self._maps) - 1]}draw"
                self._draw = self._bars.add_task(title, total=steps, note="")
            self._bars.update(self._draw, completed=step, note=name)
        self._line(f"SampleNegatives: {name}")


def show_outcome(console: Console, request: RunRequest, outcome: Outcome) -> None:
    """Print the end of a run: the gates, the strata, and the places of its files."""
    files = outcome.files
    if request.mode == "test-then-full":
        mini_test = RunFiles(files.out, mini_test_id(files.run_id))
        _show_gates(console, f"mini-test {mini_test.run_id}", mini_test)
    _show_gates(console, f"run {files.run_id}", files)
    _show_catalogs(console, files)
    _show_strata(console, strata_table(files))
    places = {"run": files.root, "logs": outcome.logs}
    for name, uri in ({"manifest": files.manifest, "report": files.report} | places).items():
        if name in places or storage.exists(uri):
            console.print(f"{name:<9} {uri}", markup=False, highlight=False, soft_wrap=True)
    if outcome.status == "SUCCEEDED":
        verdict = "mini-test passed" if request.mode == "test" else "published"
        console.print(verdict, style="bold green")


def outcome_json(outcome: Outcome, error: str) -> dict[str, Any]:
    """Return the end of a run for ``--json``, with what failed."""
    files = outcome.files
    return {
        "run_id": files.run_id,
        "status": outcome.status,
        "error": error,
        "cause": outcome.cause,
        "gates": [gate.as_json() for gate in read_gates(files)],
        "manifest": files.manifest if storage.exists(files.manifest) else None,
        "report": files.report if storage.exists(files.report) else None,
        "run": files.root,
    }


def _show_gates(console: Console, title: str, files: RunFiles) -> None:
    table = plain_table(title, "gate", "verdict", "checks", "failed")
    for gate in read_gates(files):
        failed = [c.name + ("" if c.critical else " (warning)") for c in gate.checks if not c.passed]
        verdict = "[green]passed" if gate.passed else "[red]failed"
        table.add_row(gate.gate, verdict, str(len(gate.checks)), escape(", ".join(failed)))
    console.print(table)


def _show_catalogs(console: Console, files: RunFiles) -> None:
    """Print how each catalogue was read."""
    for gate in read_gates(files):
        for check in gate.checks:
            if check.name.startswith("catalog_readable:") and check.passed:
                console.print(check.found, markup=False, highlight=False, soft_wrap=True)


def _show_strata(console: Console, strata: tuple[StratumResult, ...]) -> None:
    if not strata:
        return
    strata = tuple(s for s in strata if s.positives or s.target) or strata  # the report shows the others, too
    rows = [(s.positives, s.target, *(pool.drawn for pool in s.pools), s.shortfall) for s in strata]
    table = plain_table("strata", "nobs_z", "type")
    table.show_footer, table.columns[0].footer = True, "all"
    headings = ("positives", "target", "N1", "N2", "shortfall")
    for heading, numbers in zip(headings, zip(*rows, strict=True), strict=True):
        table.add_column(heading, f"{sum(numbers):,}", justify="right")
    for stratum, row in zip(strata, rows, strict=True):
        table.add_row(stratum.nobs_z_bin, stratum.type_bin, *(f"{number:,}" for number in row))
    console.print(table)
