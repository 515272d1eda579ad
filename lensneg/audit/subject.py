"""What is audited, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lensneg import storage
from lensneg.schema.arrays import FloatArray
from lensneg.schema.check import Check
from lensneg.schema.config import Config


@dataclass(frozen=True)
class Promised:
    """What a manifest.json says of one of its files."""

    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True)
class Subject:
    """A manifest to audit, and what it claims to be.

    Attributes
    ----------
    config : Config
    run_columns : mapping of str to str
        What stands in each of the columns that name the run.
    files : mapping of str to tuple of str
        URIs of the Parquet files of each of :data:`PARTS`, in order.
    promised : mapping of str to Promised
        By URI; empty where nothing was promised yet.
    strata : list of dict
        As in quotas.json: positives, target, shortfall, and by pool what is available and asked.
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees of all lenses to keep clear of.
    sweeps : mapping of str to FileInfo
        The sweep files at hand, by name.
    all_at_hand : bool
        Whether the sweep files must all be there; if not, one that is missing is a warning.
    missing_catalogs : tuple of str
        Catalogues of the run that are not there: a warning.
    """

    config: Config
    run_columns: Mapping[str, str]
    files: Mapping[str, tuple[str, ...]]
    promised: Mapping[str, Promised]
    strata: list[dict[str, Any]]
    ra: FloatArray
    dec: FloatArray
    sweeps: Mapping[str, storage.FileInfo]
    all_at_hand: bool = True
    missing_catalogs: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditedFile:
    """A file of the manifest as it was audited."""

    uri: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Audit:
    """The checks, and of what bytes they were made."""

    checks: tuple[Check, ...]
    files: dict[str, list[AuditedFile]]
    content_sha256: dict[str, str]

    def record(self) -> dict[str, Any]:
        """Return the audited bytes as they stand in audited.json."""
        return {
            part: {
                "files": [
                    {"name": storage.basename(f.uri), "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256}
                    for f in files
                ],
                "content_sha256": self.content_sha256.get(part, ""),
            }
            for part, files in self.files.items()
        }
