"""Listed sources, against a look at every pair."""

import numpy as np
import pytest
from sphere import offset

from lensneg.rules.listed import SourceList


def arcsec(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The haversine."""
    (ra, dec), (ra2, dec2) = np.radians(one), np.radians(other)
    h = np.sin((dec - dec2) / 2) ** 2 + np.cos(dec) * np.cos(dec2) * np.sin((ra - ra2) / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(h))) * 3600)


@pytest.mark.parametrize("dec", [0.0, 62.0, 89.9995])
def test_the_first_catalogue_that_lists_a_source_as_every_pair_says(dec: float) -> None:
    """Across RA 0 and around a pole; with TARGETIDs given twice, and entries without a position."""
    rng = np.random.default_rng(5)
    places = [offset(0.0, dec, rng.uniform(0, 360), rng.uniform(0, 20)) for _ in range(300)]
    ra, declination = np.array(places).T
    ids = rng.permutation(300) + 1
    entry_ra, entry_dec = np.array(
        [offset(0.0, dec, rng.uniform(0, 360), rng.uniform(0, 20)) for _ in range(40)]
    ).T
    entry_id = np.where(rng.random(40) < 0.5, rng.integers(1, 40, 40), 0)
    entry_ra[::4] = entry_dec[::4] = np.nan
    group = rng.integers(0, 3, 40)
    listed = SourceList(entry_ra, entry_dec, entry_id, 2.0)

    expected = []
    for place, name in zip(zip(ra, declination, strict=True), ids, strict=True):
        groups = [
            group[j]
            for j in range(40)
            if entry_id[j] == name or arcsec(place, (entry_ra[j], entry_dec[j])) <= 2.0
        ]
        expected.append(min(groups, default=-1))
    assert len(set(expected)) == 4
    assert listed.first_group(ra, declination, ids, group).tolist() == expected
    assert listed.holds(ra, declination, ids).tolist() == [e >= 0 for e in expected]
    near = listed.near(ra, declination, ids)
    assert set(np.flatnonzero(np.array(expected) >= 0)) <= set(near.tolist())


def test_a_list_without_entries_holds_nothing() -> None:
    none = SourceList(np.empty(0), np.empty(0), np.empty(0, np.int64), 2.0)
    one = np.array([1.0]), np.array([2.0]), np.array([3])
    assert not none.has_ids
    assert none.holds(*one).tolist() == [False]
    assert none.near(*one).tolist() == []


def test_a_targetid_of_zero_is_no_targetid() -> None:
    listed = SourceList(np.array([5.0]), np.array([5.0]), np.array([0]), 2.0)
    assert listed.holds(np.array([1.0]), np.array([2.0]), np.array([0])).tolist() == [False]
