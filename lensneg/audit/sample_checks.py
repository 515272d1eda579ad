"""What the sample as a whole must obey."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import FAULT, RowRule, Tally
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.check import Check
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.quotas import DrawKey, draws_of
from lensneg.schema.tolerance import binomial

#: HEALPix pixels of the sky at nside 128.
_PIXELS: Final = 12 * 128**2


class Splits(Tally):
    """Compares pixels and splits with the positions, and the splits' shares with the config."""

    def __init__(self, content: Content) -> None:
        self._config = content.config
        allocations = content.config.spatial_splits.allocations
        self._fractions = [getattr(allocations, name) for name in SPLIT_ORDER]
        self._split_of = np.full(_PIXELS, -1, dtype=np.int8)
        self._fold_of = np.full(_PIXELS, -1, dtype=np.int64)
        self._rows_of = np.zeros(_PIXELS, dtype=np.int64)
        self._written = np.zeros(len(SPLIT_ORDER), dtype=np.int64)
        self._off_sphere = False
        self._rule = RowRule(
            "split_rule",
            "pixels, split and fold of every row as its position says",
            self._wrong,
            "a position was changed, or this is a fault of lensneg: please report it",
        )

    def add(self, rows: Rows) -> None:
        """Compare some rows, unless one has no place on the sphere."""
        self._off_sphere = self._off_sphere or bool(rows.off_sphere.any())
        if not self._off_sphere:
            self._rule.add(rows)

    def _wrong(self, rows: Rows) -> BoolArray:
        written = rows.index_in("split", SPLIT_ORDER)
        self._rows_of += np.bincount(rows.pixels, minlength=_PIXELS)
        self._written += np.bincount(written[written >= 0], minlength=len(SPLIT_ORDER))
        self._settle(rows.pixels)
        wrong = (rows.pixels != rows["healpix_128"]) | (rows.pixels >> 2 != rows["healpix_64"])
        wrong |= self._fold_of[rows.pixels] != np.asarray(pc.fill_null(rows.table["fold"], -1))
        return np.asarray(wrong | (self._split_of[rows.pixels] != written))

    def _settle(self, pixels: IntArray) -> None:
        """Work out the splits of the pixels that were not met before."""
        rule = self._config.spatial_splits
        new = np.unique(pixels[self._split_of[pixels] < 0])
        u = _hashed(new, f"{rule.hash_seed}")
        self._split_of[new] = np.digitize(u / 2.0**32, np.cumsum(self._fractions)[:-1])
        if rule.folds is not None:
            kept = new[self._split_of[new] != len(SPLIT_ORDER) - 1]
            self._fold_of[kept] = _hashed(kept, f"{rule.hash_seed}_fold") * rule.folds // 2**32

    def checks(self) -> Iterator[Check]:
        """Yield the check of the rows, and those of the shares."""
        if self._off_sphere:
            return
        yield from self._rule.checks()
        # A split's share is the sum of the shares w of its pixels, each in it with probability p; so its
        # variance is p (1 - p) sum(w^2), as if the rows were 1 / sum(w^2) independent ones.
        in_pixels, gates = self._rows_of[self._rows_of > 0], self._config.gates
        rows = int(in_pixels.sum())
        share = in_pixels / rows
        worth = 1 / float((share**2).sum()) if rows else 0.0
        for name, points in (
            ("split_fractions", gates.split_tolerance_points),
            ("split_fractions_close", gates.split_warning_points),
        ):
            faults, found = [], []
            for i, (label, expected) in enumerate(zip(SPLIT_ORDER, self._fractions, strict=True)):
                actual = float(self._written[i] / rows) if rows else 0.0
                allowed = binomial(points / 100, expected, worth, gates.chance_sigmas)
                found.append(f"{label} {actual:.1%}, allowed {expected:.0%} {allowed}")
                if abs(actual - expected) > allowed.total:
                    faults.append(found[-1])
            yield Check(
                name=name,
                passed=not faults,
                expected=f"within {points:g} points of the config's fractions, and what chance does to "
                f"{len(in_pixels):,} pixels",
                actual="; ".join(faults or found),
                remedy="a small sky has few pixels: add sweep files, or set the split points in a new config",
                critical=name in gates.critical,
            )


def _hashed(pixels: IntArray, seed: str) -> IntArray:
    """Return the first 32 bits of the SHA-256 of each pixel and a seed."""
    texts = (f"{pixel}_{seed}".encode() for pixel in pixels.tolist())
    return np.array([int(hashlib.sha256(text).hexdigest()[:8], 16) for text in texts], dtype=np.int64)


