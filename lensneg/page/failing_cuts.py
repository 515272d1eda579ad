"""How many positives fail the cuts of the negatives, by stratum."""

from collections import Counter
from typing import NamedTuple

import pyarrow as pa


class FailingCuts(NamedTuple):
    """The positives of a stratum that fail a cut."""

    stratum: str
    positives: int
    failing: int
    #: The cuts, each with the number of positives that fail it first.
    cuts: str


def failing_cuts(lenses: pa.Table) -> tuple[FailingCuts, ...]:
    """Count the positives that fail a cut, in each stratum that has some.

    Parameters
    ----------
    lenses : pyarrow.Table
        The positives: ``nobs_z_bin``, ``type_bin`` and ``cut``.

    Returns
    -------
    tuple of FailingCuts
        In the order of the positives.

    Examples
    --------
    >>> strata = {"nobs_z_bin": ["3-5"] * 3, "type_bin": ["DEV", "DEV", "SER"]}
    >>> failing_cuts(pa.table({**strata, "cut": ["faint", None, None]}))
    (FailingCuts(stratum='3-5/DEV', positives=2, failing=1, cuts='faint 1'),)
    """
    found: dict[str, Counter[str]] = {}
    names = ("nobs_z_bin", "type_bin", "cut")
    for bin_name, type_name, cut in zip(*(lenses[name].to_pylist() for name in names), strict=True):
        found.setdefault(f"{bin_name}/{type_name}", Counter())[cut or ""] += 1
    return tuple(
        FailingCuts(
            stratum,
            cuts.total(),
            cuts.total() - cuts[""],
            ", ".join(f"{name} {count:,}" for name, count in sorted(cuts.items()) if name),
        )
        for stratum, cuts in found.items()
        if cuts.total() > cuts[""]
    )
