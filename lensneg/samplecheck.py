"""Gate 3: the Spark job ended well, and its summary agrees with what it was asked for."""

from __future__ import annotations

from typing import Any

from lensneg import storage
from lensneg.gates import Check, Gate, brief
from lensneg.run import RunFiles


def check_sample(root: str, job_error: dict[str, str] | None = None) -> dict[str, Any]:
    """Judge the draw: gate 3.

    Parameters
    ----------
    root : str
        The run's folder.
    job_error : dict, optional
        ``Error`` and ``Cause`` with which the job's state ended.

    Returns
    -------
    dict
        The ``gate``'s verdict.
    """
    files = RunFiles.of_root(root)
    checks = [
        Check(
            name="job_succeeded",
            passed=job_error is None,
            expected="job run SUCCESS",
            actual=f"{job_error.get('Error')}: {job_error.get('Cause')}" if job_error else "SUCCESS",
            hint="read the job's log (on one machine in the run's logs folder), mend what it says, and "
            "start again with the same run id",
        )
    ]
    if job_error is None:
        quotas = storage.read_json(files.quotas)
        try:
            checks += _summary_checks(quotas, storage.read_json(files.sample_summary))
        except FileNotFoundError:
            checks.append(
                Check(
                    name="summary_written",
                    passed=False,
                    expected=files.sample_summary,
                    actual="no such file",
                    hint="the job ended before its last step; read its log",
                )
            )
    return {"gate": Gate.of(3, checks).write(files.gate(3))}


def _summary_checks(quotas: dict[str, Any], summary: dict[str, Any]) -> list[Check]:
    asked = {
        (stratum["nobs_z_bin"], stratum["type_bin"], pool["pool"]): pool["quota"]
        for stratum in quotas["strata"]
        for pool in stratum["pools"]
        if pool["quota"]
    }
    drawn = {(r["nobs_z_bin"], r["type_bin"], r["pool"]): r["rows"] for r in summary["rows"]}
    differences = [
        f"{'/'.join(key)}: {drawn.get(key, 0):,} of {asked.get(key, 0):,}"
        for key in sorted({*asked, *drawn})
        if drawn.get(key, 0) != asked.get(key, 0)
    ]
    positives = sum(stratum["positives"] for stratum in quotas["strata"])
    return [
        Check(
            name="summary_of_this_run",
            passed=summary["run_id"] == quotas["run_id"],
            expected=quotas["run_id"],
            actual=summary["run_id"],
            hint="two runs wrote to one folder; start again with another run id",
        ),
        Check(
            name="drawn_equals_quota",
            passed=not differences,
            expected="the quota of every stratum and pool",
            actual=brief(differences) if differences else f"{summary['negatives']:,} rows, as asked",
            hint="pool files changed after they were counted, or hold a TARGETID twice; start again "
            "with another run id",
        ),
        Check(
            name="positives_written",
            passed=summary["positives"] == positives,
            expected=f"{positives:,}",
            actual=f"{summary['positives']:,}",
            hint="matched_positives.parquet does not agree with quotas.json; start again with another run id",
        ),
        Check(
            name="no_duplicates",
            passed=summary["duplicate_targetids"] == 0,
            expected="no TARGETID in two rows of the pool",
            actual=f"{summary['duplicate_targetids']:,} among {summary['candidates']:,} candidates",
            hint="the sweep files hold sources twice; the first by file and row was kept",
            critical=False,
        ),
    ]
