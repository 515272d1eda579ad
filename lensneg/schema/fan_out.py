"""The map's results, added up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PositiveCounts:
    """What became of the entries of the positives' catalogues.

    Attributes
    ----------
    entries : int
        Entries of all catalogues of positives.
    inside : int
        Of these, inside the cells of the run's sweep files.
    matched, unmatched : int
        Of those inside, with and without a source within the match radius.
    outside_strata : int
        Of the matched, those whose source has no stratum: another type, or no exposure in z.
    failing_cuts : int
        Of the matched, those whose source fails the selection; they count unless
        ``positives.apply_cuts`` says otherwise.
    sources : int
        Positives: distinct sources that have a stratum (and pass the cuts, where asked).
    """

    entries: int
    inside: int
    matched: int
    unmatched: int
    outside_strata: int
    failing_cuts: int
    sources: int
