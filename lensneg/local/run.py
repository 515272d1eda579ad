"""A run on this machine, as a call: what ``lensneg run`` and ``lensneg.run`` do."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lensneg import storage
from lensneg.errors import GateFailedError, InputError, RunStateError
from lensneg.local.run_process import run_in_process
from lensneg.local.watcher import NobodyWatches, Outcome, Watcher
from lensneg.schema.columns import PARTS
from lensneg.schema.config import Config
from lensneg.schema.gate import GATE_NAMES
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import MANIFEST_NAME, Manifest, ManifestPart, ManifestRecord, Parts
from lensneg.schema.quotas import Quotas
from lensneg.schema.request import Mode, RunRequest
from lensneg.schema.run import RunRecord

#: What a user may give as one path or as several.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def run(
    *,
    config: str | os.PathLike[str],
    sweeps: str | os.PathLike[str],
    positives: Paths,
    out: str | os.PathLike[str],
    exclude: Paths = (),
    mode: Mode = "test-then-full",
    run_id: str | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Manifest:
    """Run the whole state machine on this machine: sweeps in, audited manifest out.

    The run has a process of its own, so it may be called from a script, a notebook or a thread, and leaves
    the caller's environment, signal handlers and boto3 sessions as they are. It logs under ``lensneg``.

    Parameters
    ----------
    config : str or path-like
        The science's config.
    sweeps : str or path-like
        Folder or ``s3://`` prefix of the sweep files.
    positives : str or path-like, or a sequence of them
        Catalogues of known lenses to draw negatives for, each as ``FILE?option=value``.
    out : str or path-like
        Output folder, shared by all runs.
    exclude : str or path-like, or a sequence of them
        Further catalogues to keep clear of.
    mode : {"test-then-full", "full", "test"}
        A mini-test on a few files, everything, or one after the other.
    run_id : str, optional
        Name of the run; by default the time. The name of an unfinished run continues it.
    workers : int, optional
        Processes; by default one a core.
    watcher : Watcher, optional
        Is told how the run goes on.

    Returns
    -------
    Manifest
        The published manifest; of a mini-test, which publishes nothing, the sample that it made.

    Raises
    ------
    InputError
        If an argument is wrong.
    GateFailedError
        If a gate did not pass; it says which checks failed and what to do.
    LensnegError
        If the run itself broke; the same run id continues it.

    Examples
    --------
    >>> import lensneg
    >>> manifest = lensneg.run(  # doctest: +SKIP
    ...     config="configs/negative_sampling_v1.yaml",
    ...     sweeps="build/sky/sweeps",
    ...     positives="build/sky/positives.csv",
    ...     out="build/out",
    ... )
    >>> manifest.negatives(split="train").to_table().num_rows  # doctest: +SKIP
    3227
    """
    request = make_request(
        config=config,
        sweeps=sweeps,
        positives=positives,
        exclude=exclude,
        out=out,
        mode=mode,
        run_id=run_id,
    )
    outcome = execute(request, workers, watcher or NobodyWatches())
    if outcome.error in GATE_NAMES.values():
        raise GateFailedError(f"{outcome.error}: {outcome.cause}", where=outcome.files.root)
    if outcome.status != "SUCCEEDED":
        remedy = f"run_id={request.run_id!r} continues the run"
        what = f"{outcome.status}: {outcome.error}: {outcome.cause}"
        raise RunStateError(what, where=outcome.files.root, remedy=remedy)
    files = outcome.files
    return sample_of_mini_test(files) if mode == "test" else Manifest.open(files.manifest)


def make_request(
    *,
    config: str | os.PathLike[str],
    sweeps: str | os.PathLike[str],
    positives: Paths,
    exclude: Paths,
    out: str | os.PathLike[str],
    mode: Mode,
    run_id: str | None,
) -> RunRequest:
    """Return the request of a run; refuse at once what can be seen to be wrong. Gate 1 looks closer.

    Raises
    ------
    InputError
        Naming the option, what is wrong with it, and what to do.
    """
    request = RunRequest.of_input(
        {
            "run_id": run_id or datetime.now(UTC).strftime("run-%Y%m%dT%H%M%SZ"),
            "mode": mode,
            "config": os.fspath(config),
            "sweeps": os.fspath(sweeps),
            "positives": _texts(positives),
            "exclude": _texts(exclude),
            "out": os.fspath(out),
        }
    )
    _check(request)
    return request


def _texts(paths: Paths) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]


def _check(request: RunRequest) -> None:
    try:
        Config.load(request.config)
    except InputError as error:
        raise type(error)(error.what, where=f"--config {error.where}", remedy=error.remedy) from error
    if storage.is_s3(request.out):
        raise InputError(
            "a run on this machine writes to a local folder",
            where=f"--out {request.out}",
            remedy="for a run in S3 deploy template.yaml and start an execution there",
        )
    if os.path.exists(request.out) and not os.path.isdir(request.out):
        remedy = "name a folder, which need not exist yet"
        raise InputError("a file", where=f"--out {request.out}", remedy=remedy)
    if not storage.is_s3(request.sweeps) and not Path(request.sweeps).is_dir():
        remedy = "lensneg mock-sky can make one to try"
        raise InputError("no such folder", where=f"--sweeps {request.sweeps}", remedy=remedy)
    for option, specs in (("--positives", request.positives), ("--exclude", request.exclude)):
        for spec in specs:
            if not storage.exists(spec.uri):
                raise InputError("no such file", where=f"{option} {spec.uri}", remedy="check the path")


def execute(request: RunRequest, workers: int | None, watcher: Watcher) -> Outcome:
    """Execute the state machine for a request, with as many workers as there are cores by default."""
    return run_in_process(request, workers or cores(), watcher)


def cores() -> int:
    """Return the cores that this process may use: on a cluster node, often not all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sample_of_mini_test(files: RunFiles) -> Manifest:
    """Return what a mini-test drew, as a manifest that is not published."""
    parts = {part: _below(part, Parts.read(files.audited).part(part)) for part in PARTS}
    record = ManifestRecord.of(RunRecord.read(files.run), Parts(**parts), Quotas.read(files.quotas).strata)
    return Manifest(storage.join(files.sample_folder, MANIFEST_NAME), record)


def _below(part: str, listed: ManifestPart) -> ManifestPart:
    named = [file.model_copy(update={"name": f"{part}/{file.name}"}) for file in listed.files]
    return listed.model_copy(update={"files": tuple(named)})
