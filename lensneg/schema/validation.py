"""validation.json: a run's verdicts and numbers for machines. Its models are its schema.

``schemas/validation.schema.json`` is made of them (``python -m lensneg.schema.validation``).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Counts up with each change that a reader could stumble over.
SCHEMA_VERSION: Final = 1

Count = Annotated[int, Field(ge=0)]

Share = Annotated[float, Field(ge=0, le=1)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckResult(_Part):
    """A check of a gate."""

    name: str
    passed: bool
    expected: str
    actual: str
    hint: str = Field(description="What to do where it failed.")
    critical: bool = Field(description="Whether its failure fails the gate.")


class GateResult(_Part):
    """A gate: it passed if every critical check did."""

    gate: str
    passed: bool
    checks: list[CheckResult]


class PoolResult(_Part):
    """What a stratum took from one pool."""

    pool: str
    available: Count
    backfill: Count = Field(description="Rows that stand in for what the other pool lacks.")
    drawn: Count


class StratumResult(_Part):
    """A stratum: what it asked for and got."""

    nobs_z_bin: str
    type_bin: str
    positives: Count
    target: Count
    drawn: Count
    shortfall: Count
    pools: list[PoolResult]


class SplitResult(_Part):
    """A split's rows."""

    split: str
    expected: Share
    fraction: Share = Field(description="Of all rows.")
    negatives: Count
    positives: Count
    pixels: Count = Field(description="HEALPix pixels, nside 128, that hold rows.")


class ConfuserResult(_Part):
    """A category of N2."""

    category: str
    pool: Count = Field(description="Sources in the pool.")
    drawn: Count


class SampleStatistics(_Part):
    """One sample's values of a quantity."""

    rows: Count
    median: float | None


class PairStatistics(_Part):
    """Two samples' values of a quantity, compared."""

    a: str
    b: str
    ks: Share = Field(description="Kolmogorov and Smirnov's D.")
    ks_chance: float = Field(description="What D exceeds by chance once in a hundred.")
    auc: Share = Field(description="Probability that a value of a is above one of b.")


class QuantityResult(_Part):
    """A quantity's distribution in the samples N1, N2 and positive."""

    name: str
    label: str
    unit: str
    samples: dict[str, SampleStatistics]
    pairs: list[PairStatistics]


class PositivesResult(_Part):
    """What became of the entries of the catalogues of positives."""

    entries: Count
    inside: Count = Field(description="Inside the cells of the sweep files.")
    matched: Count
    unmatched: Count
    outside_strata: Count
    failing_cuts: Count
    sources: Count = Field(description="Distinct sources that count as positives.")


class FanOutResult(_Part):
    """What the map found, added up."""

    items: Count
    items_done: Count
    missing: dict[str, str] = Field(description="Why, by item that is not done.")
    rows_in: Count
    rows_kept: Count
    cut: dict[str, Count] = Field(description="Rows by the first rule that each failed, in order.")
    n2_fraction: Share
    confusers: dict[str, Count]
    positives: PositivesResult
    bytes_read: Count
    bytes_written: Count
    task_seconds: float


class CatalogResult(_Part):
    """A lens catalogue."""

    uri: str
    role: Literal["positives", "exclude"]
    sha256: Sha256
    positions: Count


class InputsResult(_Part):
    """What the run was made from."""

    sweeps: Count
    sweep_rows: Count
    sweep_bytes: Count
    sweeps_sha256: Sha256 = Field(description="Of the lines 'name size etag', ordered by name.")
    catalogs: list[CatalogResult]


class ConfigResult(_Part):
    """The config."""

    name: str
    version: str
    sha256: Sha256


class CodeResult(_Part):
    """The code."""

    pipeline_version: str
    git_commit: str
    code_version: str


class RowCounts(_Part):
    """Rows of the two tables."""

    negatives: Count
    positives: Count


class ValidationRecord(_Part):
    """A run of lensneg: its gates, and the numbers of its report."""

    schema_version: Literal[1]
    run_id: str
    mode: Literal["test", "full"]
    started_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    passed: bool = Field(description="Whether all four gates passed.")
    gates: list[GateResult] = Field(description="Those that the run reached, in order.")
    rows: RowCounts | None = Field(description="Null where there is no manifest that can be read.")
    splits: list[SplitResult]
    strata: list[StratumResult]
    confusers: list[ConfuserResult]
    quantities: list[QuantityResult]
    fan_out: FanOutResult | None
    config: ConfigResult
    code: CodeResult
    inputs: InputsResult
    reproduce: list[str] = Field(description="Commands that make the run again.")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of validation.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lensneg:validation:1",
        **ValidationRecord.model_json_schema(mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
