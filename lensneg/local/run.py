"""Run the state machine on this machine: ``lensneg.run``, and the work of ``lensneg run``."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from lensneg import storage
from lensneg.errors import GateFailedError, InputError, RunStateError
from lensneg.local.machine import ANOTHER_SCRATCH, look_at_machine
from lensneg.local.run_process import run_in_process
from lensneg.local.stream import DEFAULT_DISK, plan_stream
from lensneg.local.watcher import NoWatcher, Outcome, Watcher
from lensneg.schema.catalog_spec import option_of
from lensneg.schema.config import Config
from lensneg.schema.gate import GATE_NAMES
from lensneg.schema.manifest import Manifest
from lensneg.schema.manifest_places import MANIFEST_NAME
from lensneg.schema.options import Mode
from lensneg.schema.request import RunRequest, new_id
from lensneg.schema.resources import config_path
from lensneg.schema.run import RunRecord
from lensneg.stages.preflight.kinds import recognise_inputs
from lensneg.survey.items import mini_test_is_whole
from lensneg.survey.listing import look_into

_log = logging.getLogger(__name__)

#: What is said where a run makes no mini-test first, though it was asked to.
NO_MINI_TEST = "no mini-test first: it would read every sweep file, so the full run is its own test"

#: One path or several.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def run(
    *,
    config: str | os.PathLike[str],
    sweeps: str | os.PathLike[str],
    positives: Paths,
    out: str | os.PathLike[str],
    exclude: Paths = (),
    spectroscopic: Paths = (),
    suspects: Paths = (),
    hard_negatives: Paths = (),
    pz: str | os.PathLike[str] | None = None,
    leave_out: Sequence[str] = (),
    mode: Mode = "test-then-full",
    run_id: str | None = None,
    workers: int | None = None,
    stream_disk: float = DEFAULT_DISK / 1e9,
    watcher: Watcher | None = None,
) -> Manifest:
    """Run the whole state machine on this machine: sweeps in, audited manifest out.

    The run has a process of its own. It can be called from a script, a notebook or a thread, and leaves the
    caller's environment, signal handlers and boto3 sessions as they are. It logs under ``lensneg``.

    Parameters
    ----------
    config : str or path-like
        The science's config: a file, or a shipped one by its name, ``negative_sampling_v1`` for example.
    sweeps : str or path-like
        The folder or ``s3://`` prefix of the sweep files; or a ``.csv`` or ``.parquet`` table; or the
        ``https://`` address of a folder, or a ``.txt`` listing of sweep files, which are fetched one by one.
    positives : str or path-like, or a sequence of them
        Catalogues of known lenses to draw negatives for, each as ``FILE?option=value``.
    out : str or path-like
        The output folder, shared by all runs.
    exclude : str or path-like, or a sequence of them
        Further catalogues: no negative is drawn near their positions.
    spectroscopic : str or path-like, or a sequence of them
        Catalogues of spectroscopic lenses, such as that of DESI DR1. No negative is drawn near their
        positions, and the report compares them with the positives.
    suspects : str or path-like, or a sequence of them
        Catalogues of sources that may be lenses, by position or TARGETID: they are never drawn.
    hard_negatives : str or path-like, or a sequence of them
        Catalogues of known confusers, by position or TARGETID: they are drawn first, for pool N2.
    pz : str or path-like, optional
        The folder or ``s3://`` prefix of the sweep files' ``-pz`` files, for photometric redshifts.
    leave_out : sequence of str
        Names of files or folders below ``sweeps``, or patterns of them, that are no inputs.
    mode : {"test-then-full", "full", "test"}
        A mini-test on a few files, a run on all files, or both in turn.
    run_id : str, optional
        The name of the run; by default the time. The name of an unfinished run continues it.
    workers : int, optional
        The number of processes; by default one for each core, as far as the free memory goes.
    stream_disk : float, optional
        The GB that fetched sweep files may take at a time.
    watcher : Watcher, optional
        Its methods are called as the run goes on. An error of one does not stop the run.

    Returns
    -------
    Manifest
        The published manifest. A mini-test publishes nothing; then it is the mini-test's sample.

    Raises
    ------
    InputError
        If an argument is wrong.
    GateFailedError
        If a gate did not pass. The message names the checks that failed and their remedies.
    LensnegError
        If the run ended early. The same run id continues it.

    Examples
    --------
    >>> import lensneg
    >>> manifest = lensneg.run(  # doctest: +SKIP
    ...     config="negative_sampling_v1",
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
        spectroscopic=spectroscopic,
        suspects=suspects,
        hard_negatives=hard_negatives,
        pz=pz,
        leave_out=leave_out,
        out=out,
        mode=mode,
        run_id=run_id,
    )
    outcome = execute(request, workers, watcher or NoWatcher(), stream_disk)
    if outcome.error in GATE_NAMES.values():
        raise GateFailedError(f"{outcome.error}: {outcome.cause}", where=outcome.files.root)
    if outcome.status != "SUCCEEDED":
        remedy = f"run_id={request.run_id!r} continues the run"
        what = f"{outcome.status}: {outcome.error}: {outcome.cause}"
        raise RunStateError(what, where=outcome.files.root, remedy=remedy)
    files = outcome.files
    if mode != "test":
        return Manifest.open(files.manifest)
    from lensneg.stages.publish_manifest import sample_record  # imports the report page

    record = sample_record(files, RunRecord.read(files.run))
    return Manifest(storage.join(files.sample_folder, MANIFEST_NAME), record)


