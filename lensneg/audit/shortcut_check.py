"""How well columns that make no lens tell positives from negatives."""

from collections.abc import Iterator

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import Tally
from lensneg.schema.check import Check
from lensneg.shortcuts.columns import Sample
from lensneg.shortcuts.shortcuts import nuisance_auc


class ShortcutAuc(Tally):
    """Compares the AUC of all nuisance columns together with the config's limit, if it has one."""

    def __init__(self, content: Content) -> None:
        self._limit = content.config.gates.shortcut_auc_max
        self._sample = Sample(content.rows["negatives"])

    def add(self, rows: Rows) -> None:
        """Keep some rows."""
        if self._limit is not None:
            self._sample.add(rows.table)

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        if self._limit is None:
            return
        found = nuisance_auc(self._sample.table)
        measured, actual = found.overall, f"not measured: {found.missing}"
        if measured is not None:
            actual = f"an AUC of {measured.auc:.3f} ± {measured.error:.3f}"
        yield Check(
            name="shortcut_auc",
            passed=measured is None or measured.auc <= self._limit,
            expected=f"an AUC of at most {self._limit:g} of all nuisance columns together",
            actual=actual,
            remedy="the report's section on shortcuts says which columns these are: match the negatives in "
            "them (section matching of a new config)",
            critical=False,
        )
