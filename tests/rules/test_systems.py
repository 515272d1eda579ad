"""Systems of spectra, and positions with a companion, against the angles between all pairs of vectors."""

from typing import Any

import numpy as np
import pytest
from sphere import offset

from lensneg.rules.systems import near_any, systems


def separations(ra: Any, dec: Any, other_ra: Any, other_dec: Any) -> Any:
    """The angles of all pairs in arcsec, from the chords."""

    def vectors(lon: Any, lat: Any) -> Any:
        lon, lat = np.radians(lon), np.radians(lat)
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)

    chord = np.linalg.norm(vectors(ra, dec)[:, None] - vectors(other_ra, other_dec)[None], axis=-1)
    return np.degrees(2 * np.arcsin(chord / 2)) * 3600


def plain_systems(linked: Any) -> list[int]:
    """The first member of each one's system, by walking from neighbour to neighbour."""
    found = [-1] * len(linked)
    for i in range(len(linked)):
        waiting = [i] if found[i] < 0 else []
        while waiting:
            member = waiting.pop()
            if found[member] < 0:
                found[member] = i
                waiting += np.flatnonzero(linked[member]).tolist()
    return found


#: Around RA 0, at both poles, and at a common place.
PLACES = [(0.0, 0.0), (359.9999, 60.0), (12.0, 90.0), (200.0, -89.9999), (165.4754, -6.04226)]


@pytest.mark.parametrize("seed", range(4))
def test_systems_are_those_of_all_pairs(seed: int) -> None:
    random = np.random.default_rng(seed)
    chosen = [PLACES[i] for i in random.integers(0, len(PLACES), 150)]
    ra, dec = np.array([offset(*p, random.uniform(0, 360), random.uniform(0, 25)) for p in chosen]).T
    apart = separations(ra, dec, ra, dec)
    assert np.abs(apart - 3).min() > 1e-6, "no pair for rounding to decide"
    found = systems(ra, dec, 3.0)
    assert found.tolist() == plain_systems(apart <= 3.0)
    assert 10 < len(set(found.tolist())) < 140


def test_a_chain_is_one_system_and_its_first_spectrum_names_it() -> None:
    """Each 2 arcsec from the next, and the ends 8 arcsec apart; in an order that is not the chain's."""
    steps = [4, 0, 3, 50, 1, 2]
    dec = 10 + 2.0 * np.array(steps) / 3600
    assert systems(np.full(6, 20.0), dec, 2.5).tolist() == [0, 0, 0, 3, 0, 0]
    assert systems(np.full(6, 20.0), dec, 1.5).tolist() == [0, 1, 2, 3, 4, 5]


def test_spectra_of_one_position_are_one_system_across_ra_0() -> None:
    ra, dec = np.array([0.0, 359.9999, 0.0, 77.0, 10.0]), np.array([5.0, 5.0, 5.0, 90.0, 90.0])
    assert systems(ra, dec, 1.0).tolist() == [0, 0, 0, 3, 3]


def test_no_spectra() -> None:
    assert systems(np.empty(0), np.empty(0), 3.0).tolist() == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("radius", [3.0, 11.0])
def test_a_ten_thousandth_of_an_arcsecond_decides(place: tuple[float, float], radius: float) -> None:
    for angle in range(0, 360, 45):
        ra, dec = np.array([offset(*place, angle, radius + step) for step in (-1e-4, 1e-4)]).T
        lenses = np.array([place[0], 100.0]), np.array([place[1], 20.0])
        assert near_any(ra, dec, *lenses, radius).tolist() == [True, False]


@pytest.mark.parametrize(("rows", "others"), [(0, 0), (2, 0), (0, 2)])
def test_nothing_is_near_nothing(rows: int, others: int) -> None:
    found = near_any(np.zeros(rows), np.zeros(rows), np.zeros(others), np.zeros(others), 11.0)
    assert found.tolist() == [False] * rows
