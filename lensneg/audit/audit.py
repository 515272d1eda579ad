"""The audit of a manifest: everything it promises, recomputed from its files.

Nothing here is shared with what made the rows: no rule of selection, pools, strata, sky or draw is imported,
but written once more from docs/science.md, on whole columns. Only the contract is common: the config, the
columns' declaration and the storage. So a fault of a rule, too, shows as a failed check.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.files import Files, file_checks
from lensneg.audit.lens_checks import clear_of_lenses
from lensneg.audit.row_checks import (
    FAULT,
    keys_check,
    none_wrong,
    outside_selection,
    priorities,
    provenance_check,
    wrong_magnitudes,
    wrong_pool,
    wrong_stratum,
)
from lensneg.audit.sample_checks import pool_ratio, split_checks, strata_checks
from lensneg.audit.source_checks import found_again
from lensneg.audit.subject import Audit, Subject
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import MANIFEST_SCHEMA, PARTS
from lensneg.schema.manifest import content_sha256


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
    read = Files()
    tables = {part: read.table(part, subject.files.get(part, ())) for part in PARTS}
    checks = list(file_checks(subject, read))
    if any(not check.passed for check in checks):
        return Audit(tuple(checks), read.audited, {})
    checks += _checks(subject, tables["negatives"], tables["positives"])
    return Audit(tuple(checks), read.audited, {part: content_sha256(tables[part]) for part in PARTS})


def _checks(subject: Subject, negatives: pa.Table, positives: pa.Table) -> Iterator[Check]:
    config = subject.config
    both = Rows(pa.concat_tables([negatives, positives]).combine_chunks())
    drawn = Rows(negatives)
    asked = sum(pool["quota"] for stratum in subject.strata for pool in stratum["pools"])
    yield Check(
        name="row_count",
        passed=len(drawn) == asked,
        expected=f"{asked:,} negatives, as the quotas ask",
        actual=f"{len(drawn):,}",
        hint="the quotas were not met; see gate 3",
    )
    nulls = [f.name for f in MANIFEST_SCHEMA if not f.nullable and both.table[f.name].null_count]
    yield Check(
        name="no_nulls",
        passed=not nulls,
        expected="no null in critical columns",
        actual=f"nulls in {brief(nulls)}" if nulls else "none",
        hint="pool files are damaged; start again with another run id",
    )
    if nulls:
        return
    ra, dec = both["ra"], both["dec"]
    on_sphere = (ra >= 0) & (ra < 360) & (dec >= -90) & (dec <= 90)
    yield none_wrong(
        "coordinates",
        ~on_sphere,
        "RA in [0, 360) and Dec in [-90, 90] degrees",
        "a sweep file holds impossible coordinates",
    )
    distinct = pc.count_distinct(both.table["targetid"]).as_py()
    yield Check(
        name="unique_targetids",
        passed=distinct == len(both),
        expected="each TARGETID in one row",
        actual=f"{len(both) - distinct:,} rows too many" if distinct != len(both) else f"{distinct:,}",
        hint="the sweep files hold sources twice",
    )
    yield keys_check(both)
    yield provenance_check(subject, both)
    yield none_wrong(
        "magnitudes",
        wrong_magnitudes(both),
        "magnitudes and colours as the fluxes say",
        FAULT,
    )
    yield none_wrong(
        "selection_rule", outside_selection(drawn, config), "every negative passes the config's cuts", FAULT
    )
    yield none_wrong(
        "stratum_rule",
        wrong_stratum(both, config),
        "bins as nobs_z and type of every row say, and of the config's strata",
        FAULT,
    )
    yield none_wrong(
        "pool_rule",
        np.concatenate([wrong_pool(drawn, config), ~Rows(positives).is_in("pool", ["positive"])]),
        "pool and confuser category as the columns of every row say",
        FAULT,
    )
    yield none_wrong(
        "priority_rule",
        priorities(both["targetid"], config.sampling.seed) != both["sampling_priority"],
        "sampling priority as TARGETID and seed say",
        FAULT,
    )
    if on_sphere.all():
        yield from split_checks(config, both)
    yield pool_ratio(config, drawn)
    if len(drawn) == asked:
        yield from strata_checks(subject, negatives, positives)
    yield from clear_of_lenses(subject, drawn, Rows(positives))
    yield from found_again(subject, both.table)
