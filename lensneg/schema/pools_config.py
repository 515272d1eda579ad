"""The sections of a config file that say what the pools hold, and how the draw chooses from them."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from lensneg.schema.config_types import (
    Finite,
    FitBit,
    MaskBit,
    NonNegative,
    Section,
    Seed,
    SourceType,
    requires,
)
from lensneg.schema.record import Count, Share
from lensneg.schema.sweep_columns import FITBITS, NAMED_MASKBITS


class PoolN1Config(Section):
    """Pool N1: the galaxies that a deployed finder sees.

    With the ``population`` ``not_n2``, N1 is what meets no criterion of N2. With ``all``, it is drawn from
    all galaxies. ``unmatched_share`` is the share of N1 that is drawn without regard to ``matching``.
    """

    galaxy_types: tuple[SourceType, ...] = Field(min_length=1)
    population: Literal["not_n2", "all"] = "not_n2"
    unmatched_share: Share = 0.0


class RingProxy(Section):
    """Early types, whose smooth light a ring around a lens resembles."""

    types: tuple[SourceType, ...]
    sersic_types: tuple[SourceType, ...]
    sersic_min: NonNegative
    flux_r_min: Finite


class EdgeOnProxy(Section):
    """Edge-on disks, which look like arcs."""

    types: tuple[SourceType, ...]
    ellipticity_min: Share
    shape_r_min: NonNegative


class BlueClumpy(Section):
    """Blue, bright galaxies, whose clumps look like lensed images."""

    g_minus_r_max: Finite
    r_mag_max: Finite


class LargeGalaxy(Section):
    """Large galaxies, whose arms look like arcs."""

    shape_r_min: NonNegative
    flux_r_min: Finite


class DiskProxy(Section):
    """Disks of a resolved size, whose spiral arms look like arcs."""

    types: tuple[SourceType, ...]
    sersic_types: tuple[SourceType, ...]
    sersic_max: NonNegative
    shape_r_min: NonNegative


class MergerProxy(Section):
    """Large galaxies with much of another source's light in their profile: pairs, mergers, tidal tails."""

    fracflux_r_min: NonNegative
    shape_r_min: NonNegative


class BlendProxy(Section):
    """Sources with light of neighbours in their profile, which lie where lensed images would."""

    fracflux_r_min: NonNegative
    fitbits: tuple[FitBit, ...]

    @property
    def fitbits_value(self) -> int:
        """The bits as one integer, for a bitwise AND with FITBITS."""
        return sum(1 << FITBITS[name] for name in set(self.fitbits))


class ResidualProxy(Section):
    """Well measured sources that the fitted model does not describe: arms, rings, shells, dust."""

    rchisq_r_min: NonNegative
    snr_r_min: NonNegative


class ArtefactProxy(Section):
    """Sources at saturated pixels, whose spikes and halos look like arcs."""

    maskbits: tuple[MaskBit, ...]

    @property
    def maskbits_value(self) -> int:
        """The bits as one integer, for a bitwise AND with MASKBITS."""
        return sum(1 << NAMED_MASKBITS[name] for name in set(self.maskbits))


class TractorCriteria(Section):
    """The criteria of hard confusers. The first that holds, in this order, gives the category."""

    ring_proxy: RingProxy
    edge_on_proxy: EdgeOnProxy
    blue_clumpy_proxy: BlueClumpy
    large_galaxy_proxy: LargeGalaxy
    disk_proxy: DiskProxy | None = None
    merger_proxy: MergerProxy | None = None
    blend_proxy: BlendProxy | None = None
    residual_proxy: ResidualProxy | None = None
    artefact_proxy: ArtefactProxy | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, value: Any) -> Any:
        # The order decides which criterion is the first that holds, so a file must not show another one.
        expected = list(cls.model_fields)
        known = [key for key in value if key in expected] if isinstance(value, dict) else []
        if known != sorted(known, key=expected.index):
            raise ValueError(f"the criteria are tried in the order {', '.join(expected)}: write them so")
        return value

    @property
    def categories(self) -> tuple[str, ...]:
        """The confuser categories that the config has a criterion of, in order."""
        keys = zip(type(self).model_fields, CONFUSER_CATEGORIES, strict=True)
        return tuple(category for key, category in keys if getattr(self, key) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a sweep that these criteria need, and that no other config does."""
        fraction = self.merger_proxy is not None or self.blend_proxy is not None
        residual = self.residual_proxy is not None
        return ("FRACFLUX_R",) * fraction + ("RCHISQ_R", "FLUX_IVAR_R") * residual


#: Columns of the manifest that negatives can be matched in.
MatchedColumn = Literal[
    "mag_g",
    "mag_r",
    "mag_z",
    "g_minus_r",
    "r_minus_z",
    "psfsize_g",
    "psfsize_r",
    "psfsize_z",
    "psfdepth_g",
    "psfdepth_r",
    "psfdepth_z",
    "galdepth_g",
    "galdepth_r",
    "galdepth_z",
    "ebv",
    "shape_r",
]

#: The confuser categories in a manifest, in the order in which the criteria are tried. The place of each is
#: its bit in ``confuser_flags``, so a new one comes last.
CONFUSER_CATEGORIES: Final = (
    "ring_proxy",
    "edge_on_proxy",
    "blue_clumpy",
    "large_galaxy",
    "disk_proxy",
    "merger_proxy",
    "blend_proxy",
    "residual_proxy",
    "artefact_proxy",
)

#: The bit of ``confuser_flags`` that is set where a row is a hard negative of a catalogue.
EXTERNAL_BIT: Final = 30

#: What the confuser category of a hard negative of a catalogue begins with.
EXTERNAL: Final = "external:"


class PoolN2Config(Section):
    """Pool N2: hard confusers.

    ``category_shares`` are the shares of N2 that categories get, where they have enough.
    """

    tractor_criteria: TractorCriteria
    category_shares: dict[str, Share] = Field(default_factory=dict)


class NegativePoolsConfig(Section):
    """The two pools of negatives, and how many are drawn from each."""

    seed: Seed
    neg_pos_ratio: Annotated[int, Field(ge=1)]
    n1_n2_ratio: Annotated[tuple[Count, Count], requires(any, "both parts are 0")]
    backfill: bool
    pool_n1: PoolN1Config
    pool_n2: PoolN2Config


class MatchingConfig(Section):
    """The columns in which the negatives of a stratum are distributed as its positives are.

    ``bins`` gives, for each column of the manifest, the number of bins that hold equally many positives. A
    stratum with fewer than ``positives_per_cell`` for each cell has fewer bins: the last columns lose theirs
    first, so the first one matters most.
    """

    bins: Annotated[dict[MatchedColumn, Annotated[int, Field(ge=1, le=32)]], Field(min_length=1)]
    positives_per_cell: Annotated[int, Field(ge=1)]


class SuspectsConfig(Section):
    """Sources that may be lenses, which are never drawn.

    ``radius_arcsec`` is that around a suspect's position. ``lens_rate`` is the expected share of lenses in
    the pool; the report uses it.
    """

    radius_arcsec: Annotated[float, Field(gt=0, le=3600)]
    lens_rate: Share | None = None


class HardNegativesConfig(Section):
    """Sources that are known to be confusers, from catalogues of hard negatives.

    ``match_radius_arcsec`` is that around a position. They are drawn first, up to ``share`` of N2.
    """

    match_radius_arcsec: Annotated[float, Field(gt=0, le=60)]
    share: Share
