"""The config file: its schema, how it is read, and its validation.

A config file is the only source of the numbers of the science. Its name and version identify its bytes, so a
published config never changes. Its SHA-256 goes into every file that a run writes.
"""

import hashlib
import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from lensneg.schema.config_extends import EXAMPLE, merged_text, read_config
from lensneg.schema.config_types import Band, Finite, MaskBit, Section, Seed, SourceType, requires
from lensneg.schema.lens_facts import LensColumns
from lensneg.schema.pools_config import (
    HardNegativesConfig,
    MatchingConfig,
    NegativePoolsConfig,
    SuspectsConfig,
)
from lensneg.schema.record import Count, Share
from lensneg.schema.renamed_keys import RENAMED
from lensneg.schema.resources import config_path
from lensneg.schema.shipped_configs import refuse_other_content
from lensneg.schema.strict_yaml import parse_yaml
from lensneg.schema.sweep_columns import NAMED_MASKBITS

#: The order in which the split's fractions are cumulated. It is part of the split rule.
SPLIT_ORDER: Final = ("train", "val", "test")

DecRange = Annotated[
    tuple[Finite, Finite], requires(lambda r: r[0] < r[1], "the lower limit must be below the upper one")
]

FractionRange = Annotated[
    tuple[Share, Share],
    requires(lambda r: r[0] <= r[1], "the lower limit must not be above the upper one"),
]


class SweepsConfig(Section):
    """The releases of the sweeps that a run accepts, and the share of an item's rows that may be bad."""

    releases: tuple[int, ...] = Field(min_length=1)
    bad_rows_max: Share = 0.0001


class SelectionConfig(Section):
    """The cuts that a source must pass to be in the pool."""

    types: tuple[SourceType, ...] = Field(min_length=1)
    z_mag_limit: Finite
    nobs_min: dict[Band, Count]
    dereddened: bool = False
    dec_range: DecRange | None

    @field_validator("nobs_min")
    @classmethod
    def _observed_in_z(cls, value: dict[Band, int]) -> dict[Band, int]:
        if value.get("z", 0) < 1:
            raise ValueError("z: at least 1 is needed, as a source without exposures has no nobs_z bin")
        return value


class ExclusionConfig(Section):
    """What is excluded: the surroundings of known lenses, and masked sources."""

    known_lens_radius_arcsec: Annotated[float, Field(gt=0, le=3600)]
    exclude_maskbits: tuple[MaskBit, ...]

    @property
    def maskbits_value(self) -> int:
        """The excluded bits as one integer, for a bitwise AND with MASKBITS."""
        return sum(1 << NAMED_MASKBITS[name] for name in set(self.exclude_maskbits))


class PositivesConfig(Section):
    """How catalogue positions are matched to sources, and the catalogues' columns that come with them."""

    match_radius_arcsec: Annotated[float, Field(gt=0, le=60)]
    apply_cuts: bool | Literal["flag"]
    columns: LensColumns = ()


class SpectroscopicConfig(Section):
    """How spectra are merged to systems, and systems are compared with the positives."""

    radius_arcsec: Annotated[float, Field(gt=0, le=60)]


class StrataConfig(Section):
    """The bins of nobs_z and type in which negatives are drawn for positives."""

    nobs_z_bins: tuple[str, ...] = Field(min_length=1)
    types: Annotated[
        tuple[SourceType, ...],
        Field(min_length=1),
        requires(lambda types: len(set(types)) == len(types), "a type is named twice"),
    ]

    @field_validator("nobs_z_bins")
    @classmethod
    def _bins_ascend(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        expected: int | None = 1
        for label in labels:
            low, high = _bin_limits(label)
            if low != expected or (high is not None and high < low):
                raise ValueError(f"bin {label!r}: the bins must cover 1 and above without a gap")
            expected = None if high is None else high + 1
        if expected is not None:
            raise ValueError(f"the last bin must be open, e.g. '{expected}+'")
        return labels

    @property
    def bin_limits(self) -> tuple[tuple[int, int | None], ...]:
        """The inclusive limits of each bin; None for an open end."""
        return tuple(_bin_limits(label) for label in self.nobs_z_bins)


def _bin_limits(label: str) -> tuple[int, int | None]:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5})|\+)", label, re.ASCII)
    if match is None:
        raise ValueError(f"bin {label!r}: expected 'low-high' or 'low+', e.g. '3-5' or '11+'")
    return int(match[1]), int(match[2]) if match[2] else None


class SplitAllocations(Section):
    """Fractions of the sky for training, validation and test."""

    train: Share
    val: Share
    test: Share

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            raise ValueError(f"train, val and test add up to {self.train + self.val + self.test}, not 1")
        return self


