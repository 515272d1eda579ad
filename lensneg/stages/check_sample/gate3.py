"""Gate 3: the job succeeded and met the quotas, and its rows are what they should be."""

import logging
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from lensneg.schema.check import Check
from lensneg.schema.columns import PARTS
from lensneg.schema.gate import Gate, Judged, all_passed
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Parts
from lensneg.schema.quotas import Quotas, draws_of
from lensneg.schema.run import Run, load_run
from lensneg.schema.sample_summary import JobRun, SampleSummary, read_sample_summary
from lensneg.schema.states import StateError
from lensneg.stages.check_sample.checked_rows import CheckedRows
from lensneg.stages.check_sample.pool_files import pool_files_counted
from lensneg.stages.check_sample.sample_files import read_positives, remove_parts, write_part
from lensneg.stages.one_code import one_code

_log = logging.getLogger(__name__)


def check_sample(root: str, job_error: StateError | None = None, job: JobRun | None = None) -> Judged:
    """Judge the draw, and write its rows in their final form: gate 3.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    job_error : StateError, optional
        The error with which the job's state ended.
    job : JobRun, optional
        The job run at its end; it is kept in job.json.

    Raises
    ------
    RunStateError
        If the run was not planned, or one of its small files is damaged.
    """
    files = RunFiles.of_root(root)
    if job is not None:
        job.write(files.job)
    checks = [_job_succeeded(job_error, job)]
    if checks[0].passed:
        run = load_run(root)
        checks.append(one_code(run))
    elif quotas := Quotas.read_if_there(files.quotas):
        pool = pool_files_counted(files, quotas)
        checks += [] if pool.passed else [pool]
    if all_passed(checks):
        checks += _draw_checks(run)
    return Gate.of(3, checks).judged(files.gate(3))


def _job_succeeded(job_error: StateError | None, job: JobRun | None) -> Check:
    state = job.state if job is not None and job.state else "SUCCESS"
    return Check(
        name="job_succeeded",
        passed=job_error is None and state == "SUCCESS",
        expected="job run SUCCESS",
        actual=str(job_error) if job_error else state,
        remedy="read the job's log (on one machine in the run's logs folder), mend what it says "
        "(a pool file that it cannot read: remove it, and the map makes it again), and start again with "
        "the same run id",
    )


def _draw_checks(run: Run) -> list[Check]:
    """Check the job's summary; if it is in order, check its rows, and write them in their final form."""
    quotas = Quotas.read(run.files.quotas)
    summary = read_sample_summary(run.files)
    if summary is None:
        return [
            Check(
                name="summary_written",
                passed=False,
                expected=run.files.sample_summary,
                actual="no such file, or half of one",
                remedy="the job ended before its last step; read its log",
            )
        ]
    checks = [*_summary_checks(quotas, summary), pool_files_counted(run.files, quotas)]
    if not all_passed(checks):
        return checks
    for key in summary.widened:
        _log.info("%s: its ranges held too few rows, so the draw read all of them", key)
    positives = read_positives(run)
    checks.append(_positives_written(quotas, positives))
    drawn = CheckedRows(run, quotas, summary)
    parts = Parts(
        negatives=write_part(run, "negatives", drawn.batches()),
        positives=write_part(run, "positives", [positives]),
    )
    checks += drawn.checks()
    if all_passed(checks):
        parts.write(run.files.sample_written)
        _log.info("%d negatives and %d positives", parts.negatives.rows, parts.positives.rows)
    else:
        for part in PARTS:
            remove_parts(run, part)
    return checks


def _summary_checks(quotas: Quotas, summary: SampleSummary) -> Iterator[Check]:
    yield Check(
        name="summary_of_this_run",
        passed=summary.run_id == quotas.run_id,
        expected=quotas.run_id,
        actual=summary.run_id,
        remedy="two runs wrote to one folder; start again with another run id",
    )
    asked = Counter({key: draw.quota for key, draw in draws_of(quotas.strata)})
    drawn = Counter({key: entry.rows for key, entry in summary.drawn.items()})
    keys = [key for key in sorted({*asked, *drawn}) if drawn[key] != asked[key]]
    yield Check.of_faults(
        "drawn_equals_quota",
        [f"{key}: {drawn[key]:,} of {asked[key]:,}" for key in keys],
        expected="the quota of every draw",
        found=f"{summary.negatives:,} rows, as asked",
        remedy="pool files changed after they were counted; start again with another run id",
    )


def _positives_written(quotas: Quotas, positives: pa.Table) -> Check:
    wanted = sum(stratum.positives for stratum in quotas.strata)
    return Check(
        name="positives_written",
        passed=len(positives) == wanted,
        expected=f"{wanted:,}",
        actual=f"{len(positives):,}",
        remedy="matched_positives.parquet does not agree with quotas.json; start again with another run id",
    )
