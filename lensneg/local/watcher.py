"""Watchers of a run's progress, and the outcome of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lensneg.schema.layout import RunFiles


class Watcher(Protocol):
    """An object whose methods are called as a run goes on, from several threads."""

    def planned(self, root: str, items: int) -> None:
        """Handle the start of a map."""

    def filtered(self, root: str, failed: bool) -> None:
        """Handle the end of an item's task."""

    def reached(self, state: str) -> None:
        """Handle the end of another task of the graph."""

    def draw_step(self, step: int, steps: int, name: str) -> None:
        """Handle the start of a step of the Spark job."""


class NoWatcher:
    """A watcher that does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: the execution's status, and its error and cause if it failed."""

    status: str
    error: str
    cause: str
    files: RunFiles
