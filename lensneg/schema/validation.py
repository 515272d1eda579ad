"""validation.json: a run's verdicts and numbers for machines. Its models are its schema.

``schemas/validation.schema.json`` is made of them (``python -m lensneg.schema.validation``).
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from lensneg.schema.fan_out import Count, FanOutSummary, Share
from lensneg.schema.gate import Gate
from lensneg.schema.manifest import RowCounts, Sha256
from lensneg.schema.record import Record
from lensneg.schema.run import CodeInput

#: Counts up with each change that a reader could stumble over.
SCHEMA_VERSION: Final = 2


class PoolResult(Record):
    """What a stratum took from one pool."""

    pool: str
    available: Count
    backfill: Count = Field(description="Rows that stand in for what the other pool lacks.")
    drawn: Count


class StratumResult(Record):
    """A stratum: what it asked for and got."""

    nobs_z_bin: str
    type_bin: str
    positives: Count
    target: Count
    drawn: Count
    shortfall: Count
    pools: tuple[PoolResult, ...]


class SplitResult(Record):
    """A split's rows."""

    split: str
    expected: Share
    fraction: Share = Field(description="Of all rows.")
    negatives: Count
    positives: Count
    pixels: Count = Field(description="HEALPix pixels, nside 128, that hold rows.")


class ConfuserResult(Record):
    """A category of N2."""

    category: str
    pool: Count = Field(description="Sources in the pool.")
    drawn: Count


class SampleStatistics(Record):
    """One sample's values of a quantity."""

    rows: Count
    median: float | None


class PairStatistics(Record):
    """Two samples' values of a quantity, compared."""

    a: str
    b: str
    ks: Share = Field(description="Kolmogorov and Smirnov's D.")
    ks_chance: float = Field(description="What D exceeds by chance once in a hundred.")
    auc: Share = Field(description="Probability that a value of a is above one of b.")


class QuantityResult(Record):
    """A quantity's distribution in the samples N1, N2 and positive."""

    name: str
    label: str
    unit: str
    samples: dict[str, SampleStatistics]
    pairs: tuple[PairStatistics, ...]


class CatalogResult(Record):
    """A lens catalogue."""

    uri: str
    role: Literal["positives", "exclude"]
    sha256: Sha256
    positions: Count


class InputsResult(Record):
    """What the run was made from."""

    sweeps: Count
    sweep_rows: Count
    sweep_bytes: Count
    sweeps_sha256: Sha256 = Field(description="Of the lines 'name size etag', ordered by name.")
    catalogs: tuple[CatalogResult, ...]


class ConfigResult(Record):
    """The config."""

    name: str
    version: str
    sha256: Sha256


class ValidationRecord(Record):
    """A run of lensneg: its gates, and the numbers of its report."""

    schema_version: Literal[2] = SCHEMA_VERSION
    run_id: str
    mode: Literal["test", "full"]
    started_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    passed: bool = Field(description="Whether all four gates passed.")
    gates: tuple[Gate, ...] = Field(description="Those that the run reached, in order.")
    rows: RowCounts | None = Field(description="Null where there is no manifest that can be read.")
    splits: tuple[SplitResult, ...]
    strata: tuple[StratumResult, ...]
    confusers: tuple[ConfuserResult, ...]
    quantities: tuple[QuantityResult, ...]
    fan_out: FanOutSummary | None
    config: ConfigResult
    code: CodeInput
    inputs: InputsResult
    reproduce: tuple[str, ...] = Field(description="Commands that make the run again.")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of validation.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lensneg:validation:2",
        **ValidationRecord.model_json_schema(mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