def make_request(
    *,
    config: str | os.PathLike[str],
    sweeps: str | os.PathLike[str],
    positives: Paths,
    exclude: Paths,
    spectroscopic: Paths = (),
    suspects: Paths = (),
    hard_negatives: Paths = (),
    pz: str | os.PathLike[str] | None = None,
    leave_out: Sequence[str] = (),
    out: str | os.PathLike[str],
    mode: Mode,
    run_id: str | None,
    tell: Callable[[str], None] = _log.info,
) -> RunRequest:
    """Return the request of a run, after a quick check of its inputs. Gate 1 checks them whole.

    Where a mini-test would read every file of a local folder, a ``test-then-full`` run is a full one.

    Parameters
    ----------
    config, sweeps : str or path-like
        As :func:`run` takes them.
    positives, exclude, spectroscopic, suspects, hard_negatives : str or path-like, or a sequence of them
        As :func:`run` takes them.
    pz : str or path-like, optional
        As :func:`run` takes it.
    leave_out : sequence of str
        As :func:`run` takes it.
    out : str or path-like
        As :func:`run` takes it.
    mode : {"test", "full", "test-then-full"}
        As :func:`run` takes it.
    run_id : str or None
        As :func:`run` takes it.
    tell : callable, optional
        Takes a line for each catalogue, which says what was recognised. By default it is logged.

    Returns
    -------
    RunRequest
        The request.

    Raises
    ------
    InputError
        If an argument or a catalogue is wrong, or an input is of a wrong kind. The message names the option,
        the fault and the remedy.
    """
    further = {"spectroscopic": spectroscopic, "suspects": suspects, "hard_negatives": hard_negatives}
    request = RunRequest.of_input(
        {
            "run_id": run_id or new_id("run"),
            "mode": mode,
            "config": config_path(os.fspath(config)),
            "sweeps": os.fspath(sweeps),
            "positives": _texts(positives),
            "exclude": _texts(exclude),
            **{role: texts for role, paths in further.items() if (texts := _texts(paths))},
            **({"pz": os.fspath(pz)} if pz is not None else {}),
            **({"leave_out": list(leave_out)} if leave_out else {}),
            "out": os.fspath(out),
        }
    )
    config_read = _check(request)
    for line in recognise_inputs(request, config_read):
        tell(line)
    if mode == "test-then-full" and not storage.is_s3(request.sweeps):
        found = look_into(request.sweeps, request.leave_out)
        if mini_test_is_whole(len(found.sweeps), config_read.execution):
            _log.info(NO_MINI_TEST)
            return request.model_copy(update={"mode": "full"})
    return request


def _texts(paths: Paths) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]


def _check(request: RunRequest) -> Config:
    try:
        config = Config.load(request.config)
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
    is_far = storage.is_s3(request.sweeps) or storage.is_http(request.sweeps)
    if not (is_far or os.path.exists(request.sweeps)):
        remedy = "lensneg mock-sky can make one to try; or name a .csv or .parquet table"
        raise InputError(
            "no such folder, and no such table", where=f"--sweeps {request.sweeps}", remedy=remedy
        )
    for role, specs in request.catalogs.items():
        for spec in specs:
            if not storage.exists(spec.uri):
                raise InputError(
                    "no such file", where=f"{option_of(role)} {spec.uri}", remedy="check the path"
                )
    return config


def execute(
    request: RunRequest,
    workers: int | None,
    watcher: Watcher,
    stream_disk: float = DEFAULT_DISK / 1e9,
    tell: Callable[[str], None] = _log.warning,
) -> Outcome:
    """Execute the state machine for a request on this machine.

    Parameters
    ----------
    request : RunRequest
        What to run.
    workers : int, optional
        Number of worker processes. By default there is one for each core that this process may use, as far
        as the free memory goes.
    watcher : Watcher
        Is told of each state and item as it starts and ends.
    stream_disk : float, optional
        The GB that fetched sweep files may take at a time.
    tell : callable, optional
        Takes a line for each thing that the run needs and this machine lacks. By default it is logged.

    Returns
    -------
    Outcome
        How the execution ended.

    Raises
    ------
    InputError
        If Spark cannot load its libraries from the scratch folder.
    """
    found = look_at_machine(out=request.out)
    if found.scratch_fault:
        raise InputError(found.scratch_fault, where="TMPDIR", remedy=ANOTHER_SCRATCH)
    workers = workers or found.workers
    for line in found.shortages(workers):
        tell(line)
    stream = plan_stream(request, int(stream_disk * 1e9))
    options: dict[str, Any] = {} if stream is None else {"stream": stream}
    return run_in_process(request, workers, watcher, **options)
