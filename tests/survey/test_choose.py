"""Which files of the release are chosen by name, box and position."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surveyserver import A, B, C

from lensneg.cost.tables import load_rates
from lensneg.errors import InputError
from lensneg.survey.choose import Box, choose_sweeps
from lensneg.survey.releases import release_cells


def test_the_release_is_the_published_list(shared_data: Callable[[str], Path]) -> None:
    names = shared_data("dr10.1_sweep_names.txt").read_text().split()
    assert list(release_cells()) == sorted(names)
    assert set(load_rates().sweeps.known_bytes) <= set(names)


def test_the_parity_band_has_641_files() -> None:
    # dr10-facts: 641 of the 1,436 files touch -18 < Dec < 32.
    assert len(choose_sweeps(boxes=[Box(0, 360, -18, 32)])) == 641
    assert len(choose_sweeps()) == 1436


@pytest.mark.parametrize(
    ("box", "names"),
    [
        (Box(1, 2, 6, 7), [A]),
        (Box(0, 5, 5, 10), [A]),  # borders are not shared
        (Box(359, 1, 6, 7), [A, B]),  # across RA 0
        (Box(4.9, 5.1, 4.9, 5.1), [C, A, "sweep-005p000-010p005.fits", "sweep-005p005-010p010.fits"]),
    ],
)
def test_a_box_takes_the_cells_that_it_overlaps(box: Box, names: list[str]) -> None:
    assert choose_sweeps(boxes=[box]) == sorted(names)


def test_positions_take_the_cells_that_hold_them() -> None:
    one = np.array([0.0, 359.9, 200.0]), np.array([5.0, 9.99, 80.0])
    other = np.array([1.0]), np.array([1.0])
    assert choose_sweeps(positions=[one]) == [A, B]
    assert choose_sweeps(positions=[one, other]) == [C, A, B]
    assert choose_sweeps(positions=[one], boxes=[Box(180, 360, -90, 90)]) == [B]
    assert choose_sweeps([A], [one]) == [A]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"names": ["sweep-000p085-005p090.fits"]}, "no sweep file of DR10.1"),
        ({"boxes": [Box(0, 10, 60, 70)]}, "no sweep file of DR10.1 meets"),
        ({"boxes": [Box(0, 10, 7, 6)]}, "the lower one first"),
        ({"boxes": [Box(0, 400, 6, 7)]}, "from 0 to 360"),
        ({"boxes": [Box(7, 7, 6, 7)]}, "an empty range"),
        ({"positions": [(np.array([]), np.array([]))]}, "no sweep file of DR10.1 meets"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_sweeps(**conditions)
