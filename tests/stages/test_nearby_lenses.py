"""The lenses around a cell of the sky, and which sources may be in its file: also at RA 0 and at a pole."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sphere import offset

from lensneg.errors import SweepError
from lensneg.rules.rows import ROW_INDEX, Rows
from lensneg.schema.config import Config
from lensneg.schema.lenses import Lenses
from lensneg.schema.run import Run
from lensneg.stages.filter_sweep.nearby_lenses import NearbyLenses
from lensneg.survey.names import Cell
from lensneg.survey.parquet_rows import Bounds, RowGroup

Position = tuple[float, float]

CELLS = [
    Cell(150, 155, 0, 5),
    Cell(0, 5, -5, 0),
    Cell(355, 360, 30, 35),
    Cell(40, 45, 80, 85),
    Cell(0, 5, 85, 90),
    Cell(355, 360, -85, -80),
    Cell(200, 205, -90, -85),
]

#: Boxes of tables, which may be wider than half of the sky.
BOXES = [Cell(0, 360, -90, 90), Cell(10, 300, -60, 80), Cell(0.1, 359.9, -1, 1), Cell(10, 10.25, 1, 1.25)]


def near(config: Config, cell: Cell, lenses: list[Position], positive: bool = True) -> NearbyLenses:
    ra, dec = np.array(lenses).T if lenses else np.empty((2, 0))
    n = len(lenses)
    all_lenses = Lenses(ra, dec, np.full(n, positive), ["L"] * n, np.zeros(n, dtype=np.int32))
    return NearbyLenses(run_with(config, all_lenses), cell)


def run_with(config: Config, lenses: Lenses) -> Run:
    """A run of no catalogues but these lenses."""
    record: Any = SimpleNamespace(catalogs=())
    files: Any = None
    return Run(record, config, files, lenses)


def refusal(config: Config, cell: Cell, *positions: Position) -> str:
    """What is said against sources in a cell's file; nothing if they may be there."""
    ra, dec = np.array(positions).T
    rows = Rows({"RA": ra, "DEC": dec, ROW_INDEX: 1000 + np.arange(len(ra))})
    try:
        near(config, cell, []).check_positions(rows, "sweep.fits")
    except SweepError as error:
        return str(error)
    return ""


def around(cell: Cell, count: int) -> list[Position]:
    """Positions in a cell, and up to a quarter of a degree outside it, many of them at its corners."""
    random = np.random.default_rng(8)
    found = []
    for ra, dec in zip(
        random.choice([cell.ra_min, cell.ra_max, *random.uniform(cell.ra_min, cell.ra_max, 4)], count),
        random.choice([cell.dec_min, cell.dec_max, *random.uniform(cell.dec_min, cell.dec_max, 4)], count),
        strict=True,
    ):
        found.append(offset(ra, dec, random.uniform(0, 360), random.uniform(0, 900)))
    return found


@pytest.mark.parametrize("cell", [*CELLS, *BOXES], ids=str)
def test_every_lens_of_a_source_in_the_file_is_near(plan: Config, cell: Cell) -> None:
    sources = around(cell, 400)
    lenses = [offset(*source, 0.9 * i, 10.9) for i, source in enumerate(sources)]
    ra, dec = np.array(sources).T
    found = near(plan, cell, lenses).lenses.pairs(ra, dec)
    assert {(i, i) for i in range(400)} <= set(
        zip(found.source.tolist(), found.position.tolist(), strict=True)
    )


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_lens_within_the_widest_radius_is_near(plan: Config, cell: Cell) -> None:
    """A degree is the most that a config may ask for."""
    widest = plan.model_copy(
        update={"exclusion": plan.exclusion.model_copy(update={"known_lens_radius_arcsec": 3600.0})}
    )
    sources = around(cell, 400)
    lenses = [offset(*source, 0.9 * i, 3599) for i, source in enumerate(sources)]
    found = near(widest, cell, lenses).lenses.pairs(*np.array(sources).T)
    assert {(i, i) for i in range(400)} <= set(
        zip(found.source.tolist(), found.position.tolist(), strict=True)
    )


def test_sources_of_another_cell_at_the_same_pole_are_refused(plan: Config) -> None:
    """They would be compared with the lenses on the other side of it."""
    assert "RA 20.0000, Dec -86.0000" in refusal(plan, Cell(200, 205, -90, -85), (20.0, -86.0))
    assert not refusal(plan, Cell(200, 205, -90, -85), (20.0, -89.99), (205.2, -85.1), (209.0, -89.0))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_lenses_of_other_cells_are_left_out(plan: Config, cell: Cell) -> None:
    """Five degrees from the farthest corner, which is 3.54 degrees from the middle."""
    far = [offset(*cell.centre, angle, 8.54 * 3600) for angle in range(0, 360, 10)]
    assert near(plan, cell, [*far, cell.centre]).lenses.size == 1


@pytest.mark.parametrize("cell", [Cell(355, 360, 0, 5), Cell(0, 5, 0, 5)])
def test_a_right_ascension_of_360_is_one_of_0(plan: Config, cell: Cell) -> None:
    assert refusal(plan, cell, (360.0, 2.0), (0.0, 2.0)) == ""
    found = near(plan, cell, [(0.0, 2.0), (360.0, 3.0)]).lenses.pairs(
        np.array([360.0, 0.0]), np.array([2.001, 3.001])
    )
    assert list(zip(found.source.tolist(), found.position.tolist(), strict=True)) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("positive", [True, False])
