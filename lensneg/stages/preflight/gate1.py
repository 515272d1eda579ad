"""Gate 1: check the inputs of a run before any work is done.

A check that depends on one that failed is left out. The one that failed names the remedy.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from lensneg.errors import InputError
from lensneg.schema.check import Check
from lensneg.schema.gate import Gate, all_passed
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.states import PreflightResult, StateError
from lensneg.stages.preflight import account, code_checks, input_checks, pz_checks, run_checks
from lensneg.stages.preflight.inspection import Inspection
from lensneg.stages.preflight.map_seconds import map_seconds_of
from lensneg.stages.self_test import self_test

CheckFunction = Callable[[Inspection], Iterator[Check]]


def _map_seconds(found: Inspection) -> Callable[[int], float] | None:
    """Return the map's time as a function of its concurrency; None if the config or all sweeps are wrong."""
    if found.config is None or not found.sweeps:
        return None
    return map_seconds_of(found.sweeps, found.config, full=found.request.mode != "test")


#: The checks of each input, in order.
INPUT_CHECKS: Final[tuple[CheckFunction, ...]] = (
    input_checks.config_valid,
    lambda _found: code_checks.code_checks(),
    lambda _found: iter([self_test()]),
    input_checks.sweeps,
    pz_checks.pz_files,
    input_checks.catalogs,
    input_checks.output_writable,
    lambda found: account.account_checks(found.limits, map_seconds=_map_seconds(found)),
)

#: The checks of the run as a whole, in order. They are made if no check of the inputs failed.
RUN_CHECKS: Final[tuple[CheckFunction, ...]] = (
    run_checks.config_version_immutable,
    run_checks.run_inputs_unchanged,
    run_checks.run_not_published,
    run_checks.mini_test_passed,
)


def preflight(data: object) -> PreflightResult:
    """Check a run before it starts.

    Parameters
    ----------
    data : dict
        The execution's input; see :class:`lensneg.schema.request.RunRequest`.

    Returns
    -------
    PreflightResult
        If the gate passes, ``inventory.json`` holds the record of all inputs.
    """
    try:
        request = RunRequest.of_input(data)
    except InputError as error:
        expected = "an input with run_id, mode, config, sweeps, positives, out"
        check = Check.of_error("request", expected, error, remedy="correct the input and start again")
        return PreflightResult(
            root="", mode="", max_concurrency=1, published=False, gate=Gate.of(1, [check]).verdict
        )
    files = RunFiles(request.out, request.run_id)
    found = Inspection(request, files, account.Limits(request.max_concurrency))
    if isinstance(data, Mapping):
        with suppress(ValidationError):
            found.mini_test = StateError.model_validate(data.get("mini_test"))
    checks = _all(INPUT_CHECKS, found)
    if all_passed(checks):
        found.record = run_checks.make_record(found)
        checks += _all(RUN_CHECKS, found)
        fresh = all_passed(checks) and not found.published
        if fresh and not found.record.write(files.inventory, if_absent=True):
            # Another execution of this run id may have written it in the meantime.
            checks = [check for check in checks if check.name != "run_inputs_unchanged"]
            checks += run_checks.run_inputs_unchanged(found)
            if all_passed(checks):
                run_checks.keep_places(found)
    gate = Gate.of(1, checks)
    if found.writable:
        if gate.passed:
            files.withdraw()
        gate.write(files.gate(1))
    return PreflightResult(
        root=files.root,
        mode="test" if request.mode == "test" else "full",
        max_concurrency=found.limits.concurrency,
        max_vcpus=found.limits.vcpus,
        published=found.published,
        gate=gate.verdict,
    )


def look(request: RunRequest) -> tuple[Inspection, list[Check]]:
    """Make the checks that write nothing: of the inputs, of the config's version, and of the run id.

    Parameters
    ----------
    request : RunRequest
        The run that would start.

    Returns
    -------
    found : Inspection
        What was read.
    checks : list of Check
        The checks.
    """
    files = RunFiles(request.out, request.run_id)
    found = Inspection(request, files, account.Limits(request.max_concurrency))
    checks = _all(tuple(c for c in INPUT_CHECKS if c is not input_checks.output_writable), found)
    if all_passed(checks):
        found.record = run_checks.make_record(found)
        checks += _all((run_checks.config_version_immutable, run_checks.run_not_published), found)
    return found, checks


def _all(functions: tuple[CheckFunction, ...], found: Inspection) -> list[Check]:
    return [check for function in functions for check in function(found)]
