"""Gate 3: the job succeeded and met the quotas, and the pool files hold the rows that it drew."""

import logging
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lensneg.errors import RunStateError
from lensneg.schema.check import Check
from lensneg.schema.gate import Gate, Judged, all_passed
from lensneg.schema.layout import RunFiles
from lensneg.schema.manifest import Parts
from lensneg.schema.quotas import DrawKey, Quotas, draws_of
from lensneg.schema.run import Run, load_run
from lensneg.schema.sample_summary import JobRun, SampleSummary, read_sample_summary
from lensneg.schema.states import StateError
from lensneg.stages.check_sample.gather import (
    Draw,
    gather_negatives,
    other_pool_files,
    read_positives,
    settled_draws,
    write_part,
)
from lensneg.stages.one_code import one_code

_log = logging.getLogger(__name__)


def check_sample(root: str, job_error: StateError | None = None, job: JobRun | None = None) -> Judged:
    """Judge the draw, and write the sample that it defines: gate 3.

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
    """Check the job's summary; if it is in order, gather the sample, check it, and write it."""
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
    checks = list(_summary_checks(quotas, summary))
    if not all_passed(checks):
        others = other_pool_files(run.files, quotas)  # Spark reads an empty file as one without rows
        return [*checks, _as_summarized(others, "")] if others else checks
    for key in summary.widened:
        _log.info("%s: the threshold was too low, so the draw read all of it", key)
    draws = settled_draws(quotas, summary)
    try:
        negatives = gather_negatives(run, quotas, draws)
    except RunStateError as error:
        return [*checks, _as_summarized([str(error)], "")]
    positives = read_positives(run)
    checks += _sample_checks(quotas, draws, negatives, positives)
    if all_passed(checks):
        parts = {"negatives": negatives, "positives": positives}
        Parts(**{part: write_part(run, part, rows) for part, rows in parts.items()}).write(
            run.files.sample_written
        )
        _log.info("%d negatives and %d positives", len(negatives), len(positives))
    return checks


def _summary_checks(quotas: Quotas, summary: SampleSummary) -> Iterator[Check]:
    yield Check(
        name="summary_of_this_run",
        passed=summary.run_id == quotas.run_id,
        expected=quotas.run_id,
        actual=summary.run_id,
        remedy="two runs wrote to one folder; start again with another run id",
    )
    asked = Counter({key: pool.quota for key, pool in draws_of(quotas.strata)})
    drawn = Counter({key: entry.rows for key, entry in summary.drawn.items()})
    keys = [key for key in sorted({*asked, *drawn}) if drawn[key] != asked[key]]
    yield Check.of_faults(
        "drawn_equals_quota",
        [f"{key}: {drawn[key]:,} of {asked[key]:,}" for key in keys],
        expected="the quota of every stratum and pool",
        found=f"{summary.negatives:,} rows, as asked",
        remedy="pool files changed after they were counted; start again with another run id",
    )


def _sample_checks(
    quotas: Quotas, draws: list[Draw], negatives: pa.Table, positives: pa.Table
) -> Iterator[Check]:
    """Check that the gathered rows are those that the job counted, and that each source is there once."""
    groups = negatives.group_by(list(DrawKey._fields)).aggregate([([], "count_all")]).to_pylist()
    gathered = Counter({DrawKey(*(g[name] for name in DrawKey._fields)): g["count_all"] for g in groups})
    faults = [
        f"{draw.key}: {gathered[draw.key]:,} in the pool files, {draw.rows:,} drawn"
        for draw in draws
        if gathered[draw.key] != draw.rows
    ]
    yield _as_summarized(faults, f"{len(negatives):,} rows")
    wanted = sum(stratum.positives for stratum in quotas.strata)
    yield Check(
        name="positives_written",
        passed=len(positives) == wanted,
        expected=f"{wanted:,}",
        actual=f"{len(positives):,}",
        remedy="matched_positives.parquet does not agree with quotas.json; start again with another run id",
    )
    copies = len(negatives) - pc.count_distinct(negatives["targetid"]).as_py()
    yield Check(
        name="no_duplicates",
        passed=not copies,
        expected="no TARGETID in two rows",
        actual=f"{copies:,} rows too many" if copies else f"{len(negatives):,} sources",
        remedy="the sweep files hold a source twice, in two strata or pools: take one of them out",
    )


def _as_summarized(faults: list[str], found: str) -> Check:
    return Check.of_faults(
        "files_as_summarized",
        faults,
        expected="the pool files to hold what the job drew, by stratum and pool",
        found=found,
        remedy="pool files changed after the draw: start again with another run id",
    )
