"""Watchers of a run's progress, and the outcome of a run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lensneg.schema.layout import RunFiles

_log = logging.getLogger(__name__)


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


class BestEffort:
    """A watcher that passes on what it is told, until that fails. Progress never stops a run.

    Parameters
    ----------
    watcher : Watcher
        The watcher that is told. After an error of it nothing more is passed on.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def __getattr__(self, name: str) -> Callable[..., None]:
        def tell(*values: Any) -> None:
            try:
                getattr(self._watcher, name)(*values)
            except Exception:
                _log.exception("the progress of the run is not shown any more")
                self._watcher = NoWatcher()

        return tell


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: the execution's status, its error and cause if it failed, logs and last state."""

    status: str
    error: str
    cause: str
    files: RunFiles
    logs: str = ""
    state: str = ""
