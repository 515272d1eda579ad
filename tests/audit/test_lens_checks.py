"""No negative near a lens: the search for pairs against the angle between vectors, and what is compared."""

from typing import Any

import numpy as np
import pytest
from auditrows import Row, checks_of, content, positive, row
from sphere import offset

from lensneg.audit import lens_checks
from lensneg.audit.lens_checks import ClearOfLenses, near_any
from lensneg.schema.check import Check
from lensneg.schema.config import Config

PLACE = (165.4754, -6.04226)


@pytest.mark.parametrize("at_once", [1, 100, 2_000_000])
def test_near_any_equals_the_angle_between_vectors_everywhere(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(lens_checks, "_PAIRS_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    lens_ra = np.concatenate([rng.uniform(0, 360, 300), [0.0, 359.9999, 10.0, 200.0]])
    lens_dec = np.concatenate([rng.uniform(-89, 89, 300), [0.0, 30.0, 90.0, -89.9999]])
    which = rng.integers(0, len(lens_ra), 4_000)
    distance = rng.uniform(0, 22, 4_000) / 3600
    angle = rng.uniform(0, 2 * np.pi, 4_000)
    dec = np.clip(lens_dec[which] + distance * np.sin(angle), -90, 90)
    ra = (lens_ra[which] + distance * np.cos(angle) / np.maximum(np.cos(np.radians(dec)), 1e-6)) % 360

    def vectors(lon: Any, lat: Any) -> Any:
        lon, lat = np.radians(lon), np.radians(lat)
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)

    chords = np.linalg.norm(vectors(ra, dec)[:, None] - vectors(lens_ra, lens_dec)[None], axis=-1)
    nearest = np.degrees(2 * np.arcsin(chords.min(axis=1) / 2)) * 3600
    clear = np.abs(nearest - 11) > 1e-6
    found = near_any(ra, dec, lens_ra, lens_dec, 11.0)
    assert 500 < found.sum() < 3_500
    assert (found == (nearest <= 11))[clear].all()


@pytest.mark.parametrize("radius", [1.5, 11.0, 3600.0])
@pytest.mark.parametrize("lens", [PLACE, (0.0, 0.0), (359.99, 60.0), (12.0, -89.999), (77.0, 90.0)])
def test_a_ten_thousandth_of_an_arcsecond_decides(lens: tuple[float, float], radius: float) -> None:
    for angle in range(0, 360, 30):
        places = [offset(*lens, angle, radius - 1e-4), offset(*lens, angle, radius + 1e-4)]
        found = near_any(*np.array(places).T, np.array([lens[0]]), np.array([lens[1]]), radius)
        assert found.tolist() == [True, False]


def test_the_radius_itself_is_within_the_radius() -> None:
    """Exactly, where rounding cannot decide: at no distance, for a radius of nothing."""
    ra, dec = np.array([10.0, 0.0, 359.75]), np.array([20.0, -90.0, 0.0])
    assert near_any(ra, dec, ra, dec, 0.0).tolist() == [True, True, True]
    assert near_any(ra, dec, ra, dec + 1e-9, 0.0).tolist() == [False, False, False]


@pytest.mark.parametrize("side", [-1, 1])
def test_what_is_a_billionth_of_the_radius_inside_it_is_near(side: int) -> None:
    """Due north or south, where only rounding could move it out."""
    lens = np.array([0.0, 0.0, 0.0]), np.array([0.0, 10.0, -60.0])
    for inside, expected in ((0.5e-9, True), (-0.5e-8, False)):
        dec = lens[1] + side * 11 / 3600 * (1 - inside)
        assert near_any(lens[0], dec, *lens, 11.0).tolist() == [expected] * 3


@pytest.mark.parametrize(("rows", "lenses"), [(0, 0), (3, 0), (0, 3)])
def test_no_rows_or_no_lenses(rows: int, lenses: int) -> None:
    found = near_any(np.zeros(rows), np.zeros(rows), np.zeros(lenses), np.zeros(lenses), 11.0)
    assert found.tolist() == [False] * rows


def at(place: tuple[float, float]) -> Row:
    return {"ra": place[0], "dec": place[1]}


def north(arcsec: float) -> tuple[float, float]:
    """The place so far north of :data:`PLACE`."""
    return PLACE[0], PLACE[1] + arcsec / 3600


def judged(config: Config, rows: list[Row], positives: list[Row], **claims: Any) -> list[Check]:
    return checks_of(ClearOfLenses, content(config, rows, positives, **claims))


@pytest.mark.parametrize(("arcsec", "passed"), [(0.0, False), (10.9, False), (11.1, True)])
def test_a_negative_beside_a_lens(plan: Config, arcsec: float, passed: bool) -> None:
    rows = [row(1, **at((20.0, 20.0))), row(2)]
    lens = north(arcsec)
    claims = {"ra": np.array([200.0, lens[0], 100.0]), "dec": np.array([0.0, lens[1], 0.0])}
    [check] = judged(plan, rows, [], **claims)
    assert (check.name, check.passed, check.critical) == ("clear_of_lenses", passed, True)
    assert check.expected == 'no negative within 11" of any of 3 catalogue positions, or a positive'
    assert check.actual == ("all 2 rows" if passed else "not in 1 of 2 rows, the first in row 1")
    assert "a catalogue has grown" in check.remedy


def test_the_radius_is_the_configs(plan_with: Any) -> None:
    claims = {"ra": np.array([PLACE[0]]), "dec": np.array([PLACE[1]])}
    for radius, passed in ((30.0, True), (32.0, False)):
        config = plan_with({"exclusion.known_lens_radius_arcsec": radius})
        [check] = judged(config, [row(1, **at(north(31.0)))], [], **claims)
        assert check.passed == passed
        assert check.expected.startswith(f'no negative within {radius:g}" of any of 1 ')


def test_a_negative_that_is_a_positive(plan: Config) -> None:
    """Wherever it says that it is; a source of another brick with the same number is another one."""
    rows, beside = [row(1), row(2, **at((20.0, 20.0)))], {**at((30.0, 30.0)), "pool": "positive"}
    [check] = judged(plan, rows, [row(2, **beside)])
    assert check.actual == "not in 1 of 2 rows, the first in row 1"
    for other in (row(3, **beside), row(2, **beside, targetid=row(2)["targetid"] + 2**22)):
        [check] = judged(plan, rows, [other])
        assert check.passed


@pytest.mark.parametrize(("arcsec", "passed"), [(0.1, False), (9.4, False), (9.6, True)])
def test_positives_stand_in_for_missing_catalogues(plan: Config, arcsec: float, passed: bool) -> None:
    """A positive's source lies within 1.5 arcsec of its catalogue position: 11 - 1.5 are certain."""
    rows, positives = [row(1)], [positive(**at(north(arcsec)))]
    [alone] = judged(plan, rows, positives)
    assert alone.passed
    warning, check = judged(plan, rows, positives, missing_catalogs=("a.csv", "b.csv"))
    assert (warning.name, warning.passed, warning.critical) == ("catalogs_at_hand", False, False)
    assert warning.actual.startswith("not there: a.csv, b.csv;")
    assert (check.name, check.passed) == ("clear_of_lenses", passed)


def test_lenses_at_hand_count_also_where_catalogues_are_missing(plan: Config) -> None:
    claims = {"ra": np.array([PLACE[0]]), "dec": np.array([PLACE[1]]), "missing_catalogs": ("a.csv",)}
    _, check = judged(plan, [row(1), row(2, **at((20.0, 20.0)))], [positive(**at((20.0, 20.0)))], **claims)
    assert check.actual == "not in 2 of 2 rows, the first in row 0"


@pytest.mark.parametrize(("arcsec", "passed"), [(10.9, False), (11.1, True)])
def test_a_negative_beside_a_spectrum_fails_a_check_of_its_own(
    plan: Config, arcsec: float, passed: bool
) -> None:
    lens = north(arcsec)
    claims = {"ra": np.array([200.0, lens[0], 100.0]), "dec": np.array([0.0, lens[1], 0.0])}
    claims["is_spectroscopic"] = np.array([False, True, True])
    known, check = judged(plan, [row(1), row(2, **at((20.0, 20.0)))], [], **claims)
    assert (known.name, known.passed) == ("clear_of_lenses", True)
    assert known.expected == 'no negative within 11" of any of 1 catalogue positions, or a positive'
    assert (check.name, check.passed, check.critical) == ("clear_of_spectroscopic", passed, True)
    assert check.expected == 'no negative within 11" of any of 2 positions of the spectroscopic catalogues'
    assert check.actual == ("all 2 rows" if passed else "not in 1 of 2 rows, the first in row 0")
    assert "a catalogue has grown" in check.remedy


def test_a_negative_beside_another_lens_does_not_fail_the_check_of_spectra(plan: Config) -> None:
    claims = {"ra": np.array([PLACE[0], 100.0]), "dec": np.array([PLACE[1], 0.0])}
    claims["is_spectroscopic"] = np.array([False, True])
    known, check = judged(plan, [row(1)], [], **claims)
    assert (known.passed, check.passed) == (False, True)


@pytest.mark.parametrize("spectra", [None, np.array([False])])
def test_without_spectra_all_positions_are_of_known_lenses(plan: Config, spectra: Any) -> None:
    claims = {"ra": np.array([PLACE[0]]), "dec": np.array([PLACE[1]]), "is_spectroscopic": spectra}
    [check] = judged(plan, [row(1)], [], **claims)
    assert (check.name, check.passed) == ("clear_of_lenses", False)
