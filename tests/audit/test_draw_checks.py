"""The draw, judged from the manifest alone: spoiled in one way each, against values worked out by hand."""

import dataclasses
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from auditcase import audited_run, failed, spoil, subject_of
from auditrows import content, only
from auditrows import row as one_row
from pipeline import set_column

from lensneg.audit.draw_checks import LowestPriorities, RowOrder, _surprise
from lensneg.audit.subject import Subject
from lensneg.rules.quotas import plain_draws
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.quotas import PoolQuota, StratumQuota
from lensneg.schema.run import load_run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return audited_run(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def subject(files: RunFiles) -> Subject:
    return dataclasses.replace(subject_of(files), is_positive=load_run(files.root).lenses.is_positive)


def test_a_run_as_it_is_passes(subject: Subject) -> None:
    assert failed(subject) == set()


@pytest.mark.parametrize("part", ["negatives", "positives"])
def test_shuffled_rows(subject: Subject, tmp_path: Path, part: str) -> None:
    def shuffle(rows: pa.Table) -> pa.Table:
        order = list(range(len(rows)))
        random.Random(1).shuffle(order)
        return rows.take(pa.array(order))

    assert failed(spoil(subject, tmp_path, shuffle, part)) == {"row_order"}


KEYS = [("3-5", "SER", "N1"), ("3-5", "SER", "N2"), ("3-5", "DEV", "N1"), ("11+", "SER", "N1")]


@pytest.mark.parametrize("part", ["negatives", "positives"])
def test_the_order_is_that_of_a_sort_of_all_keys(plan: Config, part: str) -> None:
    """Every order of five rows, of which two are in one stratum and pool; batches end anywhere."""
    rows = [
        one_row(i, nobs_z_bin=nobs, type_bin=kind, pool=pool, sampling_priority=priority)
        for i, ((nobs, kind, pool), priority) in enumerate(
            zip([KEYS[0], *KEYS], (7, 7, 3, 2, 1), strict=True)
        )
    ]
    place = {names: i for i, names in enumerate(KEYS)}
    orders = 0
    for some in itertools.permutations(rows):
        keys = [
            (place[r["nobs_z_bin"], r["type_bin"], r["pool"]], r["sampling_priority"], r["targetid"])
            for r in some
        ]
        judged = content(plan, **{part: some})
        found = only(RowOrder, judged)
        assert found.passed == (keys == sorted(keys))
        assert found.actual == ("5 rows" if found.passed else f"not so: {part}")
        orders += found.passed
    assert orders == 1


def test_the_last_priority_of_a_draw_is_that_of_all_its_batches(plan: Config) -> None:
    """Four of 200: the last one is by chance at about -0.96 x 2^63; it is in the first batch."""
    pools = [PoolQuota(pool="N1", available=200, target=4, backfill=0, quota=4)]
    stratum = StratumQuota(
        nobs_z_bin="3-5", type_bin="SER", positives=1, target=4, shortfall=0, reachable=True,
        pools=tuple(pools), draws=plain_draws(pools),
    )  # fmt: skip
    for last, passed in ((-0.96, True), (0.99, False)):
        priorities = [int(share * 2**63) for share in (last, -0.999, -0.998, -0.997)]
        rows = [one_row(i, sampling_priority=priority) for i, priority in enumerate(priorities)]
        found = only(LowestPriorities, content(plan, rows, strata=(stratum,)))
        assert found.passed == passed
        assert found.actual == ("4 rows" if passed else "others in 3-5/SER/n1: 4 of 200")


def test_a_galaxy_that_is_no_lens_as_a_positive(subject: Subject, files: RunFiles) -> None:
    """The first positive is no longer in a catalogue."""
    assert subject.is_positive is not None
    keep = np.ones(len(subject.ra), dtype=bool)
    from lensneg.schema.tables import read_table

    [uri] = files.sample_parts("positives")
    first = read_table(uri).slice(0, 1).to_pylist()[0]
    keep &= np.hypot(subject.ra - first["ra"], subject.dec - first["dec"]) > 0.001
    assert not keep.all()
    fewer = dataclasses.replace(
        subject, ra=subject.ra[keep], dec=subject.dec[keep], is_positive=subject.is_positive[keep]
    )
    assert failed(fewer) == {"positives_at_lenses"}
    excluded = dataclasses.replace(subject, is_positive=subject.is_positive & keep)
    assert failed(excluded) == {"positives_at_lenses"}


def changed(subject: Subject, change: Callable[[Any], dict[str, Any]], pool: dict[str, int]) -> Subject:
    """The first stratum that draws from both pools, with other claims of it and of its first pool."""
    strata = list(subject.strata)
    i = next(i for i, s in enumerate(strata) if all(p.quota for p in s.pools))
    first, second = strata[i].pools
    altered = first.model_copy(update={name: getattr(first, name) + by for name, by in pool.items()})
    strata[i] = strata[i].model_copy(update={"pools": (altered, second), **change(strata[i])})
    return dataclasses.replace(subject, strata=tuple(strata))


@pytest.mark.parametrize(
    ("change", "pool"),
    [
        (lambda s: {"target": s.target + 1}, {}),
        (lambda s: {}, {"target": 1}),
        (lambda s: {}, {"backfill": 1}),
    ],
)
def test_false_targets_and_backfill(subject: Subject, change: Any, pool: dict[str, int]) -> None:
    assert failed(changed(subject, change, pool)) == {"quota_rule"}


def test_the_highest_priorities_in_the_place_of_the_lowest(subject: Subject, tmp_path: Path) -> None:
    """Rows whose identifiers give high priorities; what else a row says of itself is as it should be."""
    seed = subject.config.negative_pools.seed

    def other_ids(rows: pa.Table) -> pa.Table:
        import reference

        found = []
        for row in rows.to_pylist():
            ids = (row["targetid"] ^ (n << 22) for n in range(1, 1 << 20))
            found.append(
                next(i for i in ids if i not in found and reference.sampling_priority(i, seed) > 0.98 * 2**63)
            )
        rows = set_column(rows, "targetid", found)
        priority = [reference.sampling_priority(i, seed) for i in found]
        rows = set_column(rows, "sampling_priority", priority)
        ranks = [
            pc.index_in(rows[name], pa.array(values))
            for name, values in (
                ("nobs_z_bin", subject.config.strata.nobs_z_bins),
                ("type_bin", subject.config.strata.types),
                ("pool", ["N1", "N2"]),
            )
        ]
        keys = [rows["sampling_priority"].to_numpy(), *(rank.to_numpy() for rank in reversed(ranks))]
        return rows.take(pa.array(np.lexsort(keys)))

    assert failed(spoil(subject, tmp_path, other_ids)) == {"lowest_priorities"}


def test_the_bound_holds_for_uniform_priorities_and_not_for_others() -> None:
    """The k-th of n uniform numbers, drawn a thousand times for each size."""
    draws = np.random.default_rng(3)
    for rows, available in ((1, 2), (1, 5000), (7, 30), (100, 101), (400, 90_000)):
        for _ in range(1000 if available < 1000 else 50):
            last = float(np.sort(draws.random(available))[rows - 1])
            assert _surprise(rows, available, last) < 20
    assert _surprise(5, 5, 0.2) == 0
    assert _surprise(10, 200, 0.99) > 20
    assert _surprise(400, 90_000, 0.01) > 20
    assert _surprise(1, 10**6, 1.0) > 20
    # By hand: 10 (0.4 ln 0.5 + 0.6 ln 3)
    assert _surprise(4, 10, 0.8) == pytest.approx(3.8191, abs=1e-4)
