"""The shortcut audit of rows whose shortcuts are known, since they were put in."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from lensneg.schema.shortcuts import CombinedAuc, Shortcuts
from lensneg.shortcuts import columns
from lensneg.shortcuts.classifier import folds_of
from lensneg.shortcuts.columns import NEEDED, Sample
from lensneg.shortcuts.shortcuts import find_shortcuts, nuisance_auc

STRATA = (("3-5", "SER"), ("6-10", "DEV"))


def rows(positives: int, negatives: int, seed: int = 1, **changes: Any) -> pa.Table:
    """Rows of two strata in 40 pixels, the positives first, which differ in what is changed alone."""
    rng, n = np.random.default_rng(seed), positives + negatives
    table: dict[str, Any] = {name: rng.standard_normal(n) for name in NEEDED}
    stratum = np.arange(n) % 2
    table |= {name: [STRATA[i][k] for i in stratum] for k, name in enumerate(("nobs_z_bin", "type_bin"))}
    table["pool"] = ["positive"] * positives + ["N1"] * negatives
    table["healpix_64"] = 4 * rng.integers(0, 40, n) + rng.integers(0, 4, n)
    table["maskbits"] = np.zeros(n, np.int32)
    for name, change in changes.items():
        table[name] = change(table[name], np.arange(n) < positives)
    return pa.table(table)


def by_name(found: Shortcuts) -> dict[str, Any]:
    return {column.name: column for column in found.columns}


def nuisance(table: pa.Table) -> float:
    found = nuisance_auc(table).overall
    assert found is not None
    return found.auc


def test_a_column_that_was_changed_is_found_with_its_direction() -> None:
    table = rows(60, 2000, mag_r=lambda v, p: v - 2 * p, shape_r=lambda v, p: v + p)
    found = find_shortcuts(table, 0.6)
    assert (found.positives, found.negatives, found.limit) == (60, 2000, 0.6)
    named = by_name(found)
    assert (named["mag_r"].overall.higher, named["shape_r"].overall.higher) == ("negatives", "positives")
    assert named["mag_r"].overall.auc == pytest.approx(0.921, abs=0.04)  # Phi(2 / sqrt 2)
    assert named["shape_r"].within_strata.auc == pytest.approx(0.760, abs=0.07)  # Phi(1 / sqrt 2)
    assert sorted(named["mag_r"].strata) == ["3-5/SER", "6-10/DEV"]
    others = set(named) - {"mag_r", "shape_r"}
    assert all(named[name].overall.auc < 0.5 + 3.5 * named[name].overall.error for name in others)
    together = {one.kind: one for one in found.combined}
    assert together["nuisance"] == nuisance_auc(table)
    assert together["nuisance"].overall.auc > 0.85
    assert 0.6 < together["colours_and_shapes"].overall.auc < 0.85


def test_what_tells_strata_apart_and_nothing_within_them_shows_over_all_alone() -> None:
    """All but six positives are in one stratum, whose rows are four magnitudes brighter."""
    table = rows(66, 2000, mag_r=lambda v, _: v - 4 * (np.arange(2066) % 2))
    keep = np.ones(2066, dtype=bool)
    keep[12:66:2] = False
    mag_r = by_name(find_shortcuts(table.filter(pa.array(keep)), None))["mag_r"]
    assert mag_r.overall.auc > 0.65
    assert mag_r.within_strata.auc < 0.5 + 3.5 * mag_r.within_strata.error


def test_mask_bits_are_counted_and_shape_is_its_length() -> None:
    table = rows(
        2, 2,
        maskbits=lambda *_: np.array([3, 1, 1, 1024], np.int32),
        shape_e1=lambda *_: np.array([-0.5, 0.5, 0.1, 0.2]), shape_e2=lambda *_: np.zeros(4),
    )  # fmt: skip
    named = by_name(find_shortcuts(table, None))
    assert named["maskbits"].overall.auc == 0.75  # 2 and 1 bits against 1 and 1
    assert (named["ellipticity"].overall.auc, named["ellipticity"].overall.higher) == (1, "positives")


def test_the_bit_that_is_set_tells_apart_what_the_number_of_bits_does_not() -> None:
    table = rows(60, 1000, maskbits=lambda _, p: np.where(p, 1 << 11, 1 << 8).astype(np.int32))
    assert by_name(find_shortcuts(table, None))["maskbits"].overall.auc == 0.5
    assert nuisance(table) == 1


def test_a_classifier_finds_what_no_column_shows_alone() -> None:
    """Two columns agree in positives, and do not in negatives."""
    table = rows(300, 3000)
    is_positive = np.arange(3300) < 300
    seeing = np.where(is_positive, table["mag_r"], table["psfsize_r"])
    table = table.set_column(table.schema.get_field_index("psfsize_r"), "psfsize_r", pa.array(seeing))
    named = by_name(find_shortcuts(table, None))
    assert max(named[name].overall.auc for name in ("mag_r", "psfsize_r")) < 0.56
    assert nuisance(table) > 0.65


def test_a_classifier_is_judged_in_parts_of_the_sky_that_it_does_not_know() -> None:
    """The pixel of each positive is of its own brightness, which says nothing in another pixel."""
    table, number = rows(200, 2000), np.arange(2200)
    pixel = np.where(number < 200, 2 * (number % 5), 2 * (number % 5) + 1)
    brightness = np.random.default_rng(3).permutation(10)[pixel].astype(float)
    for name, values in (("healpix_64", 4 * pixel), ("mag_r", brightness)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    assert nuisance(table) < 0.75
    mixed = 4 * np.random.default_rng(4).permutation(2200)
    mixed = table.set_column(table.schema.get_field_index("healpix_64"), "healpix_64", pa.array(mixed))
    assert nuisance(mixed) > 0.95


def test_nothing_is_found_where_nothing_differs() -> None:
    found = [nuisance_auc(rows(60, 1000, seed)).overall for seed in range(4)]
    assert np.mean([one.auc for one in found if one]) == pytest.approx(0.5, abs=0.04)


def test_a_column_that_is_missing_is_left_out_and_null_is_no_number() -> None:
    table = rows(30, 100, mag_r=lambda v, _: pa.nulls(len(v), pa.float64()), ebv=lambda v, p: [None, *v[1:]])
    named = by_name(find_shortcuts(table, None))
    assert (named["mag_r"].overall, named["mag_r"].within_strata, named["mag_r"].strata) == (None, None, {})
    assert named["ebv"].overall is not None


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        (rows(19, 100), "19 positives are too few: a classifier needs 20"),
        (rows(20, 0), "no part of the sky has"),
        (rows(20, 100, healpix_64=lambda v, _: 0 * v), "no part of the sky has"),
        (rows(20, 100, healpix_64=lambda v, p: 4 * p.astype(int)), "no part of the sky has"),
    ],
)
def test_where_there_is_no_classifier_it_is_said_why(table: pa.Table, missing: str) -> None:
    found: CombinedAuc = nuisance_auc(table)
    assert (found.overall, found.within_strata) == (None, None)
    assert found.missing.startswith(missing)


def test_a_pixel_is_in_one_fold_and_folds_have_about_as_many_rows() -> None:
    pixel = np.random.default_rng(2).integers(0, 60, 3000)
    fold = folds_of(pixel)
    assert all(len(set(fold[pixel == one])) == 1 for one in range(60))
    assert np.bincount(fold).tolist() == pytest.approx([600] * 5, rel=0.05)


@pytest.mark.parametrize(("negatives", "step"), [(10, 1), (11, 2), (25, 3)])
def test_of_many_negatives_evenly_spaced_ones_are_looked_at(
    negatives: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MOST_NEGATIVES", 10)
    table = rows(3, negatives, ra=lambda v, _: np.arange(len(v)) - 3.0)
    for size in (1, 4, 100):
        sample = Sample(negatives)
        for start in range(0, len(table), size):
            sample.add(table.slice(start, size))
        assert sample.table["ra"].to_pylist() == [-3, -2, -1, *range(0, negatives, step)]
        assert sample.table.schema.names == list(NEEDED)


def test_no_rows_have_no_shortcuts() -> None:
    found = find_shortcuts(rows(1, 1).slice(0, 0), None)
    assert (found.positives, found.negatives, len(found.columns)) == (0, 0, 18)


def test_one_thread_is_used_whatever_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several would find the same, but wait for each other on a busy machine."""
    fit, threads = HistGradientBoostingClassifier.fit, []

    def watched(*arguments: Any) -> Any:
        threads.append(openmp_threads())
        return fit(*arguments)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", watched)
    with threadpool_limits(2):
        nuisance_auc(rows(30, 100))
        assert (threads, openmp_threads()) == ([1] * 5, 2)


def openmp_threads() -> int:
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp")