class SpatialSplitsConfig(Section):
    """The split by HEALPix pixel, and the folds of what is not kept for tests.

    Rows whose circle of ``border_arcsec`` touches a pixel of another split are not drawn.
    """

    nside: Annotated[
        int, requires(lambda n: n == 128, "the manifest carries healpix_128, so the split needs nside 128")
    ]
    hash_seed: Seed
    allocations: SplitAllocations
    border_arcsec: Annotated[float, Field(ge=0, le=600)] = 0.0
    folds: Annotated[int, Field(ge=2, le=100)] | None = None


#: The checks of gate 4 that are warnings unless a config makes them critical.
Raisable = Literal["n1_n2_ratio", "split_fractions", "split_fractions_close"]


class GatesConfig(Section):
    """The tolerances of the gates.

    ``chance_sigmas`` widens the tolerance of a share; see :mod:`lensneg.schema.tolerance`. ``unmatched_max``
    is the share of negatives that may be unlike their positives in the matched columns. ``critical`` names
    the warnings of gate 4 that fail the gate. No config makes a critical check a warning.
    """

    chance_sigmas: Annotated[float, Field(ge=0, le=10)]
    matched_fraction_min: Share
    n2_fraction_range: FractionRange
    stratum_shortfall_max: Share
    n1_n2_tolerance_points: Annotated[float, Field(gt=0, le=100)]
    split_tolerance_points: Annotated[float, Field(gt=0, le=100)]
    split_warning_points: Annotated[float, Field(gt=0, le=100)]
    shortcut_auc_max: Share | None = None
    unmatched_max: Share = 0.05
    rows_found_again: Annotated[int, Field(ge=1, le=100_000)]
    critical: tuple[Raisable, ...]


class ExecutionConfig(Section):
    """The sizes of items, mini-tests and files. None of these changes a row of the manifest."""

    target_item_bytes: Annotated[int, Field(ge=1 << 20)] | None = None
    tolerated_failures: Count
    mini_test_files: Annotated[int, Field(ge=1)]
    rows_per_manifest_file: Annotated[int, Field(ge=1000)]


class Config(Section):
    """A whole config file. The comments in ``configs/negative_sampling_v1.yaml`` describe every key.

    The sections after ``execution`` may be missing. A run with a spectroscopic catalogue, with suspects or
    with hard negatives needs the section of that name.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    version: str = Field(pattern=r"^\d{1,4}\.\d{1,4}\.\d{1,4}$")
    sweeps: SweepsConfig
    selection: SelectionConfig
    exclusion: ExclusionConfig
    positives: PositivesConfig
    negative_pools: NegativePoolsConfig
    strata: StrataConfig
    spatial_splits: SpatialSplitsConfig
    gates: GatesConfig
    execution: ExecutionConfig
    spectroscopic: SpectroscopicConfig | None = None
    matching: MatchingConfig | None = None
    suspects: SuspectsConfig | None = None
    hard_negatives: HardNegativesConfig | None = None

    @classmethod
    def load(cls, uri: str) -> Self:
        """Read a config file.

        Parameters
        ----------
        uri : str
            A path, ``s3://bucket/key``, or the name of a shipped config.

        Returns
        -------
        Config
            The validated config.

        Raises
        ------
        ConfigError
            If there is no such file, or it does not fit the schema.

        Examples
        --------
        >>> Config.load("negative_sampling_v1").negative_pools.n1_n2_ratio
        (85, 15)
        """
        return cls.load_with_text(config_path(uri))[0]

    @classmethod
    def load_with_text(cls, uri: str) -> tuple[Self, str]:
        """Read a config file, and return the config and its text.

        Parameters
        ----------
        uri : str
            A path, or ``s3://bucket/key``.

        Returns
        -------
        (Config, str)
            The config, and the text that a run keeps: of a file that extends another the merged one.

        Raises
        ------
        ConfigError
            If there is no such file, it does not fit the schema, or it has the name and version of a shipped
            config and other content.
        """
        text = merged_text(read_config(uri))
        config = cls.parse(text, uri)
        refuse_other_content(config, uri)
        return config, text

    @classmethod
    def parse(cls, text: str, source: str = "config") -> Self:
        """Parse and validate the text of a config file.

        Parameters
        ----------
        text : str
            YAML.
        source : str
            The origin of the text, for error messages.

        Returns
        -------
        Config
            The validated config.

        Raises
        ------
        ConfigError
            If the text is not YAML, or a key is unknown, missing, doubled or of a wrong value. The message
            names every fault with its key, its value and what was expected.
        """
        return parse_yaml(cls, text, source, EXAMPLE, RENAMED)


def config_sha256(text: str) -> str:
    """Return the SHA-256 of a config file's text.

    Parameters
    ----------
    text : str
        The text of the file.

    Returns
    -------
    str
        64 hexadecimal digits, as ``sha256sum`` prints them for the file.
    """
    return hashlib.sha256(text.encode()).hexdigest()
