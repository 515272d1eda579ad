"""The numbers and checks of the plan's acceptance scripts, 7.1 and 7.2, for validation.json.

Gate 4 judges a sample, by tolerances of its own. These say what somebody finds who runs the plan's scripts.
"""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.validation import AcceptanceCheck, SampleOverview

#: The columns in which 7.1 allows no nulls.
_CRITICAL: Final = ("galaxy_id", "ra", "dec", "type", "nobs_z", "pool", "split")

#: The columns of a manifest that are needed.
NEEDED: Final = (*_CRITICAL, "type_bin", "nobs_z_bin", "git_commit")

#: 7.1's limits of the shares of N1 and of the training split, in percent, and its least number of type bins.
_N1_PERCENT: Final = (75, 95)
_TRAIN_PERCENT: Final = (65, 75)
_TYPES: Final = 4


def overview(negatives: pa.Table, started_at: str) -> SampleOverview:
    """Return the numbers and checks of a sample.

    Parameters
    ----------
    negatives : pyarrow.Table
        At least one row, with the columns in :data:`NEEDED`.
    started_at : str
        When the run started.

    Returns
    -------
    SampleOverview
        What the scripts find.
    """
    counts = {name: _counts(negatives[name]) for name in ("pool", "split", "type_bin", "nobs_z_bin")}
    found = SampleOverview(
        timestamp=started_at,
        total_rows=len(negatives),
        unique_galaxies=pc.count_distinct(negatives["galaxy_id"]).as_py(),
        pool_distribution=counts["pool"],
        split_distribution=counts["split"],
        type_distribution=counts["type_bin"],
        nobs_distribution=counts["nobs_z_bin"],
        ra_range=_range(negatives["ra"]),
        dec_range=_range(negatives["dec"]),
        git_commits=tuple(_counts(negatives["git_commit"])),
    )
    return found.model_copy(update={"acceptance_checks": tuple(_checks(negatives, found))})


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs, in alphabetic order of the values."""
    counted = values.drop_null().cast(pa.string()).value_counts().to_pylist()
    return dict(sorted((entry["values"], entry["counts"]) for entry in counted))


def _range(values: pa.ChunkedArray) -> tuple[float, float]:
    limits = pc.min_max(values).as_py()
    return limits["min"], limits["max"]


def _checks(negatives: pa.Table, found: SampleOverview) -> Iterator[AcceptanceCheck]:
    rows = len(negatives)
    for name in _CRITICAL:
        nulls = negatives[name].null_count
        yield AcceptanceCheck(name=f"null_{name}", passed=nulls == 0, found=f"{nulls:,} nulls")
    doubled = rows - (found.unique_galaxies or 0)
    yield AcceptanceCheck(name="no_duplicates", passed=doubled == 0, found=f"{doubled:,} duplicates")
    shares = (
        ("n1_n2_ratio", "N1", found.pool_distribution, _N1_PERCENT),
        ("split_ratio", "train", found.split_distribution, _TRAIN_PERCENT),
    )
    for name, value, distribution, (least, most) in shares:
        percent = 100 * (distribution or {}).get(value, 0) / rows
        yield AcceptanceCheck(name=name, passed=least < percent < most, found=f"{percent:.1f} % {value}")
    types = list(found.type_distribution or {})
    yield AcceptanceCheck(name="all_types", passed=len(types) >= _TYPES, found=", ".join(types))
    for name, limits, least, most in (
        ("ra_range", found.ra_range, 0, 360),
        ("dec_range", found.dec_range, -90, 90),
    ):
        low, high = limits or (0, 0)
        passed = least <= low and high <= most and not negatives[name.removesuffix("_range")].null_count
        yield AcceptanceCheck(name=name, passed=passed, found=f"{low:.4f} to {high:.4f}")
