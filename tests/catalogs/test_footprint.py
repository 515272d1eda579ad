"""Positions inside the cells of sweep files, and catalogues whose coordinates are not degrees."""

import numpy as np
import pytest

from lensneg.catalogs.footprint import degrees_from, how_far, inside_cells, mistaken_unit
from lensneg.schema.arrays import FloatArray
from lensneg.survey.names import Cell
from lensneg.survey.versions import versions_of

#: Ten lenses all around the sky, between Dec -10 and +10, in degrees.
RA, DEC = np.linspace(10, 350, 10), np.linspace(-10, 10, 10)
AROUND = [Cell(ra, ra + 5, dec, dec + 5) for ra in range(0, 360, 5) for dec in range(-15, 15, 5)]
HOURS_AWAY = [cell for cell in AROUND if cell.ra_min >= 25]
RADIANS_AWAY = [cell for cell in AROUND if cell.ra_min >= 10]

#: Cells around the ten lenses only, and what lies in them.
AT_LENSES = [Cell(5 * (ra // 5), 5 * (ra // 5) + 5, -15, 15) for ra in RA.tolist()]


def test_a_position_is_inside_one_of_the_cells_half_open() -> None:
    cells = [Cell(0, 5, 0, 5), Cell(0, 5, 0, 5), Cell(355, 360, -5, 0)]
    ra, dec = np.array([0.0, 5.0, 359.9, 2.0, 2.0]), np.array([0.0, 0.0, -0.1, 5.0, 4.9])
    assert inside_cells(ra, dec, cells).tolist() == [True, False, True, False, True]
    assert inside_cells(ra, dec, []).tolist() == [False] * 5


def test_degrees_are_not_mistaken() -> None:
    assert mistaken_unit(RA, DEC, AROUND) is None


@pytest.mark.parametrize(
    ("ra", "dec", "cells", "expected"),
    [
        # Cells at a tenth of all RA hold all ten lenses: not by chance.
        (RA / 15, DEC, AT_LENSES, ("hours of RA", "hour", 10, True)),
        (np.radians(RA), np.radians(DEC), AT_LENSES, ("radians", "rad", 10, True)),
        # Nearly everything is inside nearly the whole circle, whatever it is.
        (RA / 15, DEC, HOURS_AWAY, ("hours of RA", "hour", 9, False)),
        (np.radians(RA), np.radians(DEC), RADIANS_AWAY, ("radians", "rad", 10, False)),
        (RA / 15, DEC, AROUND, ("hours of RA", "hour", 10, False)),
    ],
)
def test_another_unit_is_named(
    ra: np.ndarray, dec: np.ndarray, cells: list[Cell], expected: tuple[str, str, int, bool]
) -> None:
    other = mistaken_unit(ra, dec, cells)
    assert other is not None
    assert (other.name, other.option, other.inside, other.is_evident) == expected
    assert other.as_degrees == inside_cells(ra, dec, cells).sum()


@pytest.mark.parametrize("seed", range(20))
def test_degrees_from_0_to_24_are_not_hours_by_chance(seed: int) -> None:
    """Three hundred lenses in sweeps that lie elsewhere: as hours, some are inside, as anything would be."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 24, 300), rng.uniform(-15, 15, 300)
    for first, last in ((100, 200), (30, 350), (180, 185)):
        other = mistaken_unit(
            ra, dec, [Cell(r, r + 5, d, d + 5) for r in range(first, last, 5) for d in range(-15, 15, 5)]
        )
        assert other is None or not other.is_evident


def test_too_little_says_nothing_of_the_unit() -> None:
    assert mistaken_unit(RA[:9] / 15, DEC[:9], HOURS_AWAY) is None, "nine positions"
    assert mistaken_unit(RA / 60, DEC, HOURS_AWAY) is None, "a small field has small values in any unit"
    assert mistaken_unit(RA / 15, DEC, [Cell(0, 5, 60, 65)]) is None, "inside no cell in any unit"


def test_the_distance_from_a_cell_is_that_of_its_nearest_point() -> None:

    def vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
        a, d = np.radians(ra), np.radians(dec)
        return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)

    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    for cell in (Cell(175, 180, -5, 0), Cell(355, 360, 80, 85), Cell(0, 5, -90, -85), Cell(0, 360, 10, 20)):
        # The nearest of all points of a fine grid on the cell, by the angle between unit vectors.
        grid = np.meshgrid(np.linspace(*cell[:2], 201), np.linspace(*cell[2:], 201))
        cosines = vectors(ra, dec) @ vectors(*(x.ravel() for x in grid)).T
        nearest = np.degrees(np.arccos(np.clip(cosines, -1, 1))).min(axis=1)
        inside = cell.holds(ra, dec)
        found = degrees_from(cell, ra, dec)
        assert np.all(found[inside] < 1e-9)
        np.testing.assert_allclose(found[~inside], nearest[~inside], atol=1.0)
        assert np.all(found <= nearest + 1e-5)


def test_what_is_said_of_positions_that_no_file_covers() -> None:
    """The cells of DR9 and DR11 are known, 10 and 5 degrees wide, and the files of DR10.1."""
    versions = versions_of([9010, 10002, 11010])
    said = how_far(np.array([10.0]), np.array([80.0]), {"a.csv": Cell(0, 20, 60, 70)}, versions)
    assert said == (
        "the nearest sweep file, a.csv, is 10.00 degrees away; "
        "they lie in 1 file of DR9 south: sweep-010p080-020p085.fits; no file of DR10.1 covers them; "
        "they lie in 1 file of DR11 south: sweep-010p080-015p085.fits"
    )
    said = how_far(np.array([359.9]), np.array([-0.1]), {"a.csv": Cell(0, 20, 60, 70)}, versions_of([10002]))
    assert said.endswith("they lie in 1 file of DR10.1: sweep-355m005-360p000.fits")
