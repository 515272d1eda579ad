"""The names of sweep files, and the cells that they stand for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lensneg.survey.names import Cell, sweep_cell, sweep_name


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("sweep-175m005-180p000.fits", (175, 180, -5, 0)),
        ("sweep-000m010-005m005.fits", (0, 5, -10, -5)),
        ("sweep-355p030-360p035.fits.gz", (355, 360, 30, 35)),
        ("sweep-000m090-005m085.fits", (0, 5, -90, -85)),
        ("sweep-310m005-320p000.fits", (310, 320, -5, 0)),  # DR8 and DR9: 10 by 5 degrees
    ],
)
def test_the_cell_that_a_name_stands_for(name: str, cell: tuple[float, ...]) -> None:
    assert sweep_cell(name) == cell


@pytest.mark.parametrize("kind", ["lc", "ex", "pz"])
@pytest.mark.parametrize("suffix", [".fits", ".fits.gz"])
def test_companions_are_not_inputs(kind: str, suffix: str) -> None:
    """Row-parallel files of the same folder tree."""
    assert sweep_cell(f"sweep-175m005-180p000-{kind}{suffix}") is None
    assert sweep_cell(f"sweep-175m005-180p000{suffix}") is not None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "legacysurvey_dr10_south_sweep_10.1.sha256sum",
        "tractor-1512p025.fits",
        "sweep-175m005-180p000.fits.fz",
        "sweep-175m005-180p000.fits.gz.part",
        "sweep-175m005-180p000.fits\n",
        "._sweep-175m005-180p000.fits",
        "old-sweep-175m005-180p000.fits",
        "SWEEP-175M005-180P000.FITS",
        "sweep-175m005.fits",
        "sweep-180p000-175m005.fits",  # upper corner first
        "sweep-355p030-365p035.fits",
        "sweep-175m095-180m090.fits",
        "sweep-175x005-180p000.fits",
        "sweep-１75m005-180p000.fits",
    ],
)
def test_other_files_have_no_cell(name: str) -> None:
    assert sweep_cell(name) is None


def test_a_cell_is_half_open() -> None:
    cell = sweep_cell("sweep-175m005-180p000.fits")
    assert cell is not None
    ra = np.array([175.0, 179.999, 180.0, 174.999, 177.0, 177.0, 177.0])
    dec = np.array([-5.0, -0.001, -1.0, -1.0, 0.0, -5.001, -5.0])
    assert cell.holds(ra, dec).tolist() == [True, True, False, False, False, False, True]


def test_the_name_of_a_cell() -> None:
    assert sweep_name(Cell(5, 10, -5, 0)) == "sweep-005m005-010p000.fits"
    assert sweep_name(Cell(355, 360, -90, -85)) == "sweep-355m090-360m085.fits"


def test_real_names(shared_data: Callable[[str], Path]) -> None:
    names = shared_data("dr10.1_sweep_names.txt").read_text(encoding="utf-8").split()
    cells = [sweep_cell(name) for name in names]
    assert len(cells) == len(set(cells)) == 1436
    assert None not in cells
    assert [sweep_name(cell) for cell in cells if cell] == names
    assert {(c.ra_max - c.ra_min, c.dec_max - c.dec_min) for c in cells if c} == {(5.0, 5.0)}
    # Cells that hold some of -18 < Dec < 32
    assert sum(cell.dec_max > -18 and cell.dec_min < 32 for cell in cells if cell) == 641
