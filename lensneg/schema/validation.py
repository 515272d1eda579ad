"""The file validation.json: a run's verdicts and numbers for other programs.

``python -m lensneg.schema.validation`` prints its JSON Schema, ``schemas/validation.schema.json``.
"""

import json
from typing import Any, Literal

from pydantic import Field

from lensneg.schema.catalog_spec import Role
from lensneg.schema.fan_out import FanOutSummary
from lensneg.schema.gate import Gate
from lensneg.schema.manifest import RowCounts, Sha256
from lensneg.schema.record import Count, Record, Share, Timestamp
from lensneg.schema.run import CodeInput
from lensneg.schema.shortcuts import Shortcuts
from lensneg.schema.spectroscopy import SpectroscopicLenses


class PoolResult(Record):
    """The rows that a stratum took from one pool."""

    pool: str
    available: Count
    backfill: Count = Field(description="Rows that replace rows which are lacking elsewhere in the stratum.")
    in_place_of_other: Count = Field(0, description="Rows above the target: they replace the other pool's.")
    drawn: Count


class StratumResult(Record):
    """A stratum: its target, and what was drawn."""

    nobs_z_bin: str
    type_bin: str
    positives: Count
    target: Count
    drawn: Count
    shortfall: Count
    from_other_cells: Count = Field(
        0, description="Rows of another cell of the matched columns than the one that lacks them."
    )
    pools: tuple[PoolResult, ...]


class SplitResult(Record):
    """The rows of a split."""

    split: str
    expected: Share
    fraction: Share = Field(description="Of all rows.")
    negatives: Count
    positives: Count
    pools: dict[str, Count] = Field(default_factory=dict, description="Negatives of each pool.")
    pixels: Count = Field(description="HEALPix pixels, nside 128, that hold rows.")


class ConfuserResult(Record):
    """The sources of a confuser category of N2."""

    category: str
    pool: Count = Field(description="Sources in the pool.")
    drawn: Count


class SampleStatistics(Record):
    """Statistics of one sample's values of a quantity."""

    rows: Count
    median: float | None


class PairStatistics(Record):
    """A comparison of two samples' values of a quantity."""

    a: str
    b: str
    ks: Share = Field(description="Kolmogorov and Smirnov's D.")
    ks_chance: float = Field(description="The value that D exceeds by chance once in a hundred.")
    auc: Share = Field(description="Probability that a value of a is above one of b.")


class QuantityResult(Record):
    """A quantity's distribution in the samples N1, N2 and positive."""

    name: str
    label: str
    unit: str
    samples: dict[str, SampleStatistics]
    pairs: tuple[PairStatistics, ...]


class CatalogResult(Record):
    """A lens catalogue. ``others`` counts the lenses that are excluded, and not selected as positives."""

    uri: str
    role: Role
    sha256: Sha256
    positions: Count
    others: Count = 0


class InputsResult(Record):
    """The inputs of the run."""

    sweeps: Count
    sweep_rows: Count
    sweep_bytes: Count
    sweeps_sha256: Sha256 = Field(description="Of the lines 'name size etag', ordered by name.")
    catalogs: tuple[CatalogResult, ...]


class SpectroscopicResult(SpectroscopicLenses):
    """The spectroscopic lenses of the run."""

    negatives_near: Count | None = Field(
        description="Negatives within the exclusion radius of a spectrum. Null where there are no rows."
    )


class SuspectsResult(Record):
    """The suspects of the run, and the unknown lenses that its negatives are expected to hold."""

    entries: Count = Field(description="Entries of all catalogues of suspects that were taken.")
    cut: Count = Field(description="Sources that would be in the pool, and are at a suspect.")
    lens_rate: Share | None = Field(description="Of the config: the expected share of lenses in the pool.")
    expected_lenses: float | None = Field(
        description="In as many negatives of the pool with the suspects. Null without rows or rate."
    )
    expected_left: float | None = Field(
        description="In the negatives, if every source that was cut is a lens: at least so many. "
        "Null without rows or rate."
    )


class ConfigResult(Record):
    """The config of the run."""

    name: str
    version: str
    sha256: Sha256


class AcceptanceCheck(Record):
    """A check of the plan's acceptance script 7.1, by the name that it has there."""

    name: str
    passed: bool
    found: str


Range = tuple[float, float]


class SampleOverview(Record):
    """The negatives, as the plan's acceptance scripts describe them. Null where there are no rows."""

    timestamp: Timestamp | None = Field(None, description="When the run started, as in each row.")
    total_rows: Count | None = None
    unique_galaxies: Count | None = Field(None, description="Different values of galaxy_id.")
    pool_distribution: dict[str, Count] | None = None
    split_distribution: dict[str, Count] | None = None
    type_distribution: dict[str, Count] | None = Field(None, description="By type_bin.")
    nobs_distribution: dict[str, Count] | None = Field(None, description="By nobs_z_bin.")
    ra_range: Range | None = Field(None, description="Least and greatest, in degrees.")
    dec_range: Range | None = Field(None, description="Least and greatest, in degrees.")
    git_commits: tuple[str, ...] | None = None
    acceptance_checks: tuple[AcceptanceCheck, ...] | None = None


class ValidationRecord(SampleOverview):
    """A run of lensneg: its gates, and the numbers of its report."""

    # Increases with each change that can break a program that reads the file.
    schema_version: Literal[3] = 3
    run_id: str
    mode: Literal["test", "full"]
    started_at: Timestamp
    passed: bool = Field(description="Whether all four gates passed.")
    gates: tuple[Gate, ...] = Field(description="Those that the run reached, in order.")
    rows: RowCounts | None = Field(description="Null where there is no manifest that can be read.")
    splits: tuple[SplitResult, ...]
    strata: tuple[StratumResult, ...]
    confusers: tuple[ConfuserResult, ...]
    quantities: tuple[QuantityResult, ...]
    shortcuts: Shortcuts | None = Field(None, description="Null where there are no rows.")
    fan_out: FanOutSummary | None
    spectroscopic: SpectroscopicResult | None = Field(
        None, description="Null where the run has no spectroscopic catalogue."
    )
    suspects: SuspectsResult | None = Field(
        None, description="Null where the run has no catalogue of suspects, and its config no lens rate."
    )
    config: ConfigResult
    code: CodeInput
    inputs: InputsResult
    reproduce: tuple[str, ...] = Field(description="Commands that make the run again.")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of validation.json.

    Returns
    -------
    dict
        As JSON types.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lensneg:validation:3",
        **ValidationRecord.model_json_schema(mode="serialization"),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
