"""Rows with needed columns at their extremes, far from a positive and at one, against the slow reference."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import reference
from conftest import config_text
from faults import LONG, tell
from sweepfile import GALAXY, NAME, Row, probe, put, run_of, write_sweep

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.rules.selection import needed_columns
from lensneg.schema.columns import COLUMNS, NEEDED_COLUMNS, POSITIVES_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.item import ItemStats
from lensneg.schema.run import Run, SweepInput
from lensneg.schema.sweep_columns import SOURCE_TYPES, SWEEP_COLUMNS, SweepColumn, sweep_dtype
from lensneg.schema.tables import read_table
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.survey.fits_rows import probe_sweep
from lensneg.survey.items import slices

FLOATS = [0.0, -0.0, -1.0, 1.0, 9.0, 1e-38, 3e38, -3e38, np.nan, np.inf, -np.inf]
INTEGERS = [0, 1, -1, 2, 300, (1 << 15) - 1, -(1 << 15), (1 << 20) - 1, 1 << 20, (1 << 22) - 1, 1 << 22,
            (1 << 31) - 1, -(1 << 31)]  # fmt: skip
TEXTS = [b"", b" ", b"a", b"\xff\xfe", b"\0a", b"a\0b", b"dev", b"PSF", b"DUP", b"GGA"]

#: A row of these at an extreme may fail its whole file.
OF_THE_FILE = ("RELEASE", "RA", "DEC")

#: Rows are so far apart that no one is near the lens of another.
SPACING = 40 / 3600


def extremes(column: str) -> list[Any]:
    kind = sweep_dtype()[column]
    if kind.kind == "f":
        return FLOATS
    if kind.kind == "S":
        return TEXTS
    limits = np.iinfo(kind)
    return [value for value in INTEGERS if limits.min <= value <= limits.max]


def one_at_a_time() -> list[Row]:
    columns = [column for column in NEEDED_COLUMNS if column not in OF_THE_FILE]
    return [{"TYPE": t, c: value} for t in SOURCE_TYPES for c in columns for value in extremes(c)]


def several_at_once(seed: int, count: int) -> list[Row]:
    random = np.random.default_rng(seed)
    columns = [column for column in NEEDED_COLUMNS if column not in OF_THE_FILE]
    rows = []
    for _ in range(count):
        some = random.choice(columns, random.integers(1, 5), replace=False).tolist()
        row: Row = {"TYPE": str(random.choice(SOURCE_TYPES))}
        for column in some:
            values = extremes(column)
            row[column] = values[random.integers(len(values))]
        rows.append(row)
    return rows


def filtered(run: Run, path: str) -> tuple[ItemStats, list[Row], list[Row]]:
    info, file = storage.stat(path), probe(path)
    sweep = SweepInput(**info._asdict(), rows=file.n_rows, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, run.config.execution)
    stats = filter_item(run, item)
    matched: list[Row] = []
    if stats.candidate_matches:
        matched = read_table(run.files.positives(item.id), POSITIVES_SCHEMA).to_pylist()
    return stats, pq.read_table(run.files.pool(item.id)).to_pylist(), matched


def source_of(row: npt.NDArray[np.void]) -> dict[str, Any]:
    """A row as the reference takes it."""
    source = {name.lower(): row[name].item() for name in NEEDED_COLUMNS}
    source["type"] = source["type"].decode("latin-1").strip().upper()
    source["brickname"] = source["brickname"].decode("latin-1")
    return source


def same(one: Any, other: Any) -> bool:
    """Whether a value is that of the file, whose NaN is null in a manifest."""
    return one == other or (one is None and other != other)


#: One column at a time; then several at once, from each of these seeds.
CASES = [None, *range(30 if LONG else 1)]


@pytest.mark.parametrize("seed", CASES)
@pytest.mark.parametrize("which", ["plan", "parity"])
def test_rows_at_their_extremes(
    request: pytest.FixtureRequest, tmp_path: Path, which: str, seed: int | None
) -> None:
    config: Config = request.getfixturevalue(which)
    any_bad_rows = config.sweeps.model_copy(update={"bad_rows_max": 1.0})
    config = config.model_copy(update={"sweeps": any_bad_rows})
    science = request.getfixturevalue(f"{which}_dict")
    rows, ra, dec = [], [], []
    for number, changes in enumerate(one_at_a_time() if seed is None else several_at_once(seed, 2_000)):
        for at_positive in (False, True):
            i = 2 * number + at_positive
            place = 150.1 + SPACING * (i % 300), 0.1 + SPACING * (i // 300)
            rows.append({"OBJID": i, "RA": place[0], "DEC": place[1], **changes})
            if at_positive:
                ra.append(place[0])
                dec.append(place[1])
    run = run_of(config, config_text(config.name), tmp_path, ra, dec)
    path = write_sweep(tmp_path / NAME, rows)
    file = probe(path)
    table = np.frombuffer(Path(path).read_bytes(), file.dtype, file.n_rows, file.data_start)
    cut, kept, matched = Counter(dict.fromkeys(reference.CUTS, 0)), [], []
    for i in range(len(rows)):
        source, at_positive = source_of(table[i]), i % 2 == 1
        known = source["type"] in ("PSF", "REX", "EXP", "DEV", "SER")
        is_whole = reference.identified(source) and reference.usable(source, science["selection"])
        if at_positive and known and is_whole and not source["maskbits"] & 1:
            matched.append(i)
        reason = reference.selection_failure(source, science)
        if reason is None and reference.pool_of(source, science["negative_pools"])[0] is None:
            reason = "no_pool"
        if reason is None and at_positive:
            reason = "near_lens"
        if reason is None:
            kept.append(i)
        else:
            cut[reason] += 1
    stats, pool, matches = filtered(run, path)
    tell("rows at their extremes", f"{len(rows):,} rows, {which}, seed {seed}", f"{len(pool):,} kept")
    assert stats.cut == cut
    assert sum(stats.unusable.values()) == cut["unusable"] > 100
    assert sorted(row["row_index"] for row in pool) == kept
    assert sorted(row["row_index"] for row in matches) == matched
    for row in pool + matches:
        for column in COLUMNS:
            if column.sweep in NEEDED_COLUMNS and column.type != "string":
                assert same(row[column.name], table[row["row_index"]][column.sweep].item()), column.name


@pytest.mark.parametrize("column", OF_THE_FILE)
@pytest.mark.parametrize("at_positive", [False, True])
def test_what_may_fail_the_whole_file(
    plan: Config, plan_text: str, tmp_path: Path, column: str, at_positive: bool
) -> None:
    """Refused with the file's name, or cut and counted; the other rows are kept as they are."""
    rows = [{"OBJID": i, "RA": 151.0 + 0.1 * i} for i in range(5)]
    values = extremes(column)
    if column != "RELEASE":
        values = [*values, 360.0, 359.999, 90.0, 90.1, 500.0]
    told: list[tuple[bool, bool]] = []
    for number, value in enumerate(values):
        folder = tmp_path / str(number)
        folder.mkdir()
        ra, dec = (151.2, 2.5) if at_positive else (153.0, 4.0)
        run = run_of(plan, plan_text, folder, [ra], [dec])
        path = write_sweep(folder / NAME, rows)
        put(path, column, [*(row.get(column, GALAXY[column]) for row in rows[:2]), value])
        try:
            stats, pool, _ = filtered(run, path)
        except SweepError as error:
            told.append((NAME in error.where, error.remedy != ""))
            continue
        others = {0, 1, 3, 4}
        assert others <= {row["objid"] for row in pool} | ({2} if at_positive else set())
        assert stats.rows_in == stats.rows_kept + sum(stats.cut.values()) == 5
        for row in pool:
            expected = value if row["row_index"] == 2 else rows[row["row_index"]].get(column, GALAXY[column])
            assert row[column.lower()] == expected
    tell("a row against its file", f"{column}, {len(values)} values", f"{len(told)} refused")
    assert len(told) >= 2
    assert set(told) == {(True, True)}


