"""The file fan_out.json: the numbers of all map items, added up."""

from pydantic import Field

from lensneg.schema.record import Count, Record, Share


class PositiveCounts(Record):
    """How many entries of the catalogues of positives were matched, and how many of these count."""

    entries: Count = Field(description="Entries of all catalogues of positives.")
    inside: Count = Field(description="Of these, inside the cells of the sweep files.")
    matched: Count = Field(description="Of those inside, with a source within the match radius.")
    unmatched: Count
    outside_strata: Count = Field(
        description="Of the matched, those whose source has no stratum: another type, or no exposure in z."
    )
    failing_cuts: Count = Field(
        description="Of the matched in a stratum, those whose source fails the selection. They count unless "
        "positives.apply_cuts is true."
    )
    sources: Count = Field(description="Positives: distinct sources that count.")


class HardNegativeCounts(Record):
    """How many entries of a catalogue of hard negatives have a source in the pool."""

    catalog: str = Field(description="File name of the catalogue.")
    category: str = Field(description="Confuser category of its sources.")
    entries: Count
    inside: Count = Field(description="Of these, inside the cells of the sweep files, or without a position.")
    found: Count = Field(description="Of those inside, with a source in the pool.")
    missing: dict[str, Count] = Field(
        description="The others inside, by the cut that drops their source; no source: none is near."
    )


class FanOutSummary(Record):
    """The results of the map, added up over its items."""

    items: Count
    items_done: Count
    missing: dict[str, str] = Field(description="Why, by item that is not done.")
    rows_in: Count
    rows_kept: Count
    cut: dict[str, Count] = Field(description="Rows by the first rule that each failed, in order.")
    unusable: dict[str, Count] = Field(
        default_factory=dict, description="Of the rows cut as unusable, those of each column, in order."
    )
    n2_fraction: Share
    confusers: dict[str, Count] = Field(description="Sources of the pool by category.")
    positives: PositiveCounts
    hard_negatives: tuple[HardNegativeCounts, ...] = ()
    bytes_read: Count
    bytes_written: Count
    task_seconds: float
