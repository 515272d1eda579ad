"""Gate 1's checks of the code: it is what was built, the job too, and its commit is known."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Final

from lensneg.schema.check import Check
from lensneg.schema.code_version import UNKNOWN, code_version
from lensneg.schema.resources import ROOT, SPARK_JOB

#: Names the Spark job that the state machine starts, by a URI with its SHA-256. template.yaml sets it.
JOB_VARIABLE: Final = "LENSNEG_SPARK_JOB"

_REMEDY: Final = (
    "no commit holds all of the code that runs: install lensneg again, or on AWS deploy again (`make deploy`)"
)


def code_checks(environment: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Check that the code is what was built, and that it can be checked out again.

    Parameters
    ----------
    environment : mapping of str to str

    Yields
    ------
    Check
        The job is checked on AWS alone: on one machine it is a file of this code.
    """
    code = code_version()
    built = code.built_sha256
    as_built = Check(
        name="code_as_built",
        passed=built in (None, code.sha256),
        expected="the code that was built" + (f", of SHA-256 {built}" if built else ""),
        actual=f"code of SHA-256 {code.sha256}",
        where=str(ROOT),
        remedy=_REMEDY,
    )
    yield as_built
    if job := environment.get(JOB_VARIABLE):
        sha256 = hashlib.sha256(SPARK_JOB.read_bytes()).hexdigest()
        yield Check(
            name="job_as_built",
            passed=sha256 in job.split("/"),
            expected=f"a state machine that starts the Spark job of this code, of SHA-256 {sha256}",
            actual=job,
            remedy=_REMEDY,
        )
    if as_built.passed:
        yield Check(
            name="code_version_known",
            passed=code.git_commit != UNKNOWN and not code.git_commit.endswith("-dirty"),
            expected="a clean git commit",
            actual=code.git_commit,
            remedy="before a run that is meant to be published, commit your changes, and install lensneg "
            "from the checkout, or on AWS deploy it with `make deploy`, so that the run can be repeated",
            critical=False,
        )