NARROW = [SweepColumn(c.name, "I") if c.name == "MASKBITS" else c for c in SWEEP_COLUMNS]


@pytest.mark.parametrize("bit", ["SUB_BLOB", "ALLMASK_I", "BRIGHT"])
def test_a_narrow_column_of_masks(tmp_path: Path, plan_with: Any, bit: str) -> None:
    """As in DR9, whose MASKBITS have 16 bits: a bit above them is set in no row."""
    config = plan_with({"exclusion.exclude_maskbits": [bit]})
    run = run_of(config, "", tmp_path, [10.0], [2.5])
    path = write_sweep(tmp_path / NAME, [{"MASKBITS": 0}, {"MASKBITS": 2}], columns=NARROW)
    info = storage.stat(path)
    file = probe_sweep(info)
    sweep = SweepInput(**info._asdict(), rows=2, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, config.execution)
    assert filter_item(run, item).cut["maskbits"] == (bit == "BRIGHT")


def test_exposures_in_a_band_that_no_manifest_has(tmp_path: Path, plan_with: Any) -> None:
    config = plan_with({"selection.nobs_min": {"z": 1, "i": 2}})
    run = run_of(config, "", tmp_path, [10.0], [2.5])
    path = write_sweep(tmp_path / NAME, [{"NOBS_I": 1, "OBJID": 1}, {"NOBS_I": 2, "OBJID": 2}])
    info = storage.stat(path)
    file = probe_sweep(info, needed_columns(config))
    sweep = SweepInput(**info._asdict(), rows=2, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, config.execution)
    stats = filter_item(run, item)
    assert (stats.cut["nobs"], stats.rows_kept) == (1, 1)
    without = [c for c in SWEEP_COLUMNS if c.name != "NOBS_I"]
    write_sweep(tmp_path / NAME, [{}], columns=without)
    with pytest.raises(SweepError, match="NOBS_I"):
        probe_sweep(storage.stat(path), needed_columns(config))
