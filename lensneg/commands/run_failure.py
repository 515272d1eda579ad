"""The failure of a run, here or on AWS: the gate or the state that failed, and what is wrong."""

from contextlib import suppress

from lensneg import storage
from lensneg.commands.common import EXIT_BROKEN, EXIT_GATE_FAILED
from lensneg.commands.failure import Failure, Fault, failure_of, faults_of_checks
from lensneg.errors import LensnegError
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.gate import GATE_NAMES, Gate, read_gates
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import mini_test_id
from lensneg.schema.states import message_of
from lensneg.storage.errors import FULL_DISK

_GO_ON = "remove the cause, and give the command below: finished work is not done again"


def failure_code(error: str, cause: str = "") -> int:
    """Return the exit code of a run that failed with an error of the state machine.

    A full disk breaks a run, though a gate may be the first to notice it.
    """
    is_gate = error in GATE_NAMES.values() and not FULL_DISK.search(cause)
    return EXIT_GATE_FAILED if is_gate else EXIT_BROKEN


def run_failure(
    files: RunFiles,
    error: str,
    cause: str,
    *,
    state: str = "",
    has_mini_test: bool = False,
    command: str = "",
    logs: str = "",
) -> Failure:
    """Return the failure of a run that did not succeed.

    Parameters
    ----------
    files : RunFiles
        The run.
    error, cause : str
        Those of its execution.
    state : str
        The last state that it entered.
    has_mini_test : bool
        Whether the run made a mini-test first. Gate 1 fails because of one that failed.
    command : str
        The command that goes on.
    logs : str
        The folder of its logs.

    Returns
    -------
    Failure
        Of the mini-test, if that failed.
    """
    of, gate = f"run {files.run_id}", _failed_gate(files) if error in GATE_NAMES.values() else None
    if has_mini_test and error == GATE_NAMES[1]:
        test = RunFiles(files.out, mini_test_id(files.run_id))
        own, failed = _failed_gate(test), gate.failed if gate else []
        if own is not None or [check.name for check in failed] == ["mini_test_passed"]:
            of, files, gate = f"the mini-test {test.run_id}", test, own or gate
    code = failure_code(error, cause)
    if gate is None:
        fault = Fault(
            f"{files.root}, state {state}" if state else files.root,
            message_of(cause) or "it ended without a word",
            _GO_ON,
        )
        what = f"{error} of {of}"
        return failure_of([fault], code, what=what, command=command, details=[logs, files.root])
    faults, number = _faults(files, gate), {name: n for n, name in GATE_NAMES.items()}[gate.gate]
    details = [uri for uri in (files.gate(number), files.report, logs) if uri]
    details = [uri for uri in details if uri == logs or _is_there(uri)]
    return failure_of(faults, code, what=f"{gate.gate} of {of}", command=command, details=details)


def _failed_gate(files: RunFiles) -> Gate | None:
    """Return the gate that a run failed, as far as its files can be read."""
    with suppress(LensnegError):
        return next((gate for gate in read_gates(files) if not gate.passed), None)
    return None


def _is_there(uri: str) -> bool:
    with suppress(LensnegError):
        return storage.exists(uri)
    return False


def _faults(files: RunFiles, gate: Gate) -> list[Fault]:
    """Return the faults of a gate. Items of the map that failed have one each."""
    faults = []
    for check in gate.failed:
        found = FanOutSummary.read_if_there(files.summary) if check.name == "items_done" else None
        if found and found.missing:
            faults += [Fault(f"item {item}", why, check.remedy) for item, why in found.missing.items()]
        else:
            faults += faults_of_checks([check])
    return faults
