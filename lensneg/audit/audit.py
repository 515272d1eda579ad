"""The audit of a manifest: everything it promises, recomputed from its files.

Nothing here is shared with what made the rows: no rule of selection, pools, strata, sky or draw is imported,
but written once more from docs/science.md, on whole columns. Only the contract is common: the types of
``schema`` and the storage. So a fault of a rule, too, shows as a failed check.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final

from lensneg.audit import draw_checks, lens_checks, row_checks, sample_checks, source_checks
from lensneg.audit.files import Files, content_check, file_checks
from lensneg.audit.subject import Audit, Content, Subject
from lensneg.schema.check import Check
from lensneg.schema.columns import PARTS
from lensneg.schema.content import content_sha256
from lensneg.schema.gate import all_passed
from lensneg.schema.manifest import ManifestPart, Parts

_log = logging.getLogger(__name__)

#: Gate 4, in order, once the files can be read. What depends on a check that failed is left out.
CHECKS: Final[tuple[Callable[[Content], Iterator[Check]], ...]] = (
    row_checks.row_count,
    row_checks.no_nulls,
    row_checks.coordinates,
    row_checks.unique_targetids,
    row_checks.keys,
    row_checks.provenance,
    row_checks.magnitudes,
    row_checks.selection_rule,
    row_checks.stratum_rule,
    row_checks.pool_rule,
    row_checks.priority_rule,
    sample_checks.split_checks,
    sample_checks.n1_n2_ratio,
    sample_checks.strata_checks,
    lens_checks.clear_of_lenses,
    lens_checks.positives_at_lenses,
    source_checks.found_again,
)

#: The checks of the draw. They are made of rows and counts that passed all others.
DRAW_CHECKS: Final[tuple[Callable[[Content], Iterator[Check]], ...]] = (
    draw_checks.quota_rule,
    draw_checks.lowest_priorities,
    draw_checks.row_order,
)


def audit(subject: Subject) -> Audit:
    """Audit a manifest.

    Parameters
    ----------
    subject : Subject

    Returns
    -------
    Audit
        A check that depends on one that failed is left out: the one that failed says what to do.
    """
    read = Files(subject)
    checks = list(file_checks(subject, read))
    sha256 = dict.fromkeys(PARTS, "")
    if all(check.passed for check in checks if check.name != "files_listed"):
        sha256 = {part: content_sha256(read.tables[part]) for part in PARTS}
        checks += content_check(subject, sha256)
        content = Content(subject, read.tables["negatives"], read.tables["positives"])
        checks += _content_checks(content)
        if all_passed(checks):
            checks += [found for check in DRAW_CHECKS for found in check(content)]
    parts = {
        part: ManifestPart(files=tuple(read.audited[part]), content_sha256=sha256[part]) for part in PARTS
    }
    for part in PARTS:
        rows, size = parts[part].rows, sum(file.bytes for file in parts[part].files)
        _log.info("%s: %d rows, %d bytes in %d files", part, rows, size, len(parts[part].files))
    return Audit(tuple(checks), Parts(**parts))


def _content_checks(content: Content) -> Iterator[Check]:
    for check in CHECKS:
        for found in check(content):
            yield found
            if found.name == "no_nulls" and not found.passed:
                return  # hardly anything can be computed of rows that lack their keys
