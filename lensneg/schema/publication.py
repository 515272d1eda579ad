"""The small files of a publication: what is the latest, which mini-tests passed, what was set aside."""

from datetime import UTC, datetime

from lensneg.schema.check import Check
from lensneg.schema.record import Record


class Latest(Record):
    """latest.json: the run that was published last."""

    run_id: str
    manifest: str
    config_sha256: str
    started_at: str
    published_at: str


class MiniTestRecord(Record):
    """minitests/<config>-<code>.json: a mini-test that passed."""

    run_id: str
    config_sha256: str
    code_version: str
    passed_at: str


class ConfigVersion(Record):
    """configs/<name>-<version>.json: the content that a config's name and version stand for."""

    config_sha256: str
    run_id: str


class QuarantineRecord(Record):
    """quarantine.json: why a run was set aside, and where its sample is."""

    run_id: str
    gate: str
    failed: tuple[Check, ...]
    sample: str
    quarantined_at: str


def utc_now() -> str:
    """Return the time, UTC, to the second, e.g. ``2026-01-02T03:04:05Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
