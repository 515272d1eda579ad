"""What the sample as a whole must obey."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from lensneg.audit.row_checks import FAULT, none_wrong
from lensneg.audit.subject import Content
from lensneg.schema.check import Check
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.quotas import DrawKey, draws_of
from lensneg.schema.tolerance import binomial


def split_checks(content: Content) -> Iterator[Check]:
    """Compare pixels and splits with the positions, and the splits' shares with the config."""
    if content.off_sphere.any():
        return
    config, rows = content.config, content.both
    fractions = [getattr(config.spatial_splits.allocations, name) for name in SPLIT_ORDER]
    pixels, inverse = np.unique(rows.pixels, return_inverse=True)
    digests = (
        hashlib.sha256(f"{p}_{config.spatial_splits.hash_seed}".encode()).hexdigest() for p in pixels.tolist()
    )
    u = np.array([int(digest[:8], 16) for digest in digests])
    split = np.digitize(u / 2.0**32, np.cumsum(fractions)[:-1])[inverse]
    written = rows.index_in("split", SPLIT_ORDER)
    wrong = (
        (rows.pixels != rows["healpix_128"]) | (rows.pixels >> 2 != rows["healpix_64"]) | (split != written)
    )
    yield none_wrong(
        "split_rule",
        wrong,
        "pixels and split of every row as its position says",
        "a position was changed, or this is a fault of lensneg: please report it",
    )
    # A split's share is the sum of the shares w of its pixels, each in it with probability p; so its
    # variance is p (1 - p) sum(w^2), as if the rows were 1 / sum(w^2) independent ones.
    share = np.bincount(inverse) / len(rows)
    worth = 1 / float((share**2).sum()) if len(rows) else 0.0
    gates = config.gates
    for name, points in (
        ("split_fractions", gates.split_tolerance_points),
        ("split_fractions_close", gates.split_warning_points),
    ):
        faults, found = [], []
        for i, (label, expected) in enumerate(zip(SPLIT_ORDER, fractions, strict=True)):
            actual = float((written == i).mean()) if len(rows) else 0.0
            allowed = binomial(points / 100, expected, worth, gates.chance_sigmas)
            found.append(f"{label} {actual:.1%}, allowed {expected:.0%} {allowed}")
            if abs(actual - expected) > allowed.total:
                faults.append(found[-1])
        yield Check(
            name=name,
            passed=not faults,
            expected=f"within {points:g} points of the config's fractions, and what chance does to "
            f"{len(pixels):,} pixels",
            actual="; ".join(faults or found),
            remedy="a small sky has few pixels: add sweep files, or set the split points in a new config",
            critical=name in gates.critical,
        )


def n1_n2_ratio(content: Content) -> Iterator[Check]:
    """Compare the share of N1 with the config's."""
    drawn, gates, ratio = content.negatives, content.config.gates, content.config.negative_pools.n1_n2_ratio
    expected = ratio[0] / sum(ratio)
    actual = float(drawn.is_in("pool", ["N1"]).mean()) if len(drawn) else 0.0
    allowed = binomial(gates.n1_n2_tolerance_points / 100, expected, len(drawn), gates.chance_sigmas)
    yield Check(
        name="n1_n2_ratio",
        passed=abs(actual - expected) <= allowed.total,
        expected=f"N1 {expected:.0%} {allowed}",
        actual=f"N1 {actual:.1%} of {len(drawn):,} negatives",
        remedy="one pool is short and was filled from the other: see the strata's backfill",
        critical="n1_n2_ratio" in gates.critical,
    )


def _counts(table: pa.Table, *keys: str) -> dict[tuple[str, ...], int]:
    groups = table.group_by(list(keys)).aggregate([([], "count_all")]).to_pylist()
    return {tuple(group[key] for key in keys): group["count_all"] for group in groups}


def strata_checks(content: Content) -> Iterator[Check]:
    """Compare the rows of each stratum and pool with the quotas, and these with the positives."""
    if len(content.negatives) != content.asked:
        return
    drawn = _counts(content.negatives.table, *DrawKey._fields)
    lenses = _counts(content.positives.table, "nobs_z_bin", "type_bin")
    ratio, strata = content.config.negative_pools.neg_pos_ratio, content.subject.strata
    unlike, empty, unmet = [], [], []
    for stratum in strata:
        key = (stratum.nobs_z_bin, stratum.type_bin)
        found = {pool.pool: drawn.pop((*key, pool.pool), 0) for pool in stratum.pools}
        unlike += [
            f"{stratum.name}/{pool.pool}: {found[pool.pool]:,} of {pool.quota:,}"
            for pool in stratum.pools
            if found[pool.pool] != pool.quota
        ]
        count = lenses.pop(key, 0)
        if count and stratum.reachable and not sum(found.values()):
            empty.append(stratum.name)
        missing = ratio * count - stratum.quota
        if (count, missing) != (stratum.positives, stratum.shortfall):
            unmet.append(f"{stratum.name}: {count:,} positives, {missing:,} negatives missing")
    unlike += [f"{'/'.join(key)} is not of the config's strata" for key in drawn]
    unmet += [f"{'/'.join(key)}: {n:,} positives in no stratum of the config" for key, n in lenses.items()]
    yield Check.of_faults(
        "strata_counts",
        unlike,
        expected="each stratum and pool with the rows of its quota, and no other",
        found=f"{len(strata)} strata",
        remedy="the files do not belong to this run's quotas; start again with another run id",
    )
    yield Check.of_faults(
        "strata_represented",
        empty,
        expected="negatives in every stratum that has positives",
        found=f"{len(strata)} strata",
        saying="none in ",
        remedy="add sweep files, or merge bins in a new config",
    )
    yield Check.of_faults(
        "targets",
        unmet,
        expected=f"{ratio:,} negatives for each positive of each stratum, but for the shortfall reported",
        found=f"{len(content.positives):,} positives",
        remedy="positives and quotas do not belong together; start again with another run id",
    )
    yield _weights(content)


def _weights(content: Content) -> Check:
    expected = {k: pool.available / pool.quota for k, pool in draws_of(content.subject.strata) if pool.quota}
    keys, weight = list(DrawKey._fields), "sampling_weight"
    extremes = content.negatives.table.group_by(keys).aggregate([(weight, "min"), (weight, "max")])
    found = {
        DrawKey(*(group[key] for key in keys)): {group[f"{weight}_min"], group[f"{weight}_max"]}
        for group in extremes.to_pylist()
    }
    return Check.of_faults(
        "weights",
        [str(key) for key, weights in found.items() if weights != {expected.get(key)}],
        expected="sampling weight available / drawn in every stratum and pool",
        found=f"{len(found):,} strata and pools",
        saying="not in ",
        remedy=FAULT,
    )
