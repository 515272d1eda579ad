"""Sweep files as people have them, of ../shared/hostile: each ends as the README there says.

The altered rows are known: every fifth of the bright galaxies for most cases.
"""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from conftest import SHARED_DATA, config_text
from sweepfile import run_of

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.mocksky import write_mock_sky
from lensneg.schema.config import Config
from lensneg.schema.item import ItemStats
from lensneg.schema.run import SweepInput
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.survey.inputs import probe_input
from lensneg.survey.items import slices

PROGRAM = SHARED_DATA.parent / "hostile" / "alter_sweep.py"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not there")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_mock_sky(folder, files=1, rows=3_000, seed=7)
    [path] = (folder / "sweeps").iterdir()
    return path


@pytest.fixture(scope="module")
def alter() -> Callable[..., Any]:
    return runpy.run_path(str(PROGRAM))["main"]


@pytest.fixture(scope="module")
def altered_rows(good: Path) -> int:
    data = fits.getdata(good, 1)
    types = np.char.strip(data["TYPE"].astype(str))
    return len(np.flatnonzero((data["FLUX_Z"] > 10) & np.isin(types, ["SER", "DEV", "REX"]))[::5])


def filtered(path: Path, config_name: str = "negative_sampling_v1") -> ItemStats:
    text = config_text(config_name)
    run = run_of(Config.parse(text), text, path.parent / "out", [], [])
    info, file = storage.stat(str(path)), probe_input(storage.stat(str(path)))
    sweep = SweepInput(**info._asdict(), rows=file.n_rows, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, run.config.execution)
    return filter_item(run, item)


@pytest.mark.parametrize(
    ("case", "reason", "column"),
    [
        ("infinite-flux", "unusable", "FLUX_Z"),
        ("other-nulls", "unusable", "SHAPE_R"),
        ("unknown-type", "type", ""),
        ("zero-position", "bad_row", ""),
        ("ra-360", "", ""),
        ("latin1-comment", "", ""),
        ("trailing-zeros", "", ""),
    ],
)
def test_altered_rows_are_counted_and_the_others_kept(
    good: Path,
    tmp_path: Path,
    alter: Callable[..., Any],
    altered_rows: int,
    case: str,
    reason: str,
    column: str,
) -> None:
    path = tmp_path / good.name
    alter(case, str(good), str(path))
    stats, before = filtered(path), filtered(good)
    altered = 1 if case == "zero-position" else altered_rows if reason else 0
    changed = {name: rows - before.cut[name] for name, rows in stats.cut.items() if rows > before.cut[name]}
    assert changed == ({reason: altered} if reason else {})
    assert stats.unusable == ({column: altered} if column else {})
    assert before.rows_kept - altered <= stats.rows_kept <= before.rows_kept


def test_a_hole_is_refused_with_its_first_row(good: Path, tmp_path: Path, alter: Callable[..., Any]) -> None:
    path = tmp_path / good.name
    alter("hole", str(good), str(path))
    with pytest.raises(SweepError, match=r"of 3,000 rows lack .*; the first is row 750 \(RA 0\.0, .*a hole"):
        filtered(path)


def test_the_two_releases_of_dr9_south(good: Path, tmp_path: Path, alter: Callable[..., Any]) -> None:
    path = tmp_path / good.name
    alter("mixed-release", str(good), str(path))
    with pytest.raises(SweepError, match=r"is of RELEASE 901[02] \(DR9 south\); the config allows 10002"):
        filtered(path)
    assert filtered(path, "negative_sampling_dr9_south").rows_kept == filtered(good).rows_kept
