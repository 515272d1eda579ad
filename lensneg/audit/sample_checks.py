"""What the sample as a whole must obey."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from lensneg.audit.columns import Rows
from lensneg.audit.row_checks import FAULT, none_wrong
from lensneg.audit.subject import Subject
from lensneg.schema.check import Check, brief
from lensneg.schema.config import SPLIT_ORDER, Config
from lensneg.schema.tolerance import binomial


def split_checks(config: Config, rows: Rows) -> Iterator[Check]:
    fractions = [getattr(config.split.fractions, name) for name in SPLIT_ORDER]
    pixels, inverse = np.unique(rows.pixels, return_inverse=True)
    u = np.array(
        [
            int(hashlib.sha256(f"{p}_{config.split.seed}".encode()).hexdigest()[:8], 16)
            for p in pixels.tolist()
        ]
    )
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
    share = np.bincount(inverse) / max(1, len(rows))
    worth = 1 / float((share**2).sum()) if len(rows) else 0.0
    gates = config.gates
    for name, points, critical in (
        ("split_fractions", gates.split_tolerance_points, True),
        ("split_fractions_close", gates.split_warning_points, False),
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
            hint="a small sky has few pixels: add sweep files, or set the split points in a new config",
            critical=critical,
        )


def pool_ratio(config: Config, drawn: Rows) -> Check:
    ratio = config.sampling.n1_n2_ratio
    expected = ratio[0] / sum(ratio)
    actual = float(drawn.is_in("pool", ["N1"]).mean()) if len(drawn) else 0.0
    gates = config.gates
    allowed = binomial(gates.n1_n2_tolerance_points / 100, expected, len(drawn), gates.chance_sigmas)
    return Check(
        name="n1_n2_ratio",
        passed=abs(actual - expected) <= allowed.total,
        expected=f"N1 {expected:.0%} {allowed}",
        actual=f"N1 {actual:.1%} of {len(drawn):,} negatives",
        hint="one pool is short and was filled from the other: see the strata's backfill",
    )


def _counts(table: pa.Table, *keys: str) -> dict[tuple[str, ...], int]:
    groups = table.group_by(list(keys)).aggregate([([], "count_all")]).to_pylist()
    return {tuple(group[key] for key in keys): group["count_all"] for group in groups}


def strata_checks(subject: Subject, negatives: pa.Table, positives: pa.Table) -> Iterator[Check]:
    drawn = _counts(negatives, "nobs_z_bin", "type_bin", "pool")
    lenses = _counts(positives, "nobs_z_bin", "type_bin")
    ratio = subject.config.sampling.neg_pos_ratio
    unlike, empty, unmet = [], [], []
    for stratum in subject.strata:
        key = (stratum["nobs_z_bin"], stratum["type_bin"])
        name = "/".join(key)
        found = {pool["pool"]: drawn.pop((*key, pool["pool"]), 0) for pool in stratum["pools"]}
        unlike += [
            f"{name}/{pool['pool']}: {found[pool['pool']]:,} of {pool['quota']:,}"
            for pool in stratum["pools"]
            if found[pool["pool"]] != pool["quota"]
        ]
        count = lenses.pop(key, 0)
        if count and stratum["reachable"] and not sum(found.values()):
            empty.append(name)
        missing = ratio * count - sum(pool["quota"] for pool in stratum["pools"])
        if (count, missing) != (stratum["positives"], stratum["shortfall"]):
            unmet.append(f"{name}: {count:,} positives, {missing:,} negatives missing")
    unlike += [f"{'/'.join(key)} is not of the config's strata" for key in drawn]
    unmet += [f"{'/'.join(key)}: {n:,} positives in no stratum of the config" for key, n in lenses.items()]
    yield Check(
        name="strata_counts",
        passed=not unlike,
        expected="each stratum and pool with the rows of its quota, and no other",
        actual=brief(unlike) if unlike else f"{len(subject.strata)} strata",
        hint="the files do not belong to this run's quotas; start again with another run id",
    )
    yield Check(
        name="strata_represented",
        passed=not empty,
        expected="negatives in every stratum that has positives",
        actual=f"none in {brief(empty)}" if empty else f"{len(subject.strata)} strata",
        hint="add sweep files, or merge bins in a new config",
    )
    yield Check(
        name="targets",
        passed=not unmet,
        expected=f"{ratio:,} negatives for each positive of each stratum, but for the shortfall reported",
        actual=brief(unmet) if unmet else f"{len(positives):,} positives",
        hint="positives and quotas do not belong together; start again with another run id",
    )
    yield _weights(subject, negatives)


def _weights(subject: Subject, negatives: pa.Table) -> Check:
    expected = {
        (s["nobs_z_bin"], s["type_bin"], p["pool"]): p["available"] / p["quota"]
        for s in subject.strata
        for p in s["pools"]
        if p["quota"]
    }
    keys = ["nobs_z_bin", "type_bin", "pool"]
    extremes = negatives.group_by(keys).aggregate([("sampling_weight", "min"), ("sampling_weight", "max")])
    wrong = [
        "/".join(group[key] for key in keys)
        for group in extremes.to_pylist()
        for weight in (expected.get(tuple(group[key] for key in keys)),)
        if weight is None or {group["sampling_weight_min"], group["sampling_weight_max"]} != {weight}
    ]
    return Check(
        name="weights",
        passed=not wrong,
        expected="sampling weight available / drawn in every stratum and pool",
        actual=f"not in {brief(wrong)}" if wrong else f"{len(extremes):,} strata and pools",
        hint=FAULT,
    )
