"""The audit of a manifest: everything it promises, recomputed from its files.

Nothing here is shared with what made the rows: no rule of selection, pools, strata, sky or draw is imported,
but written once more from docs/science.md, on columns of many rows. Only the contract is common: the types of
``schema`` and the storage. So a fault of a rule, too, shows as a failed check.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from lensneg.audit import (
    border_checks,
    draw_checks,
    lens_checks,
    listed_checks,
    row_checks,
    sample_checks,
    shortcut_check,
    source_checks,
)
from lensneg.audit.files import Files, content_check, file_checks
from lensneg.audit.row_checks import NoNulls
from lensneg.audit.subject import Audit, Content, Subject
from lensneg.audit.tally import Tally
from lensneg.schema.check import Check
from lensneg.schema.columns import PARTS
from lensneg.schema.content import content_sha256_of
from lensneg.schema.gate import all_passed
from lensneg.schema.manifest import ManifestPart, Parts
from lensneg.schema.progress import Tell, tell_nobody

_log = logging.getLogger(__name__)

#: Gate 4, in order, once the files can be read. What depends on a check that failed is left out.
CHECKS: Final[tuple[Callable[[Content], Tally], ...]] = (
    row_checks.row_count,
    row_checks.NoNulls,
    row_checks.coordinates,
    row_checks.UniqueTargetids,
    row_checks.keys,
    row_checks.Provenance,
    row_checks.magnitudes,
    row_checks.selection_rule,
    row_checks.cut_rule,
    row_checks.stratum_rule,
    row_checks.pool_rule,
    row_checks.priority_rule,
    sample_checks.Splits,
    border_checks.Borders,
    sample_checks.PoolRatio,
    sample_checks.Strata,
    lens_checks.ClearOfLenses,
    lens_checks.PositivesAtLenses,
    listed_checks.Listed,
    source_checks.FoundAgain,
    shortcut_check.ShortcutAuc,
)

#: The checks of the draw. They are made of rows and counts that passed all others.
DRAW_CHECKS: Final[tuple[Callable[[Content], Tally], ...]] = (
    draw_checks.quota_rule,
    draw_checks.LowestPriorities,
    draw_checks.RowOrder,
)


def audit(subject: Subject, tell: Tell = tell_nobody) -> Audit:
    """Audit a manifest. Its files are read in batches of rows, so their size does not matter.

    Parameters
    ----------
    subject : Subject
    tell : callable, optional
        Is told how many rows, columns and checks are done.

    Returns
    -------
    Audit
        A check that depends on one that failed is left out: the one that failed says what to do.
    """
    files = Files(subject)
    content = Content(subject, files)
    tallies = [make(content) for make in CHECKS]
    draw = [make(content) for make in DRAW_CHECKS]
    _count(files, [*tallies, *draw], tell)
    sha256, checks = dict.fromkeys(PARTS, ""), list(file_checks(subject, files))
    if not files.any_fault:
        read = {part: partial(files.column, part) for part in PARTS}
        sha256 = {
            part: content_sha256_of(files.rows[part], read[part], files.schemas[part], tell) for part in PARTS
        }
        checks += content_check(subject, sha256)
        checks += _judged(tallies, tell)
        if all_passed(checks):
            checks += _judged(draw, tell)
    if files.any_fault:  # perhaps one that showed when columns were read again
        sha256, checks = dict.fromkeys(PARTS, ""), list(file_checks(subject, files))
    parts = {
        part: ManifestPart(files=tuple(files.audited[part]), content_sha256=sha256[part]) for part in PARTS
    }
    for part in PARTS:
        rows, size = parts[part].rows, sum(file.bytes for file in parts[part].files)
        _log.info("%s: %d rows, %d bytes in %d files", part, rows, size, len(parts[part].files))
    return Audit(tuple(checks), Parts(**parts))


def _count(files: Files, tallies: list[Tally], tell: Tell) -> None:
    """Show all rows to the checks. Hardly anything can be computed of rows that lack their keys."""
    nulls = next(tally for tally in tallies if isinstance(tally, NoNulls))
    done, total = 0, sum(files.rows.values())
    for rows in files.read():
        nulls.add(rows)
        done += len(rows)
        tell("rows", done, total)
        if not nulls.faults:
            for tally in tallies:
                if tally is not nulls:
                    tally.add(rows)


def _judged(tallies: list[Tally], tell: Tell) -> Iterator[Check]:
    for done, tally in enumerate(tallies):
        tell("checks", done, len(tallies))
        for found in tally.checks():
            yield found
            if found.name == "no_nulls" and not found.passed:
                return  # nothing else was counted
