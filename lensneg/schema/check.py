"""A check: what was expected, what was found, where, and what to do if they differ."""

from collections.abc import Iterable, Sequence
from typing import Self

from lensneg.errors import LensnegError
from lensneg.schema.record import Record


class Check(Record):
    """One check of a gate.

    Attributes
    ----------
    name : str
    passed : bool
    expected, actual : str
        What should be, and what is.
    where : str
        The file or entry that is looked at; empty where the name says it.
    remedy : str
        What to do where it did not pass.
    critical : bool
        Whether its failure fails the gate. If not, it is a warning.
    """

    name: str
    passed: bool
    expected: str
    actual: str
    where: str = ""
    remedy: str
    critical: bool = True

    @classmethod
    def of_faults(
        cls,
        name: str,
        faults: Sequence[object],
        *,
        expected: str,
        found: str,
        remedy: str,
        saying: str = "",
        shown: int = 5,
        critical: bool = True,
    ) -> Self:
        """Make a check that passes where no fault was found.

        Parameters
        ----------
        name : str
        faults : sequence
            What is wrong; the check names the first few.
        expected : str
        found : str
            What is there where nothing is wrong.
        remedy : str
        saying : str
            Comes before the faults, e.g. ``"not in "``.
        shown : int
            Faults that are named.
        critical : bool
        """
        return cls(
            name=name,
            passed=not faults,
            expected=expected,
            actual=saying + brief(faults, shown) if faults else found,
            remedy=remedy,
            critical=critical,
        )

    @classmethod
    def of_error(
        cls, name: str, expected: str, error: LensnegError, *, remedy: str = "", critical: bool = True
    ) -> Self:
        """Make the check that says what an error says; ``remedy`` is for an error that has none."""
        return cls(
            name=name,
            passed=False,
            expected=expected,
            actual=error.what,
            where=error.where,
            remedy=error.remedy or remedy,
            critical=critical,
        )

    @property
    def verdict(self) -> str:
        """The check's outcome in a word: ok, failed or warning."""
        return "ok" if self.passed else "failed" if self.critical else "warning"

    @property
    def found(self) -> str:
        """What was found, with its place."""
        return f"{self.where}: {self.actual}" if self.where else self.actual

    @property
    def sentence(self) -> str:
        """The check in one line, as it stands in the cause of a failed gate."""
        return f"{self.name}: expected {self.expected}, got {self.found} ({self.remedy})"


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
