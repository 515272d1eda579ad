"""A whole run on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lensneg import storage
from lensneg.local.emr import LocalEmrServerless, local_submit_parameters
from lensneg.local.engine import Machine, local_machine
from lensneg.local.lambdas import Invocation, LocalLambda, map_concurrency
from lensneg.local.lock import locked
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest, mini_test_id


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

    def refresh(self) -> None:
        """Be called several times a second."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the execution's status, and, where it failed, its error and cause."""

    status: str
    error: str
    cause: str
    files: RunFiles


def run_locally(request: RunRequest, workers: int, watcher: Watcher) -> Outcome:
    """Execute the state machine for a request, on this machine.

    Parameters
    ----------
    request : RunRequest
        Its output prefix must be a local folder: tables stay on disk.
    workers : int
        Processes of the map, and cores of the Spark job.
    watcher : Watcher

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        If another process is at work on the run.
    """
    files = RunFiles(request.out, request.run_id)
    request = request.model_copy(update={"max_concurrency": map_concurrency(workers)})
    data = request.model_dump(mode="json", exclude_none=True)
    runs = [files]
    if request.mode == "test-then-full":
        runs.append(RunFiles(request.out, mini_test_id(request.run_id)))
    with locked(*runs):
        for run in runs:
            storage.remove_temporary_files(run.root)
            storage.remove_temporary_files(run.manifest_folder)
        return _execute(request, data, files, workers, watcher)


def _execute(
    request: RunRequest, data: dict[str, Any], files: RunFiles, workers: int, watcher: Watcher
) -> Outcome:
    with machine(workers, Path(files.root) / "logs", watcher) as state_machine:
        execution = state_machine.execute(request.run_id, data, watcher.refresh)
    return Outcome(execution["status"], execution.get("error", ""), execution.get("cause", ""), files)


@contextmanager
def machine(workers: int, log_folder: Path, watcher: Watcher) -> Iterator[Machine]:
    """Set up the state machine with local Lambda and EMR; end all their processes at the end."""

    def on_done(function_name: str, event: Any, invocation: Invocation) -> None:
        if function_name == "FilterSweep":
            watcher.filtered(event["root"], invocation.error is not None)
            return
        watcher.reached(function_name)
        if function_name == "PlanFanOut" and invocation.error is None:
            watcher.planned(event["root"], invocation.result["count"])

    functions = LocalLambda(workers, log_folder, on_done)
    emr = LocalEmrServerless(log_folder, watcher.draw_step)
    with local_machine(functions, emr, local_submit_parameters(workers)) as state_machine:
        try:
            functions.warm_up()
            yield state_machine
        finally:  # within the mock, so that nothing that is still on its way reaches a real account
            emr.stop()
            functions.stop()
