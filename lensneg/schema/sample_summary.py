"""sample/summary.json: what the Spark job says of its work; job.json: how the job run ended."""

from collections.abc import Mapping
from typing import Any, Self

from lensneg.errors import RunStateError
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import DrawKey
from lensneg.schema.record import Record


class DrawnRows(Record):
    """What was drawn from a stratum and pool: ``rows`` sources, up to ``last_priority``."""

    nobs_z_bin: str
    type_bin: str
    pool: str
    rows: int
    last_priority: int

    @property
    def key(self) -> DrawKey:
        """The stratum and pool."""
        return DrawKey(self.nobs_z_bin, self.type_bin, self.pool)


class SampleSummary(Record):
    """What the Spark job drew, and what it took.

    Attributes
    ----------
    negatives : int
        Rows drawn.
    candidates : int
        Rows of the pool below the thresholds.
    duplicate_targetids : int
        Rows of the pool that repeat a TARGETID.
    row_groups_read, row_groups_total : int
    widened : tuple
        Strata and pools whose threshold proved too low.
    seconds : dict of str to float
        By step.
    """

    run_id: str
    spark_version: str = ""
    rows: tuple[DrawnRows, ...]
    negatives: int
    candidates: int
    duplicate_targetids: int
    row_groups_read: int | None = None
    row_groups_total: int | None = None
    widened: tuple[DrawKey, ...] = ()
    seconds: dict[str, float]

    @property
    def drawn(self) -> dict[DrawKey, DrawnRows]:
        """What was drawn, by stratum and pool."""
        return {entry.key: entry for entry in self.rows}


def read_sample_summary(files: RunFiles) -> SampleSummary | None:
    """Return what the job says of its work; None if it did not come so far.

    A job that was killed may leave a summary half written: on a local disk Spark does not write a file in
    one piece.
    """
    try:
        return SampleSummary.read(files.sample_summary)
    except (FileNotFoundError, RunStateError):
        return None


class JobRun(Record):
    """job.json: how a job run of EMR Serverless ended, and what it was billed for, where EMR says so."""

    job_run_id: str
    state: str
    state_details: str
    vcpu_hours: float | None
    memory_gb_hours: float | None
    storage_gb_hours: float | None

    @classmethod
    def of_emr(cls, described: Mapping[str, Any]) -> Self:
        """Take a job run as EMR Serverless describes it: names differ in case between its APIs."""
        told = {key.lower(): value for key, value in described.items()}
        used = {k.lower(): v for k, v in (told.get("billedresourceutilization") or {}).items()}
        return cls(
            job_run_id=str(told.get("jobrunid", "")),
            state=str(told.get("state", "")),
            state_details=str(told.get("statedetails", "")),
            vcpu_hours=used.get("vcpuhour"),
            memory_gb_hours=used.get("memorygbhour"),
            storage_gb_hours=used.get("storagegbhour"),
        )
