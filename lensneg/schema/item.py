"""A map item, and what became of its rows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from lensneg.schema.pool import RowGroup
from lensneg.schema.run import Record


class Item(Record):
    """A map item: some rows of a sweep file."""

    id: str
    sweep: str
    size: int
    etag: str
    first_row: int
    n_rows: int
    n_bytes: int


class StratumCount(BaseModel):
    """Rows of the pool in one stratum and pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nobs_z_bin: str
    type_bin: str
    pool: str
    rows: int


class ItemStats(BaseModel):
    """stats/<item>.json: what became of an item's rows, and of which code and config it is the work."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: Item
    config_sha256: str
    code_version: str
    rows_in: int
    rows_kept: int
    cut: dict[str, int]
    counts: tuple[StratumCount, ...]
    confusers: dict[str, int]
    candidate_matches: int
    row_groups: tuple[RowGroup, ...]
    bytes_read: int
    pool_bytes: int
    positives_bytes: int
    seconds: float