class PoolRatio(Tally):
    """Compares the share of N1 with the config's."""

    def __init__(self, content: Content) -> None:
        self._config, self._drawn = content.config, content.rows["negatives"]
        self._n1 = 0

    def add(self, rows: Rows) -> None:
        """Count the negatives of N1."""
        if rows.part == "negatives":
            self._n1 += int(rows.is_in("pool", ["N1"]).sum())

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        drawn, gates, ratio = self._drawn, self._config.gates, self._config.negative_pools.n1_n2_ratio
        expected = ratio[0] / sum(ratio)
        actual = self._n1 / drawn if drawn else 0.0
        allowed = binomial(gates.n1_n2_tolerance_points / 100, expected, drawn, gates.chance_sigmas)
        yield Check(
            name="n1_n2_ratio",
            passed=abs(actual - expected) <= allowed.total,
            expected=f"N1 {expected:.0%} {allowed}",
            actual=f"N1 {actual:.1%} of {drawn:,} negatives",
            remedy="one pool is short and was filled from the other: see the strata's backfill",
            critical="n1_n2_ratio" in gates.critical,
        )


class Strata(Tally):
    """Compares the rows of each stratum and pool with the quotas, and these with the positives."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._drawn, self._lenses = Counter[DrawKey](), Counter[tuple[str, str]]()
        self._weights = defaultdict[DrawKey, set[float]](set)
        self._pools = defaultdict[DrawKey, set[str]](set)

    def add(self, rows: Rows) -> None:
        """Count the rows of each stratum and pool."""
        for draw in rows.draws:
            key = DrawKey(*(draw[name] for name in DrawKey._fields))
            if rows.part == "positives":
                self._lenses[key.nobs_z_bin, key.type_bin] += draw["count_all"]
            else:
                self._drawn[key] += draw["count_all"]
                self._pools[key].add(draw["pool"])
                weights = self._weights[key] | {draw["sampling_weight_min"], draw["sampling_weight_max"]}
                self._weights[key] = {min(weights), max(weights)}

    def checks(self) -> Iterator[Check]:
        """Yield the checks, if there are as many negatives as the quotas ask."""
        content = self._content
        if content.rows["negatives"] != content.asked:
            return
        ratio, strata = content.config.negative_pools.neg_pos_ratio, content.subject.strata
        drawn, lenses = dict(self._drawn), dict(self._lenses)
        unlike, empty, unmet = list[str](), list[str](), list[str]()
        for stratum in strata:
            key = (stratum.nobs_z_bin, stratum.type_bin)
            found = {draw.draw: drawn.pop(DrawKey(*key, draw.draw), 0) for draw in stratum.draws}
            unlike += [
                f"{stratum.name}/{draw.draw}: {found[draw.draw]:,} of {draw.quota:,} in {draw.pool}"
                for draw in stratum.draws
                if found[draw.draw] != draw.quota or self._pools[DrawKey(*key, draw.draw)] != {draw.pool}
            ]
            count = lenses.pop(key, 0)
            if count and stratum.reachable and not sum(found.values()):
                empty.append(stratum.name)
            missing = ratio * count - stratum.quota
            if (count, missing) != (stratum.positives, stratum.shortfall):
                unmet.append(f"{stratum.name}: {count:,} positives, {missing:,} negatives missing")
        unlike += [f"{key} is not of the config's strata" for key in drawn]
        unmet += [
            f"{'/'.join(key)}: {n:,} positives in no stratum of the config" for key, n in lenses.items()
        ]
        yield Check.of_faults(
            "strata_counts",
            unlike,
            expected="each draw with the rows of its quota, in its pool, and no other",
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
            found=f"{content.rows['positives']:,} positives",
            remedy="positives and quotas do not belong together; start again with another run id",
        )
        yield self._check_weights()

    def _check_weights(self) -> Check:
        strata = self._content.subject.strata
        expected = {key: draw.available / draw.quota for key, draw in draws_of(strata)}
        return Check.of_faults(
            "weights",
            [str(key) for key, weights in self._weights.items() if weights != {expected.get(key)}],
            expected="sampling weight available / drawn in every draw of every stratum",
            found=f"{len(self._weights):,} draws",
            saying="not in ",
            remedy=FAULT,
        )
