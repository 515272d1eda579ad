"""The small files of a publication: the latest run, passed mini-tests, config versions, quarantined runs."""

from datetime import UTC, datetime
from typing import ClassVar

from lensneg.schema.check import Check
from lensneg.schema.record import Record


class Latest(Record):
    """The file latest.json: the run that was published last, or that a rollback went back to.

    Attributes
    ----------
    manifest : str
        Its manifest.json, below the output folder.
    rolled_back : bool
        Whether a rollback wrote it. No run that had been started by then takes its place by being started
        again.
    """

    damaged_remedy: ClassVar[str] = "lensneg rollback OUT RUN_ID writes it anew"

    run_id: str
    manifest: str
    config_sha256: str
    started_at: str
    published_at: str
    rolled_back: bool = False

    def yields_to(self, started_at: str) -> bool:
        """Return whether a published run of this start that is started again takes its place.

        Parameters
        ----------
        started_at : str
            The first start of the run.

        Returns
        -------
        bool
        """
        return self.started_at < started_at and not (self.rolled_back and started_at <= self.published_at)


class MiniTestRecord(Record):
    """The file minitests/<config>-<code>.json: a mini-test that passed, and what it passed with."""

    run_id: str
    config_sha256: str
    code_version: str
    inputs_sha256: str
    passed_at: str


class ConfigVersion(Record):
    """The file configs/<name>-<version>.json: the content of a config that was published."""

    config_sha256: str
    run_id: str


class QuarantineRecord(Record):
    """The file quarantine.json: why a run was not published. ``sample`` is below the run's folder."""

    run_id: str
    gate: str
    failed: tuple[Check, ...]
    sample: str
    quarantined_at: str


def utc_now() -> str:
    """Return the current time in UTC, to the second.

    Returns
    -------
    str
        For example ``2026-01-02T03:04:05Z``.
    """
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
