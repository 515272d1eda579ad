"""A check: what was expected, what was found, where, and what to do if the two differ."""

from collections.abc import Iterable, Sequence
from typing import Self

from lensneg.errors import LensnegError
from lensneg.schema.record import Record


class Check(Record):
    """One check of a gate.

    Attributes
    ----------
    name : str
        A name in snake_case, such as ``config_readable``.
    passed : bool
        Whether what was found is what was expected.
    expected, actual : str
        What should be, and what is.
    where : str
        The file or entry that was checked. Empty where ``name`` says it.
    remedy : str
        What to do if the check did not pass.
    critical : bool
        Whether its failure fails the gate. Otherwise it is a warning.
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
        """Make a check that passes if there are no faults.

        Parameters
        ----------
        name : str
            The check's name.
        faults : sequence
            What is wrong. The check names the first few.
        expected : str
            What should be.
        found : str
            What is, if nothing is wrong.
        remedy : str
            What to do about the faults.
        saying : str
            Text before the faults, e.g. ``"not in "``.
        shown : int
            The number of faults that are named.
        critical : bool
            Whether its failure fails the gate.

        Returns
        -------
        Check
            The check.
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
    def of_error(cls, name: str, expected: str, error: LensnegError, *, remedy: str = "") -> Self:
        """Make a failed, critical check from an error.

        Parameters
        ----------
        name : str
            The check's name.
        expected : str
            What should be.
        error : LensnegError
            What was found, and where.
        remedy : str
            What to do if the error has no remedy of its own.

        Returns
        -------
        Check
            The check.
        """
        return cls(
            name=name,
            passed=False,
            expected=expected,
            actual=error.what,
            where=error.where,
            remedy=error.remedy or remedy,
        )

    @property
    def verdict(self) -> str:
        """The outcome in a word: ok, failed or warning."""
        return "ok" if self.passed else "failed" if self.critical else "warning"

    @property
    def found(self) -> str:
        """What was found, with its place."""
        return f"{self.where}: {self.actual}" if self.where else self.actual

    @property
    def sentence(self) -> str:
        """The check in one line, as the cause of a failed gate shows it."""
        return f"{self.name}: expected {self.expected}, got {self.found} ({self.remedy})"


def brief(values: Iterable[object], limit: int = 5) -> str:
    """Return the first of some values, and how many more there are.

    Parameters
    ----------
    values : iterable
        The values.
    limit : int
        The number of values that are named.

    Returns
    -------
    str
        The values, joined by commas.

    Examples
    --------
    >>> brief(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    texts = [str(value) for value in values]
    more = len(texts) - limit
    return ", ".join(texts[:limit]) + (f" and {more} more" if more > 0 else "")
