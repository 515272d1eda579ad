"""A random sample of rows, looked up again in two small sweep files."""

from pathlib import Path
from typing import Any

import pytest
from auditrows import Row, checks_of, content, row
from sweepfile import GALAXY, write_sweep

from lensneg import storage
from lensneg.audit.source_checks import FoundAgain
from lensneg.schema.check import Check
from lensneg.schema.columns import COLUMNS
from lensneg.schema.config import Config

NAMES = ("sweep-150p000-155p005.fits", "sweep-155p000-160p005.fits.gz")
SOURCES = 30


def source(i: int) -> Row:
    return {"OBJID": i, "RA": 150 + i / 1024, "TYPE": ("REX", "SER")[i % 2], "FLUX_Z": 100.0 + i}


def of_sweep(name: str, i: int, **changes: Any) -> Row:
    """A manifest's row of source i of a sweep file."""
    columns = {**GALAXY, **source(i)}
    copied = {c.name: columns.get(c.sweep, 0) for c in COLUMNS if c.sweep is not None}
    return row(i, **{**copied, "sweep_file": name, "row_index": i, **changes})


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, storage.FileInfo]:
    folder = tmp_path_factory.mktemp("sweeps")
    for name in NAMES:
        write_sweep(Path(folder) / name, [source(i) for i in range(SOURCES)])
    return {storage.basename(info.uri): info for info in storage.list_files(str(folder))}


RIGHT = [of_sweep(name, i) for i in range(SOURCES) for name in NAMES]


def checks(
    config: Config, rows: list[Row], sweeps: dict[str, storage.FileInfo], all_at_hand: bool = True
) -> list[Check]:
    """The checks of some rows, of which every third is a positive."""
    positives = rows[::3]
    negatives = [row for i, row in enumerate(rows) if i % 3]
    return checks_of(
        FoundAgain, content(config, negatives, positives, sweeps=sweeps, all_at_hand=all_at_hand)
    )


def test_every_row_is_looked_up_where_there_are_few(
    plan: Config, sweeps: dict[str, storage.FileInfo]
) -> None:
    """The config asks for 200 rows, and there are 60: no row that differs is missed."""
    [check] = checks(plan, RIGHT, sweeps)
    assert (check.name, check.passed, check.critical) == ("rows_found_again", True, True)
    assert check.actual == "60 in 2 files"
    for i, name in ((0, NAMES[0]), (17, NAMES[1]), (29, NAMES[0]), (29, NAMES[1])):
        place = 2 * i + NAMES.index(name)
        spoiled = [*RIGHT[:place], of_sweep(name, i, ebv=0.06), *RIGHT[place + 1 :]]
        [check] = checks(plan, spoiled, sweeps)
        assert (check.passed, check.actual) == (False, f"1 not: {name} row {i}: ebv")


def test_as_many_random_rows_are_looked_up_as_the_config_says(
    plan_with: Any, sweeps: dict[str, storage.FileInfo]
) -> None:
    """Which ones, the seed decides: with it the same, with another others. None is taken twice."""
    wrong = [{**r, "ebv": 0.06} for r in RIGHT]
    chosen = {}
    for seed in (42, 43):
        config = plan_with({"gates.rows_found_again": 59, "negative_pools.seed": seed})
        [check] = checks(config, RIGHT, sweeps)
        assert check.actual == "59 in 2 files"
        [check] = checks(config, wrong, sweeps)
        assert check.actual.startswith("59 not: ")
        few = plan_with({"gates.rows_found_again": 3, "negative_pools.seed": seed})
        chosen[seed] = [check.actual for _ in range(3) for check in checks(few, wrong, sweeps)]
        assert chosen[seed][0].startswith("3 not: ")
        assert len(set(chosen[seed])) == 1
        names = {text.split(":")[0].strip() for text in chosen[seed][0].removeprefix("3 not: ").split(", ")}
        assert len(names) == 3
    assert chosen[42] != chosen[43]


def test_three_of_many_differences_are_named(plan: Config, sweeps: dict[str, storage.FileInfo]) -> None:
    [check] = checks(plan, [{**r, "ebv": 0.06} for r in RIGHT], sweeps)
    assert check.actual.startswith("60 not: ")
    assert check.actual.count(": ebv") == 3
    assert check.actual.endswith(" and 57 more")


@pytest.mark.parametrize("all_at_hand", [True, False])
def test_a_sweep_file_that_is_not_there_is_named_and_the_others_are_looked_up(
    plan: Config, sweeps: dict[str, storage.FileInfo], all_at_hand: bool
) -> None:
    """In the run that it belongs to it must be there; elsewhere its absence is a warning."""
    spoiled = [{**r, "ebv": 0.06} if i == 4 else r for i, r in enumerate(RIGHT)]
    missing, check = checks(plan, spoiled, {NAMES[0]: sweeps[NAMES[0]]}, all_at_hand)
    assert (missing.name, missing.passed, missing.critical) == ("sweeps_at_hand", False, all_at_hand)
    assert missing.actual == f"not there: {NAMES[1]}"
    assert check.actual == f"1 not: {NAMES[0]} row 2: ebv"


def test_elsewhere_it_is_said_how_many_rows_have_their_files(
    plan: Config, sweeps: dict[str, storage.FileInfo]
) -> None:
    at_hand, check = checks(plan, RIGHT, sweeps, all_at_hand=False)
    assert (at_hand.name, at_hand.passed, at_hand.actual) == ("sweeps_at_hand", True, "60 rows' files")
    assert at_hand.expected == "the sweep files of 60 random rows"
    assert check.passed


def test_three_of_many_missing_files_are_named(plan: Config) -> None:
    rows = [{**r, "sweep_file": f"sweep-{i % 5}"} for i, r in enumerate(RIGHT)]
    [check] = checks(plan, rows, {}, all_at_hand=False)
    assert check.actual == "not there: sweep-0, sweep-1, sweep-2 and 2 more"


def test_of_no_rows_nothing_is_looked_up(plan: Config, sweeps: dict[str, storage.FileInfo]) -> None:
    assert checks(plan, [], sweeps) == []