def test_positives_keep_their_rows_and_other_lenses_are_none(plan: Config, positive: bool) -> None:
    found = near(plan, CELLS[0], [(10.0, 2.0), (152.0, 2.0), (153.0, 2.0)], positive)
    assert found.positive_rows.tolist() == ([1, 2] if positive else [])
    assert (found.lenses.size, found.positives.size) == (2, 2 if positive else 0)
    # A positive's source is looked for within 1.5", a negative kept clear of within 11".
    assert found.lenses.radius_arcsec.tolist() == [11.0, 11.0]
    assert found.positives.radius_arcsec.tolist() == ([1.5, 1.5] if positive else [])


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_source_may_lie_outside_its_cell_by_a_brick_in_any_direction(plan: Config, cell: Cell) -> None:
    assert refusal(plan, cell, *around(cell, 400)) == ""


# Half a cell is 2.5 degrees; a quarter of a degree on the sky is 0.2510 degrees of right ascension at
# Dec 5.25, 0.3052 at 35.25 and 3.0190 at 85.25.
@pytest.mark.parametrize(
    ("cell", "margin"),
    [(CELLS[0], 0.2510), (CELLS[1], 0.2510), (CELLS[2], 0.3061), (CELLS[3], 3.0190), (CELLS[5], 3.0190)],
    ids=str,
)
@pytest.mark.parametrize("side", [-1, 1])
def test_the_margin_in_right_ascension_by_hand(plan: Config, cell: Cell, margin: float, side: int) -> None:
    ra, dec = cell.centre
    within, beyond = ((ra + side * (2.5 + margin + more)) % 360 for more in (-0.0005, 0.0005))
    assert refusal(plan, cell, (within, dec)) == ""
    assert "outside the cell" in refusal(plan, cell, (beyond, dec))


@pytest.mark.parametrize("cell", [CELLS[4], CELLS[6]], ids=str)
def test_around_a_pole_every_right_ascension_is_near(plan: Config, cell: Cell) -> None:
    pole = np.sign(cell.centre[1]) * 90
    assert refusal(plan, cell, (0.0, pole), (123.0, pole - pole / 450), (359.9, pole)) == ""


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_margin_in_declination_by_hand(plan: Config, cell: Cell) -> None:
    ra, _ = cell.centre
    assert refusal(plan, cell, (ra, max(-90, cell.dec_min - 0.25)), (ra, min(90, cell.dec_max + 0.25))) == ""
    for dec in (cell.dec_min - 0.2501, cell.dec_max + 0.2501):
        assert "outside the cell" in refusal(plan, cell, (ra, dec))


@pytest.mark.parametrize(
    "position",
    [(-0.001, 2.0), (360.001, 2.0), (np.nan, 2.0), (2.0, np.nan), (2.0, 90.1), (2.0, -90.1)],
    ids=str,
)
def test_what_is_no_position_is_refused_also_at_a_pole(plan: Config, position: Position) -> None:
    for cell in (Cell(0, 5, 0, 5), Cell(0, 5, 85, 90), Cell(0, 5, -90, -85), Cell(355, 360, 0, 5)):
        assert "outside the cell" in refusal(plan, cell, position)


def test_the_first_row_outside_is_named(plan: Config) -> None:
    found = refusal(plan, CELLS[0], (152.0, 2.0), (20.0, 3.25), (30.0, 4.0))
    assert "row 1,001 is at RA 20.0000, Dec 3.2500, outside the cell" in found
    assert "sweep.fits" in found


@pytest.mark.parametrize(
    ("ra", "dec", "positive", "read"),
    [
        ((10, 12), (5, 6), [], False),  # outside the range of Dec, and no positive
        ((10, 12), (5, 6), [(11, 5.5)], True),
        ((10, 12), (5, 6), [(11, 4.9999)], True),  # 0.36" south of its southernmost source
        ((10, 12), (5, 6), [(11, 4.9990)], False),  # 3.6"
        ((0.0001, 2), (5, 6), [(359.9999, 5.5)], True),  # 0.7" away, across RA 0
        ((358, 359.9999), (5, 6), [(0.0001, 5.5)], True),
        ((10, 12), (5, 6), [(14, 5.5)], False),
        ((10, 12), (89.9, 89.99999), [(200, 89.9999)], True),  # across the pole
        ((10, 12), (-5, 0.5), [], True),  # within the range
        ((10, 12), (-9, -1), [], False),  # rows at the border do not pass the cut
        (None, None, [], True),  # not known
    ],
)
def test_row_groups_without_a_source_of_the_run(
    plan_with: Any, ra: Any, dec: Any, positive: list[Position], read: bool
) -> None:
    config = plan_with({"selection.dec_range": [-1.0, 1.0]})
    group = RowGroup(0, 0, 100, (), Bounds(*ra) if ra else None, Bounds(*dec) if dec else None)
    nearby = near(config, Cell(0, 360, -90, 90), positive)
    assert (nearby.outside([group], config.selection) == []) == read
    assert near(config, Cell(0, 360, -90, 90), positive, False).outside([group], config.selection) == (
        [] if dec is None or dec == (-5, 0.5) else [group]
    )
    whole = plan_with({"selection.dec_range": None})
    assert nearby.outside([group], whole.selection) == []


def test_a_lens_keeps_negatives_as_far_as_its_catalogue_states(plan: Config) -> None:
    run = run_with(plan, Lenses(
        np.array([10.0, 10.0, 10.0]), np.array([1.0, 2.0, 3.0]), np.zeros(3, bool), ["L"] * 3,
        np.zeros(3, np.int32), np.array([np.nan, 30.0, 0.5]),
    ))  # fmt: skip
    found = NearbyLenses(run, Cell(10, 15, 0, 5)).lenses
    away = np.array([10.9, 11.1, 29.9, 30.1, 1.4, 1.6]) / 3600
    pairs = found.pairs(np.full(6, 10.0), np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]) + away)
    assert pairs.source.tolist() == [0, 2, 4]
