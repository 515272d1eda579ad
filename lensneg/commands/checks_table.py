"""A gate's checks as a table in the terminal."""

from collections.abc import Iterable
from typing import Final

from rich.markup import escape
from rich.table import Table

from lensneg.schema.check import Check

_STYLES: Final = {"ok": "green", "failed": "red", "warning": "yellow"}


def checks_table(checks: Iterable[Check], title: str | None = None) -> Table:
    """Return a row for each check, with what was expected and the remedy where it did not pass."""
    table = Table(title=title, title_justify="left", show_edge=False)
    for heading in ("check", "verdict", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        found = check.found if check.passed else f"{check.found} (expected: {check.expected})"
        table.add_row(
            check.name,
            f"[{_STYLES[check.verdict]}]{check.verdict}",
            escape(found),
            "" if check.passed else escape(check.remedy),
        )
    return table
