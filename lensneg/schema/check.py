"""A check: what was expected, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Check(BaseModel):
    """One check of a gate: what was expected, what was found, and what to do if they differ."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    passed: bool
    expected: str
    actual: str
    hint: str
    critical: bool = True


def brief(values: Iterable[object], limit: int = 5) -> str:
    """Return a few of some values and how many more there are, for a check's ``actual``.

    Examples
    --------
    >>> brief(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    texts = [str(value) for value in values]
    more = len(texts) - limit
    return ", ".join(texts[:limit]) + (f" and {more} more" if more > 0 else "")
