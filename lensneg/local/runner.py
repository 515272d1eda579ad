"""A run in this process: the state machine with the local Lambda and the local EMR Serverless."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.local.emr import LocalEmrServerless, local_submit_parameters
from lensneg.local.lambdas import Invocation, LocalLambda, map_concurrency
from lensneg.local.lock import locked
from lensneg.local.logs import log_folder
from lensneg.local.stream import Stream, StreamingLambda, scratch_folder
from lensneg.local.watcher import BestEffort, Outcome, Watcher
from lensneg.schema.item import ItemError
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest, mini_test_id

if TYPE_CHECKING:
    from lensneg.local.engine import Machine


def run_locally(
    request: RunRequest,
    workers: int,
    watcher: Watcher,
    environment: Mapping[str, str] | None = None,
    stream: Stream | None = None,
) -> Outcome:
    """Execute the state machine for a request.

    Parameters
    ----------
    request : RunRequest
        Its output must be a local folder, as tables stay on disk.
    workers : int
        Processes of the map, and cores of the Spark job.
    watcher : Watcher
    environment : mapping of str to str, optional
        The environment of the worker processes; by default that of this process.
    stream : Stream, optional
        How sweep files on a web server are fetched.

    Raises
    ------
    InputError
        If another process works on the run.
    """
    files = RunFiles(request.out, request.run_id)
    at_once = map_concurrency(workers) if stream is None else stream.at_once
    request = request.model_copy(update={"max_concurrency": at_once})
    data = request.model_dump(mode="json", exclude_none=True)
    runs = [files]
    if request.mode == "test-then-full":
        runs.append(RunFiles(request.out, mini_test_id(request.run_id)))
    logs = log_folder(files)
    with locked(*runs):
        for run in runs:
            storage.remove_temporary_files(run.root)
            storage.remove_temporary_files(run.manifest_folder)
        scratch = scratch_folder(files)
        streamed = stream and (stream, scratch)
        with machine(workers, logs, watcher, environment, streamed, files.root) as state_machine:
            ended = state_machine.execute(request.run_id, data)
    error, cause = ended.get("error", ""), ended.get("cause", "")
    return Outcome(ended["status"], error, cause, files, str(logs), ended["state"])


@contextmanager
def machine(
    workers: int,
    log_folder: Path,
    watcher: Watcher,
    environment: Mapping[str, str] | None = None,
    stream: tuple[Stream, Path] | None = None,
    root: str = "",
) -> Iterator["Machine"]:
    """Set up the state machine with the local Lambda and EMR, and end all their processes at the end.

    ``stream`` says how sweep files on a web server are fetched, and to which folder. ``root`` is the folder
    of the run that draws last.
    """
    # An error in a task's thread would leave its state, and the run, without an end.
    watcher = BestEffort(watcher)

    def on_done(function_name: str, event: Any, invocation: Invocation) -> None:
        if function_name == "FilterSweep":
            if invocation.error is not None:
                _leave_word(event, invocation.error)
            watcher.filtered(event["root"], invocation.error is not None)
            return
        watcher.reached(function_name)
        if function_name == "Preflight" and _goes_on(invocation):
            emr.start_application(job_options(state_machine.definition))
        if function_name == "PlanFanOut" and invocation.error is None:
            watcher.planned(event["root"], invocation.result["count"])
        if function_name == "CheckSample" and event["root"] == root:
            emr.stop_application()  # Java takes a while to end

    make = LocalLambda if stream is None else partial(StreamingLambda, *stream)
    functions = make(workers, log_folder, on_done, environment=environment)
    emr = LocalEmrServerless(log_folder, watcher.draw_step)
    functions.warm_up()
    # It imports moto, which takes as long as the processes take to begin. They end with this one.
    from lensneg.local.engine import job_options, local_machine

    with local_machine(functions, emr, local_submit_parameters(workers)) as state_machine:
        try:
            yield state_machine
        finally:  # before moto stops, or a late call would go to a real account
            emr.stop()
            functions.stop()


def _goes_on(preflight: Invocation) -> bool:
    """Return whether a run goes on to the map after Preflight."""
    result = preflight.result
    return result is not None and result["gate"]["passed"] and not result["published"]


def _leave_word(event: Any, error: Mapping[str, str]) -> None:
    """Write why an item failed, for gate 2, if its function did not live to write it."""
    files, item = RunFiles.of_root(event["root"]), event["item"]["id"]
    with suppress(LensnegError):  # a full disk, for example, which other errors tell of
        ItemError(item=item, message=error["errorMessage"]).write(files.error(item), if_absent=True)
