"""Positions inside the cells of sweep files, and catalogues whose coordinates are not degrees."""

import numpy as np
import pytest

from lensneg.catalogs.footprint import inside_cells, mistaken_unit
from lensneg.survey.names import Cell

#: Ten lenses all around the sky, between Dec -10 and +10, in degrees.
RA, DEC = np.linspace(10, 350, 10), np.linspace(-10, 10, 10)
AROUND = [Cell(ra, ra + 5, dec, dec + 5) for ra in range(0, 360, 5) for dec in range(-15, 15, 5)]
HOURS_AWAY = [cell for cell in AROUND if cell.ra_min >= 25]
RADIANS_AWAY = [cell for cell in AROUND if cell.ra_min >= 10]


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
        (RA / 15, DEC, HOURS_AWAY, ("hours of RA", 9)),
        (np.radians(RA), np.radians(DEC), RADIANS_AWAY, ("radians", 10)),
        # In the cells as degrees just as well: at least as many are inside as hours.
        (RA / 15, DEC, AROUND, ("hours of RA", 10)),
    ],
)
def test_another_unit_is_named(
    ra: np.ndarray, dec: np.ndarray, cells: list[Cell], expected: tuple[str, int]
) -> None:
    assert mistaken_unit(ra, dec, cells) == expected


def test_too_little_says_nothing_of_the_unit() -> None:
    assert mistaken_unit(RA[:9] / 15, DEC[:9], HOURS_AWAY) is None, "nine positions"
    assert mistaken_unit(RA / 60, DEC, HOURS_AWAY) is None, "a small field has small values in any unit"
    assert mistaken_unit(RA / 15, DEC, [Cell(0, 5, 60, 65)]) is None, "inside no cell in any unit"
