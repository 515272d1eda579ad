"""The numbers and checks of the plan's acceptance scripts, 7.1 and 7.2, for validation.json.

Gate 4 judges a sample, by tolerances of its own. These say what somebody finds who runs the plan's scripts.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.validation import AcceptanceCheck, SampleOverview

#: The columns in which 7.1 allows no nulls.
_CRITICAL: Final = ("galaxy_id", "ra", "dec", "type", "nobs_z", "pool", "split")

#: The columns whose values are counted.
_COUNTED: Final = ("pool", "split", "type_bin", "nobs_z_bin", "git_commit")

#: The columns of a manifest that are needed.
NEEDED: Final = tuple(dict.fromkeys((*_CRITICAL, *_COUNTED)))

#: Names of galaxies that are held at once. They end with digits; the last share has all others.
_NAMES_AT_ONCE: Final = 1 << 22
_LAST: Final = (*"0123456789", "")

#: 7.1's limits of the shares of N1 and of the training split, in percent, and its least number of type bins.
_N1_PERCENT: Final = (75, 95)
_TRAIN_PERCENT: Final = (65, 75)
_TYPES: Final = 4


def overview(read: Callable[[Sequence[str]], Iterable[pa.Table]], started_at: str) -> SampleOverview:
    """Return the numbers and checks of a sample.

    Parameters
    ----------
    read : callable
        Takes some of :data:`NEEDED`, and returns these columns of the negatives in batches. There is at least
        one row.
    started_at : str
        When the run started.

    Returns
    -------
    SampleOverview
        What the scripts find.
    """
    rows, nulls, limits = 0, Counter[str](), dict[str, tuple[float, float]]()
    counts = {name: Counter[str]() for name in _COUNTED}
    for table in read(NEEDED):
        rows += len(table)
        nulls.update({name: table[name].null_count for name in _CRITICAL})
        for name, counted in counts.items():
            for entry in table[name].drop_null().cast(pa.string()).value_counts().to_pylist():
                counted[entry["values"]] += entry["counts"]
        for name in ("ra", "dec"):
            ends = pc.min_max(table[name]).as_py()
            if ends["min"] is not None:
                low, high = limits.get(name, (ends["min"], ends["max"]))
                limits[name] = min(low, ends["min"]), max(high, ends["max"])
    in_order = {name: dict(sorted(counted.items())) for name, counted in counts.items()}
    found = SampleOverview(
        timestamp=started_at,
        total_rows=rows,
        unique_galaxies=_distinct(read, rows),
        pool_distribution=in_order["pool"],
        split_distribution=in_order["split"],
        type_distribution=in_order["type_bin"],
        nobs_distribution=in_order["nobs_z_bin"],
        ra_range=limits.get("ra"),
        dec_range=limits.get("dec"),
        git_commits=tuple(in_order["git_commit"]),
    )
    return found.model_copy(update={"acceptance_checks": tuple(_checks(rows, nulls, found))})


def _distinct(read: Callable[[Sequence[str]], Iterable[pa.Table]], rows: int) -> int:
    """Count the galaxies, each once. Of many rows those are compared together whose last characters agree."""
    shares: Sequence[str | None] = _LAST if rows > _NAMES_AT_ONCE else [None]
    found = 0
    for share in shares:
        names = (table["galaxy_id"].drop_null() for table in read(["galaxy_id"]))
        some = [name.filter(_ends_with(name, share)) if share is not None else name for name in names]
        found += pc.count_distinct(
            pa.chunked_array([c for name in some for c in name.chunks], pa.string())
        ).as_py()
    return found


def _ends_with(names: pa.ChunkedArray, character: str) -> pa.ChunkedArray:
    """Return which names end with a digit; for an empty text, which end with none."""
    if character:
        return pc.ends_with(names, character)
    return pc.invert(pc.match_substring_regex(names, "[0-9]$"))


def _checks(rows: int, nulls: Counter[str], found: SampleOverview) -> Iterator[AcceptanceCheck]:
    for name in _CRITICAL:
        yield AcceptanceCheck(name=f"null_{name}", passed=nulls[name] == 0, found=f"{nulls[name]:,} nulls")
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
        passed = least <= low and high <= most and not nulls[name.removesuffix("_range")]
        yield AcceptanceCheck(name=name, passed=passed, found=f"{low:.4f} to {high:.4f}")
