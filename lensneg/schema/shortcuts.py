"""The shortcut audit, as validation.json holds it."""

from typing import Literal

from pydantic import Field

from lensneg.schema.record import Count, Record, Share

#: Nuisance columns say nothing of a lens. Colours and shapes differ between lenses and other galaxies, too.
Kind = Literal["nuisance", "colours_and_shapes"]


class Auc(Record):
    """An area under the ROC curve, with its standard deviation."""

    auc: Share
    error: float


class ColumnAuc(Auc):
    """How well a column tells positives from negatives: 0.5 not at all, 1 wholly."""

    auc: float = Field(ge=0.5, le=1, description="The larger one of AUC and 1 - AUC.")
    higher: Literal["positives", "negatives"] = Field(description="Which of them have the larger values.")


class ShortcutColumn(Record):
    """How well a column tells positives from negatives. Null where no two rows can be compared."""

    name: str
    label: str
    kind: Kind
    overall: ColumnAuc | None
    within_strata: ColumnAuc | None = Field(description="Of the pairs that are in one stratum.")
    strata: dict[str, ColumnAuc] = Field(description="By bins of nobs_z and type, such as 3-5/SER.")


class CombinedAuc(Record):
    """How well a classifier of all columns of a kind tells rows apart that it was not trained with."""

    label: str
    kind: Kind
    columns: tuple[str, ...]
    overall: Auc | None
    within_strata: Auc | None = Field(description="Of the pairs that are in one stratum.")
    missing: str = Field("", description="Why there is no AUC.")


class Shortcuts(Record):
    """What tells positives from negatives."""

    positives: Count
    negatives: Count = Field(description="Those that were looked at: all, or evenly spaced ones.")
    limit: Share | None = Field(description="The config's limit of the combined AUC of the nuisance columns.")
    columns: tuple[ShortcutColumn, ...]
    combined: tuple[CombinedAuc, ...]
