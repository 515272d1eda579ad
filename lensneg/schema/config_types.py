"""What the sections of a config file share: their base, and the types of values."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lensneg.schema.sweep_columns import FITBITS, NAMED_MASKBITS

#: The types of galaxies. PSF and DUP are never in a pool, so a config cannot name them.
SourceType = Literal["REX", "EXP", "DEV", "SER"]

Band = Literal["g", "r", "i", "z"]

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

Finite = Annotated[float, Field(allow_inf_nan=False)]

Seed = Annotated[int, Field(ge=0, lt=2**63)]


def requires(holds: Callable[[Any], bool], otherwise: str) -> AfterValidator:
    """Return a validator of values.

    Parameters
    ----------
    holds : callable
        What must be true of a value.
    otherwise : str
        The message if it is not.

    Returns
    -------
    AfterValidator
        For pydantic.
    """

    def _check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(_check)


MaskBit = Annotated[
    str, requires(lambda name: name in NAMED_MASKBITS, f"expected one of {', '.join(NAMED_MASKBITS)}")
]

FitBit = Annotated[str, requires(lambda name: name in FITBITS, f"expected one of {', '.join(FITBITS)}")]


class Section(BaseModel):
    """A section of a config file: every key is known, and no value is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
