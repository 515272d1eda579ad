"""The check that the code that runs is the code that the run was planned with."""

from collections.abc import Iterable

from lensneg.schema.check import Check
from lensneg.schema.code_version import code_version
from lensneg.schema.run import Run


def one_code(run: Run, versions: Iterable[str] = ()) -> Check:
    """Check that this code, and that of some tasks, is the code that the run was planned with.

    Parameters
    ----------
    run : Run
    versions : iterable of str
        The code versions that tasks wrote down.
    """
    planned = run.record.code.code_version
    return Check.of_faults(
        "one_code",
        sorted({code_version().code_version, *versions} - {planned}),
        expected=f"lensneg {planned}, with which the run was planned, in every task",
        found="that code",
        saying="also ",
        remedy="the code was deployed anew while the run went on: deploy the planned code again and start "
        "again with the same run id, or start a new run",
    )
