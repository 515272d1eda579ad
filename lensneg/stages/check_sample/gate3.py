"""Gate 3: the job ended well and drew what it was asked for, and the pool files hold what it drew."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.check import Check, brief
from lensneg.schema.gate import Gate
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run, load_run
from lensneg.schema.sample_summary import read_sample_summary
from lensneg.stages.check_sample.gather import (
    Draw,
    gather_negatives,
    other_pool_files,
    read_positives,
    settled_draws,
    write_part,
)

#: What the draw is counted by.
_KEYS = ["nobs_z_bin", "type_bin", "pool"]


def check_sample(
    root: str, job_error: dict[str, str] | None = None, job: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Judge the draw, and write the sample that it defines: gate 3.

    Parameters
    ----------
    root : str
    job_error : dict, optional
        ``Error`` and ``Cause`` with which the job's state ended.
    job : dict, optional
        The job run as EMR Serverless describes it at its end; kept in job.json, as its bill is in it.

    Returns
    -------
    dict
        The ``gate``'s verdict.
    """
    files = RunFiles.of_root(root)
    described = (job or {}).get("JobRun", job or {})
    if described:
        storage.write_json(files.job, described)
    state = str(described.get("State", "SUCCESS"))
    checks = [
        Check(
            name="job_succeeded",
            passed=job_error is None and state == "SUCCESS",
            expected="job run SUCCESS",
            actual=f"{job_error.get('Error')}: {job_error.get('Cause')}" if job_error else state,
            hint="read the job's log (on one machine in the run's logs folder), mend what it says "
            "(a pool file that it cannot read: remove it, and the map makes it again), and start again with "
            "the same run id",
        )
    ]
    if checks[0].passed:
        checks += _draw_checks(load_run(root))
    return {"gate": Gate.of(3, checks).write(files.gate(3))}


def _draw_checks(run: Run) -> list[Check]:
    """Check the job's summary; where it is as it should be, gather the sample, check it, and write it."""
    files = run.files
    quotas = storage.read_json(files.quotas)
    summary = read_sample_summary(files)
    if summary is None:
        return [
            Check(
                name="summary_written",
                passed=False,
                expected=files.sample_summary,
                actual="no such file, or half of one",
                hint="the job ended before its last step; read its log",
            )
        ]
    checks = _summary_checks(quotas, summary)
    if not Gate.of(3, checks).passed:
        others = other_pool_files(files, quotas)  # to Spark an empty file is one without rows
        return [*checks, _as_summarized(others, "")] if others else checks
    draws = settled_draws(quotas, summary)
    try:
        negatives = gather_negatives(run, quotas, draws)
    except RunStateError as error:
        return [*checks, _as_summarized([str(error)], "")]
    positives = read_positives(run)
    checks += _sample_checks(quotas, draws, negatives, positives)
    if Gate.of(3, checks).passed:
        write_part(run, "negatives", negatives)
        write_part(run, "positives", positives)
    return checks


def _sample_checks(
    quotas: dict[str, Any], draws: list[Draw], negatives: pa.Table, positives: pa.Table
) -> list[Check]:
    """Compare the gathered rows with what the job counted, and look for a source that was drawn twice."""
    groups = negatives.group_by(_KEYS).aggregate([([], "count_all")]).to_pylist()
    gathered = {tuple(group[key] for key in _KEYS): group["count_all"] for group in groups}
    differences = [
        f"{'/'.join(draw[:3])}: {gathered.get(draw[:3], 0):,} in the pool files, {draw.rows:,} drawn"
        for draw in draws
        if gathered.get(draw[:3], 0) != draw.rows
    ]
    copies = len(negatives) - pc.count_distinct(negatives["targetid"]).as_py()
    wanted = sum(stratum["positives"] for stratum in quotas["strata"])
    return [
        _as_summarized(differences, f"{len(negatives):,} rows"),
        Check(
            name="positives_written",
            passed=len(positives) == wanted,
            expected=f"{wanted:,}",
            actual=f"{len(positives):,}",
            hint="matched_positives.parquet does not agree with quotas.json; start again with another run id",
        ),
        Check(
            name="no_duplicates",
            passed=not copies,
            expected="no TARGETID in two rows",
            actual=f"{copies:,} rows too many" if copies else f"{len(negatives):,} sources",
            hint="the sweep files hold a source twice, in two strata or pools: take one of them out",
        ),
    ]


def _as_summarized(differences: list[str], found: str) -> Check:
    return Check(
        name="files_as_summarized",
        passed=not differences,
        expected="the pool files to hold what the job drew, by stratum and pool",
        actual=brief(differences) if differences else found,
        hint="pool files changed after the draw: start again with another run id",
    )


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
            name="pool_unique",
            passed=summary["duplicate_targetids"] == 0,
            expected="no TARGETID in two rows of the pool",
            actual=f"{summary['duplicate_targetids']:,} among {summary['candidates']:,} candidates",
            hint="the sweep files hold sources twice; the first by file and row was kept",
            critical=False,
        ),
    ]
