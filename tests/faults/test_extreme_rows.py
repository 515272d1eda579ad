"""Rows with a column at its extremes, far from a positive and at one: refused, or treated rightly.

The truth is the plain rules of ``reference.py``. `make faults` also combines columns at random.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import reference
from faults import LONG, tell
from sweepfile import GALAXY, NAME, write_sweep

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.rules.selection import needed_columns
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.run import CodeInput, ConfigInput, Run, RunRecord, SweepInput
from lensneg.schema.sweep_columns import SOURCE_TYPES, SWEEP_COLUMNS, SweepColumn, sweep_dtype
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.survey.fits_rows import probe_sweep
from lensneg.survey.items import slices

#: Where the only positive is, and a place far from it.
AT, FAR = 151.2, 152.7

#: Rows with several columns at an extreme.
OUTCOMES = ("refused", "kept", "cut", "matched")
COMBINATIONS = 4_000 if LONG else 60


def extremes(column: str) -> list[Any]:
    dtype = sweep_dtype()[column]
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        return [limits.min, -1, 0, 1, limits.max]
    if dtype.kind == "f":
        limits = np.finfo(dtype.newbyteorder("="))
        tiny = np.nextafter(dtype.type(0), dtype.type(1))
        numbers = [limits.max, limits.min, tiny, -tiny, 0.0, -0.0, 1.0]
        return [np.nan, np.inf, -np.inf, *numbers]
    return [b"", b" ", b"\xff\xfe", b"ser", b"\0\0S", b"12345678"]


def run_in(folder: Path, config: Config, text: str) -> Run:
    record = RunRecord(
        run_id="one", mode="full", started_at="2025-01-01T00:00:00Z", out=str(folder),
        config=ConfigInput(uri="config", sha256="0" * 64, text=text), ignored_files=0, catalogs=(), sweeps=(),
        code=CodeInput(pipeline_version="1", git_commit="0", code_version="1"),
    )  # fmt: skip
    lenses = Lenses(np.array([AT]), np.array([2.5]), np.array([True]), ["L"], np.zeros(1, np.int32))
    return Run(record, config, RunFiles(str(folder), "one"), lenses)


Map = Callable[[dict[str, Any]], str]


@pytest.fixture
def outcome(tmp_path: Path, plan: Config, plan_text: str, plan_dict: dict[str, Any]) -> Map:
    """What comes of a row between two good ones: ``refused``, ``kept``, ``cut`` or ``matched``."""
    run = run_in(tmp_path, plan, plan_text)
    path = tmp_path / NAME

    def tell_of(changes: dict[str, Any]) -> str:
        rows = [{"OBJID": 100, "RA": 153.1}, {"OBJID": 200, **changes}, {"OBJID": 300, "RA": 153.3}]
        write_sweep(path, rows)
        info = storage.stat(str(path))
        file = probe_sweep(info)
        sweep = SweepInput(**info._asdict(), rows=3, release=file.release, row_bytes=file.row_bytes)
        [item] = slices(sweep, plan.execution)
        try:
            stats = filter_item(run, item)
        except SweepError as error:
            return "refused" if NAME in str(error) and error.remedy else f"refused badly: {error}"
        assert stats.rows_in == 3 == stats.rows_kept + sum(stats.cut.values())
        pool = {row["row_index"]: row for row in pq.read_table(run.files.pool(item.id)).to_pylist()}
        assert {0, 2} <= set(pool)
        assert [pool[i]["ra"] for i in (0, 2)] == [153.1, 153.3]
        true = source(changes)
        matched = []
        if stats.positives_bytes:
            matched = pq.read_table(run.files.positives(item.id)).to_pylist()
        for row in [row for row in (pool.get(1), *matched) if row is not None]:
            assert row["row_index"] == 1
            check(row, true)
        if 1 in pool:
            assert reference.selection_failure(true, plan_dict["selection"]) is None
            assert reference.pool_of(true, plan_dict["pools"]) == (
                pool[1]["pool"],
                pool[1]["confuser_category"],
            )
            return "kept"
        if matched:
            assert true["type"] != "DUP"
            return "matched"
        finite = all(np.isfinite(value) for value in changes.values() if not isinstance(value, bytes))
        if finite and changes["RA"] != AT:
            passes = reference.selection_failure(true, plan_dict["selection"]) is None
            assert not passes or reference.pool_of(true, plan_dict["pools"])[0] is None
        return "cut"

    return tell_of


def source(changes: dict[str, Any]) -> dict[str, Any]:
    """A row as the reference sees it."""
    cells = np.zeros(1, sweep_dtype())
    for name, value in {**GALAXY, "OBJID": 200, **changes}.items():
        cells[name] = value
    found = {name.lower(): cells[name][0].item() for name in cells.dtype.names if cells[name].ndim == 1}
    kind = found["type"].decode("latin-1").strip().upper()
    return found | {"type": kind if kind in SOURCE_TYPES else ""}


def check(row: dict[str, Any], true: dict[str, Any]) -> None:
    """A row that comes out has the values that went in, and what follows from them."""
    for name in ("ra", "dec", "objid", "release", "nobs_z", "flux_g", "flux_r", "flux_z", "maskbits", "ebv",
                 "fitbits", "shape_r", "shape_e1", "sersic", "type"):  # fmt: skip
        assert row[name] == true[name] or (row[name] != row[name] and true[name] != true[name]), name
    assert row["targetid"] == reference.target_id(true["release"], true["brickid"], true["objid"])
    assert row["healpix_128"] == reference.pixel(128, true["ra"], true["dec"])
    for band in "grz":
        if np.isfinite(true[f"flux_{band}"]):
            expected = reference.magnitude(true[f"flux_{band}"])
            assert row[f"mag_{band}"] == (None if expected is None else pytest.approx(expected, abs=1e-12))


def singles() -> Iterator[tuple[str, Any, float]]:
    for column in needed_columns(Config.load("negative_sampling_v1").selection):
        for value in extremes(column):
            for ra in (AT, FAR):
                yield column, value, ra


def test_each_column_at_its_extremes(outcome: Map) -> None:
    seen: dict[str, int] = {}
    for column, value, ra in list(singles())[:: 1 if LONG else 7]:  # seven divides neither 5, 6 nor 10
        try:
            came = outcome({"RA": ra, column: value})
        except Exception as error:
            raise AssertionError(f"{column} = {value!r} at RA {ra}: {error!r}") from error
        assert came in OUTCOMES, came
        seen[came] = seen.get(came, 0) + 1
    tell("rows at their extremes", f"{sum(seen.values())} rows", str(seen))
    assert min(seen[came] for came in OUTCOMES) > 2


def test_columns_at_their_extremes_together(outcome: Map) -> None:
    rng = random.Random(5)
    columns = [
        c for c in needed_columns(Config.load("negative_sampling_v1").selection) if c not in ("RA", "DEC")
    ]
    for _ in range(COMBINATIONS):
        some = {name: rng.choice(extremes(name)) for name in rng.sample(columns, rng.randint(2, 6))}
        try:
            came = outcome({"RA": rng.choice([AT, FAR]), **some})
        except Exception as error:
            raise AssertionError(f"{some}: {error!r}") from error
        assert came in OUTCOMES, came


NARROW = [SweepColumn(c.name, "I") if c.name == "MASKBITS" else c for c in SWEEP_COLUMNS]


@pytest.mark.parametrize("bit", ["SUB_BLOB", "ALLMASK_I", "NPRIMARY"])
def test_a_narrow_column_of_masks(tmp_path: Path, plan_with: Any, bit: str) -> None:
    """As in DR9, whose MASKBITS have 16 bits: a bit above them is set in no row."""
    config = plan_with({"selection.maskbits_excluded": [bit]})
    run = run_in(tmp_path, config, "")
    path = write_sweep(tmp_path / NAME, [{"MASKBITS": 0}, {"MASKBITS": 1}], columns=NARROW)
    info = storage.stat(path)
    file = probe_sweep(info)
    sweep = SweepInput(**info._asdict(), rows=2, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, config.execution)
    run.lenses.ra[:] = 10.0
    assert filter_item(run, item).cut["maskbits"] == (bit == "NPRIMARY")


def test_exposures_in_a_band_that_no_manifest_has(tmp_path: Path, plan_with: Any) -> None:
    config = plan_with({"selection.nobs_min": {"z": 1, "i": 2}})
    run = run_in(tmp_path, config, "")
    run.lenses.ra[:] = 10.0
    path = write_sweep(tmp_path / NAME, [{"NOBS_I": 1, "OBJID": 1}, {"NOBS_I": 2, "OBJID": 2}])
    info = storage.stat(path)
    file = probe_sweep(info, needed_columns(config.selection))
    sweep = SweepInput(**info._asdict(), rows=2, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, config.execution)
    stats = filter_item(run, item)
    assert (stats.cut["nobs"], stats.rows_kept) == (1, 1)
    without = [c for c in SWEEP_COLUMNS if c.name != "NOBS_I"]
    write_sweep(tmp_path / NAME, [{}], columns=without)
    with pytest.raises(SweepError, match="NOBS_I"):
        probe_sweep(storage.stat(path), needed_columns(config.selection))
