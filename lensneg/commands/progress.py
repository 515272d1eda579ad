"""Progress bars on a terminal; plain lines elsewhere."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from lensneg.commands.common import notes, say
from lensneg.schema.progress import Tell, tell_nobody
from lensneg.survey.fetch import Fetched

_Entry = TypeVar("_Entry")


class RateColumn(ProgressColumn):
    """How many are done in a second or a minute."""

    def render(self, task: Task) -> Text:
        """Return the rate in words; nothing until there is one."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:,.1f}/s" if speed >= 1 else f"{60 * speed:,.1f}/min")


def counting_bars(console: Console) -> Progress:
    """Return bars with counts, rate, time and time left. They are invisible if there is no terminal."""
    return Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal or console.quiet,
    )


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say that a step of unknown length begins. On a terminal a bar moves until it ends."""
    if not notes.is_terminal or notes.quiet:
        say(text)
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True) as bar:
        bar.add_task(text, total=None)
        yield


@contextmanager
def steps(text: str) -> Iterator[Tell]:
    """Say that work of several parts begins, and yield what is to be told how far each of them is.

    On a terminal each part has a bar with rate and time left, and a bar moves until the first one begins.
    """
    say(text)
    if not notes.is_terminal or notes.quiet:
        yield tell_nobody
        return
    with counting_bars(notes) as bars:
        tasks: dict[str, TaskID] = {}
        opening = bars.add_task("opening", total=None, note="")

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:  # whatever came before is done
                bars.update(opening, visible=False)
                for before in tasks.values():
                    bars.update(before, completed=totals[before])
                tasks[what] = bars.add_task(what, total=total, note="")
                totals[tasks[what]] = total
            bars.update(tasks[what], completed=done)

        totals: dict[TaskID, int] = {}
        yield tell
        for before, total in totals.items():
            bars.update(before, completed=total)


def counted(entries: Iterable[_Entry], total: int, text: str) -> Iterator[_Entry]:
    """Say that a step begins, and yield its entries as they come. On a terminal a bar counts them."""
    if not notes.is_terminal:
        say(text)
    with counting_bars(notes) as bars:
        task = bars.add_task(text, total=total, note="")
        for entry in entries:
            yield entry
            bars.advance(task)


def bytes_bar(console: Console) -> Progress:
    """Return bars with bytes, rate and time left. They are invisible if the output is not a terminal."""
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or console.quiet,
    )


class FetchProgress:
    """The progress of a fetch: a bar for all files and one for each that is being fetched.

    Parameters
    ----------
    bars : rich.progress.Progress
        The bars.
    files : int
        Number of files.
    """

    def __init__(self, bars: Progress, files: int) -> None:
        self._bars, self._files = bars, files
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._sizes: dict[str, int] = {}
        self._done = self._came = 0
        self._begun = time.monotonic()
        self._all = bars.add_task(f"0 of {files:,} files", total=None)

    def started(self, name: str, size: int | None) -> None:
        """Add a bar for a file."""
        with self._lock:
            self._tasks[name] = self._bars.add_task(name, total=size)
            self._sizes[name] = size or 0
            self._estimate()

    def _estimate(self) -> None:
        """Set the total of all files. Files that have not begun count with the mean size of the others."""
        mean = sum(self._sizes.values()) / max(1, len(self._sizes))
        waiting = max(0, self._files - self._done - len(self._tasks))
        self._bars.update(self._all, total=sum(self._sizes.values()) + waiting * mean)

    def advanced(self, name: str, n_bytes: int) -> None:
        """Advance a file's bar, and that of all files."""
        with self._lock:
            self._came += n_bytes
            self._bars.update(self._tasks[name], advance=n_bytes)
            self._bars.update(self._all, advance=n_bytes)

    def ended(self, result: Fetched) -> None:
        """Remove a file's bar, and count the file."""
        with self._lock:
            self._done += 1
            if result.name in self._tasks:
                self._bars.remove_task(self._tasks.pop(result.name))
            self._bars.update(self._all, description=f"{self._done:,} of {self._files:,} files")
            self._estimate()
            left = self._seconds / self._done * (self._files - self._done)
            if not self._bars.console.is_terminal:
                text = f"{self._done:,} of {self._files:,}: {result.name} {result.outcome}; {self._rate}"
                text += f", about {timedelta(seconds=round(left))} left"
                self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def _seconds(self) -> float:
        return max(1e-3, time.monotonic() - self._begun)

    @property
    def _rate(self) -> str:
        return f"{self._came / 1e6 / self._seconds:,.1f} MB/s"

    def summary(self) -> str:
        """Return the megabytes that came, the time and the rate."""
        return f"{self._came / 1e6:,.1f} MB in {timedelta(seconds=round(self._seconds))} ({self._rate})"
