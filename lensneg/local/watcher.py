"""Who is told how a run goes on, and how it ended."""

from dataclasses import dataclass
from typing import Protocol

from lensneg.schema.layout import RunFiles


class Watcher(Protocol):
    """Is told how a run goes on, from several threads."""

    def planned(self, root: str, items: int) -> None:
        """Hear how many items a map has."""

    def filtered(self, root: str, failed: bool) -> None:
        """Hear that the task of an item has ended."""

    def reached(self, state: str) -> None:
        """Hear that a task of the graph has ended."""

    def draw_step(self, step: int, steps: int, name: str) -> None:
        """Hear at which step the Spark job is."""


class NobodyWatches:
    """A watcher that looks away."""

    def planned(self, root: str, items: int) -> None:
        """Hear how many items a map has."""

    def filtered(self, root: str, failed: bool) -> None:
        """Hear that the task of an item has ended."""

    def reached(self, state: str) -> None:
        """Hear that a task of the graph has ended."""

    def draw_step(self, step: int, steps: int, name: str) -> None:
        """Hear at which step the Spark job is."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the execution's status, and, where it failed, its error and cause."""

    status: str
    error: str
    cause: str
    files: RunFiles
