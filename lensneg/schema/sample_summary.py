"""The files of the Spark job: draw/summary.json, its results, and job.json, how its job run ended."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

from pydantic import Field

from lensneg.errors import RunStateError
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import DrawKey
from lensneg.schema.record import Record


class DrawnRows(Record):
    """The sources of a draw: their number, also by split, and the highest priority."""

    nobs_z_bin: str
    type_bin: str
    draw: str
    rows: int
    splits: dict[str, int]
    last_priority: int

    @property
    def key(self) -> DrawKey:
        """The stratum and the draw."""
        return DrawKey(self.nobs_z_bin, self.type_bin, self.draw)


class DrawnPart(Record):
    """A Parquet file of drawn rows: its path below draw/, and the number of its rows."""

    name: Annotated[str, Field(pattern=r"^negatives/[A-Za-z0-9_.=-]+$")]
    rows: int


class SampleSummary(Record):
    """The file draw/summary.json: what the Spark job wrote, and the time that it took.

    Attributes
    ----------
    rows : tuple of DrawnRows
        By stratum and draw.
    negatives : int
        Rows drawn.
    candidates : int
        Rows of the pool that may be drawn, which tasks ranked.
    duplicate_targetids : int
        Rows of the pool that repeat a TARGETID.
    row_groups_read, row_groups_total : int or None
        Row groups of the pool files.
    widened : tuple of DrawKey
        Draws whose ranges held too few rows at first.
    parts : tuple of DrawnPart
        The files of the rows, in the manifest's order.
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
    parts: tuple[DrawnPart, ...] = ()
    seconds: dict[str, float]

    @property
    def drawn(self) -> dict[DrawKey, DrawnRows]:
        """The sources drawn, by stratum and draw."""
        return {entry.key: entry for entry in self.rows}


def read_sample_summary(files: RunFiles) -> SampleSummary | None:
    """Return the summary of the Spark job.

    On a local disk Spark does not write a file in one piece, so a job that was killed may leave a part of it.

    Parameters
    ----------
    files : RunFiles
        The run.

    Returns
    -------
    SampleSummary or None
        None if there is no summary, or only a part of it.
    """
    with suppress(RunStateError):
        return SampleSummary.read_if_there(files.sample_summary)
    return None


class JobRun(Record):
    """The file job.json: how a job run of EMR Serverless ended, and what was billed where that is known."""

    job_run_id: str
    state: str
    state_details: str
    vcpu_hours: float | None
    memory_gb_hours: float | None
    storage_gb_hours: float | None

    @classmethod
    def of_emr(cls, described: Mapping[str, Any]) -> Self:
        """Return a job run from its description by EMR Serverless.

        Parameters
        ----------
        described : mapping
            The description. The case of its names differs between the service's APIs.

        Returns
        -------
        JobRun
            The job run, with empty text and None for what is missing.
        """
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
