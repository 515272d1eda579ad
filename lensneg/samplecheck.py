"""Gate 3: the Spark job ended well, and its summary agrees with what it was asked for and what it wrote."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.audit import schema_faults
from lensneg.gates import Check, Gate, brief
from lensneg.manifest import ANNOTATED_SCHEMA, PARTS
from lensneg.run import RunFiles, read_table, write_table

#: What the draw is counted by.
_KEYS = ["nobs_z_bin", "type_bin", "pool"]


def check_sample(
    root: str, job_error: dict[str, str] | None = None, job: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Judge the draw: gate 3.

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
            hint="read the job's log (on one machine in the run's logs folder), mend what it says, and "
            "start again with the same run id",
        )
    ]
    if checks[0].passed:
        quotas = storage.read_json(files.quotas)
        try:
            summary = storage.read_json(files.sample_summary)
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
        else:
            checks += _summary_checks(quotas, summary)
            checks += _file_checks(files, summary)
    gate = Gate.of(3, checks)
    if gate.passed:
        write_alike(files)
    return {"gate": gate.write(files.gate(3))}


def write_alike(files: RunFiles) -> None:
    """Write the drawn files once more, so that equal rows have equal bytes.

    Spark lists a column's encodings in an order that changes from one process to the next, and its files
    carry no units and no descriptions. What is audited and published are the files that this leaves; to
    write them twice changes nothing. A file with other columns than the manifest's is left for gate 4.
    """
    for part in PARTS:
        for uri in files.sample_parts(part):
            table = read_table(uri)
            if not schema_faults(table.schema):
                write_table(uri, table.cast(ANNOTATED_SCHEMA))


def _file_checks(files: RunFiles, summary: dict[str, Any]) -> list[Check]:
    """Compare the summary with the files, and look for a source that was drawn twice."""
    try:
        negatives = _columns(files.sample_parts("negatives"), [*_KEYS, "targetid"])
        positives = _columns(files.sample_parts("positives"), ["targetid"])
    except (pa.ArrowException, OSError) as error:
        return [
            Check(
                name="files_as_summarized",
                passed=False,
                expected="Parquet files with the columns that strata are counted by",
                actual=str(error),
                hint="read the job's log; start again with the same run id",
            )
        ]
    groups = negatives.group_by(_KEYS).aggregate([([], "count_all")]).to_pylist()
    written = {tuple(group[key] for key in _KEYS): group["count_all"] for group in groups}
    counted = {tuple(row[key] for key in _KEYS): row["rows"] for row in summary["rows"]}
    differences = [
        f"{'/'.join(map(str, key))}: {written.get(key, 0):,} in the files, {counted.get(key, 0):,} counted"
        for key in sorted({*written, *counted})
        if written.get(key, 0) != counted.get(key, 0)
    ]
    if len(positives) != summary["positives"]:
        differences.append(
            f"positives: {len(positives):,} in the files, {summary['positives']:,} in the summary"
        )
    copies = len(negatives) - pc.count_distinct(negatives["targetid"]).as_py()
    return [
        Check(
            name="files_as_summarized",
            passed=not differences,
            expected="the files to hold what the summary counts, by stratum and pool",
            actual=brief(differences) if differences else f"{len(negatives):,} and {len(positives):,} rows",
            hint="two jobs wrote to one folder, or files were lost; start again with another run id",
        ),
        Check(
            name="no_duplicates",
            passed=not copies,
            expected="no TARGETID in two rows",
            actual=f"{copies:,} rows too many" if copies else f"{len(negatives):,} sources",
            hint="this is a fault of the draw: please report it",
        ),
    ]


def _columns(uris: list[str], names: list[str]) -> pa.Table:
    tables = [pq.ParquetFile(pa.BufferReader(storage.read_bytes(uri))).read(columns=names) for uri in uris]
    if not tables:
        raise FileNotFoundError("there are no Parquet files")
    return pa.concat_tables(tables)


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
            name="pool_unique",
            passed=summary["duplicate_targetids"] == 0,
            expected="no TARGETID in two rows of the pool",
            actual=f"{summary['duplicate_targetids']:,} among {summary['candidates']:,} candidates",
            hint="the sweep files hold sources twice; the first by file and row was kept",
            critical=False,
        ),
    ]
