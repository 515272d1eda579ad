"""Checks of rows that are seen in batches, so that a part of any size can be judged."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from lensneg.audit.columns import Rows
from lensneg.schema.arrays import BoolArray
from lensneg.schema.check import Check
from lensneg.schema.columns import PARTS
from lensneg.schema.manifest import Part

FAULT: Final = "this is a fault of lensneg, or the file was changed by hand: please report it"


class Tally:
    """What checks keep of the rows. They see the positives first, then the negatives, each in order."""

    def add(self, rows: Rows) -> None:
        """See some rows."""

    def checks(self) -> Iterator[Check]:
        """Judge all rows, once they were seen."""
        raise NotImplementedError


class Stated(Tally):
    """A check that needs no rows."""

    def __init__(self, check: Check) -> None:
        self._check = check

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        yield self._check


class RowRule(Tally):
    """A rule that each row must obey.

    Parameters
    ----------
    name, expected, remedy : str
        Of the check.
    wrong : callable
        Returns which of some rows break the rule.
    parts : tuple of str
        The parts whose rows must obey it.
    """

    def __init__(
        self,
        name: str,
        expected: str,
        wrong: Callable[[Rows], BoolArray],
        remedy: str = FAULT,
        parts: tuple[Part, ...] = PARTS,
    ) -> None:
        self._name, self._expected, self._remedy, self._wrong = name, expected, remedy, wrong
        self._seen, self._count = dict.fromkeys(parts, 0), 0
        self._first: dict[Part, int] = {}

    def add(self, rows: Rows) -> None:
        """Count the rows that break the rule."""
        if rows.part not in self._seen:
            return
        wrong = np.flatnonzero(self._wrong(rows))
        if len(wrong):
            self._first.setdefault(rows.part, self._seen[rows.part] + int(wrong[0]))
        self._count += len(wrong)
        self._seen[rows.part] += len(rows)

    def checks(self) -> Iterator[Check]:
        """Yield the check that no row is wrong. Rows are counted from 0, the negatives first."""
        total = sum(self._seen.values())
        actual, before = f"all {total:,} rows", 0
        for part, seen in self._seen.items():
            if part in self._first:
                first = before + self._first[part]
                actual = f"not in {self._count:,} of {total:,} rows, the first in row {first:,}"
                break
            before += seen
        yield Check(
            name=self._name,
            passed=not self._count,
            expected=self._expected,
            actual=actual,
            remedy=self._remedy,
        )
