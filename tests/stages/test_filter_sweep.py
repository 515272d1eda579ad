"""What the map makes of rows with values that cannot be used, far from a positive and at one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from conftest import edited
from sweepfile import NAME, Row, probe, run_of, write_sweep

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.rules.selection import needed_columns
from lensneg.schema.columns import POSITIVES_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.item import ItemStats
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import Run, SweepInput
from lensneg.schema.sweep_columns import SWEEP_COLUMNS
from lensneg.schema.tables import read_table
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.survey.inputs import probe_input
from lensneg.survey.items import slices

#: Seven galaxies that are kept, far from the positive, and one at the positive.
FAR: list[Row] = [{"OBJID": i, "RA": 151.0 + 0.1 * i} for i in range(7)]
AT_POSITIVE: Row = {"OBJID": 100, "RA": 152.0, "DEC": 3.0}


@pytest.fixture
def run(plan: Config, plan_text: str, tmp_path: Path) -> Run:
    """A run with one positive."""
    return run_of(plan, plan_text, tmp_path, [152.0], [3.0])


def filtered(run: Run, path: str) -> tuple[ItemStats, set[int], list[int]]:
    """The stats of a file, and the OBJIDs that are kept and that match the positive."""
    info, file = storage.stat(path), probe(path)
    sweep = SweepInput(**info._asdict(), rows=file.n_rows, release=file.release, row_bytes=file.row_bytes)
    [item] = slices(sweep, run.config.execution)
    stats = filter_item(run, item)
    assert stats.rows_in == stats.rows_kept + sum(stats.cut.values())
    assert sum(stats.unusable.values()) == stats.cut["unusable"]
    kept = pq.read_table(run.files.pool(item.id))["objid"].to_pylist()
    assert len(kept) == len(set(kept)) == stats.rows_kept
    matched: list[int] = []
    if stats.candidate_matches:
        matched = read_table(run.files.positives(item.id), POSITIVES_SCHEMA)["objid"].to_pylist()
    return stats, set(kept), matched


def test_a_masked_value_is_a_missing_value(run: Run, tmp_path: Path) -> None:
    """As astropy writes a masked column: with a TNULL in the header, and a large number in the rows."""
    plain = write_sweep(tmp_path / f"plain-{NAME}", [*FAR, AT_POSITIVE])
    table = Table(np.array(fits.getdata(plain, 1)))
    masked = np.isin(np.arange(8), [1, 4, 7])
    table["NOBS_Z"] = MaskedColumn(table["NOBS_Z"], mask=masked, fill_value=16_959)
    table["FITBITS"] = MaskedColumn(table["FITBITS"], mask=np.arange(8) == 5, fill_value=-1)
    table["NOBS_G"] = MaskedColumn(table["NOBS_G"], mask=True, fill_value=99)  # the plan does not need it
    table.write(tmp_path / NAME, format="fits")
    with fits.open(tmp_path / NAME, mode="update") as hdus:
        hdus[1].name = "SWEEP"
        assert {hdus[1].columns[name].null for name in ("NOBS_Z", "FITBITS", "NOBS_G")} == {16_959, -1, 99}
    stats, kept, matched = filtered(run, str(tmp_path / NAME))
    assert kept == {0, 2, 3, 6}
    assert stats.unusable == {"NOBS_Z": 3, "FITBITS": 1}
    assert stats.cut == dict.fromkeys(stats.cut, 0) | {"unusable": 4}
    assert matched == []


UNUSABLE: list[tuple[Row, str, str]] = [
    ({"FLUX_Z": np.inf}, "unusable", "FLUX_Z"),
    ({"FLUX_G": -np.inf}, "unusable", "FLUX_G"),
    ({"SHAPE_R": np.nan, "SERSIC": np.nan}, "unusable", "SHAPE_R"),
    ({"SERSIC": np.inf}, "unusable", "SERSIC"),
    ({"BRICKID": 0}, "bad_row", ""),
    ({"OBJID": 1 << 22}, "bad_row", ""),
    ({"DEC": 91.0}, "bad_row", ""),
    ({"BRICKNAME": b"\xe9"}, "unusable", "BRICKNAME"),
    ({"NOBS_Z": -1}, "unusable", "NOBS_Z"),
    ({"TYPE": "GGA"}, "type", ""),
    ({"TYPE": b"\xff"}, "type", ""),
    ({"TYPE": ""}, "type", ""),
]


@pytest.mark.parametrize(("changes", "reason", "column"), UNUSABLE, ids=[str(case[0]) for case in UNUSABLE])
def test_such_a_source_is_cut_and_matches_nothing(
    run: Run, tmp_path: Path, changes: dict[str, Any], reason: str, column: str
) -> None:
    """Neither in the pool nor a positive's match: the next source within the radius is that."""
    run = with_bad_rows(run, 1.0)
    odd = {**AT_POSITIVE, **changes}
    stats, kept, matched = filtered(run, write_sweep(tmp_path / NAME, [*FAR, {**FAR[0], **changes}, odd]))
    assert kept == set(range(7))
    assert stats.cut == dict.fromkeys(stats.cut, 0) | {reason: 2}
    assert stats.unusable == ({column: 2} if column else {})
    assert matched == []
    next_to_it = {**AT_POSITIVE, "OBJID": 101, "DEC": 3.0 + 1 / 3600}
    storage.delete(run.files.stats(NAME.removesuffix(".fits")))
    _, kept, matched = filtered(run, write_sweep(tmp_path / NAME, [*FAR, odd, next_to_it]))
    assert kept == set(range(7))
    assert matched == [101]


def with_bad_rows(run: Run, share: float) -> Run:
    """The run, with another share of bad rows that is allowed."""
    sweeps = run.config.sweeps.model_copy(update={"bad_rows_max": share})
    return replace(run, config=run.config.model_copy(update={"sweeps": sweeps}))


def test_bad_rows_are_counted_wherever_they_are_and_too_many_fail_the_item(run: Run, tmp_path: Path) -> None:
    """Faint ones and stars too, in any chunk; the reader's chunks have 4,096 rows."""
    rows: list[Row] = [*FAR, *([{"FLUX_Z": 1.0}] * 9_993)]
    rows[4_100] = {"RA": np.nan, "FLUX_Z": 1.0}
    path = write_sweep(tmp_path / NAME, rows)
    stats, kept, _ = filtered(run, path)
    assert (stats.cut["bad_row"], stats.cut["faint"], kept) == (1, 9_992, set(range(7)))
    rows[9_998] = {"RELEASE": 0, "BRICKID": 0, "OBJID": 0, "RA": 0.0, "DEC": 0.0, "TYPE": "PSF"}
    write_sweep(tmp_path / NAME, rows)
    told = (
        r"sweep-150p000-155p005\.fits: at least 2 of 10,000 rows lack a position or an id, and the config "
        r"allows 1; the first is row 4,100 \(RA nan, DEC 2\.5, RELEASE 10002, BRICKID 336000, OBJID 1\); "
        r"rows of zeros are a hole in the file: fetch it again; or allow more \(sweeps\.bad_rows_max\)"
    )
    with pytest.raises(SweepError, match=told):
        filtered(run, path)
    assert filtered(with_bad_rows(run, 0.0002), path)[0].cut["bad_row"] == 2
    with pytest.raises(SweepError, match="allows 0; the first is row 4,100 "):
        filtered(with_bad_rows(run, 0.0), path)


@pytest.mark.parametrize("kind", ["fits", "csv", "parquet"])
def test_of_stacked_bricks_only_primary_sources_are_taken(run: Run, tmp_path: Path, kind: str) -> None:
    """Bricks overlap: each has a row of the sources between them, also of the positive."""
    path = write_sweep(tmp_path / NAME, [*FAR, FAR[3], AT_POSITIVE, AT_POSITIVE])
    table = Table(np.array(fits.getdata(path, 1)))
    table.remove_column("DCHISQ")
    table["brick_primary"] = [True] * 7 + [False, False, True]
    path = str(tmp_path / (NAME if kind == "fits" else f"field.{kind}"))
    if kind == "fits":
        table.write(path, overwrite=True)
    else:
        for name in table.colnames:
            if table[name].dtype.kind == "S":
                table[name] = table[name].astype(str)
        table.write(path) if kind == "csv" else pq.write_table(pa.table(table.to_pandas()), path)
    file = probe_input(storage.stat(path))
    assert [oddity for oddity in file.oddities if "BRICK_PRIMARY" in oddity]
    sweep = SweepInput(
        **storage.stat(path)._asdict(), rows=10, release=10002, row_bytes=file.row_bytes, box=file.box
    )
    [item] = slices(sweep, run.config.execution)
    stats = filter_item(run, item)
    assert (stats.rows_kept, stats.cut["not_primary"], stats.cut["near_lens"]) == (7, 2, 1)
    assert read_table(run.files.positives(item.id), POSITIVES_SCHEMA)["row_index"].to_pylist() == [9]
    assert sorted(pq.read_table(run.files.pool(item.id))["row_index"].to_pylist()) == list(range(7))


def test_rows_of_every_listed_release_are_kept(run: Run, tmp_path: Path) -> None:
    """As in the south of DR9, where a file holds two."""
    path = write_sweep(tmp_path / NAME, [{**row, "RELEASE": 9010 + 2 * (i % 2)} for i, row in enumerate(FAR)])
    with pytest.raises(
        SweepError, match=r"row 0 is of RELEASE 9010 \(DR9 south\); the config allows 10002 \(DR10\.1\): "
    ):
        filtered(run, path)
    for releases in ([9010, 9012], [9012, 9010]):
        sweeps = run.config.sweeps.model_copy(update={"releases": tuple(releases)})
        config = run.config.model_copy(update={"sweeps": sweeps})
        mixed = replace(run, config=config, files=RunFiles(str(tmp_path / str(releases[0])), "one"))
        assert filtered(mixed, path)[1] == set(range(7))


def test_the_columns_that_a_config_asks_for_are_read(run: Run, tmp_path: Path) -> None:
    selection = run.config.selection.model_copy(update={"nobs_min": {"z": 1, "i": 2}})
    config = run.config.model_copy(update={"selection": selection})
    assert set(needed_columns(config)) - set(needed_columns(run.config)) == {"NOBS_I"}
    run = replace(run, config=config)
    path = write_sweep(tmp_path / NAME, [{**row, "NOBS_I": i} for i, row in enumerate(FAR)])
    stats, kept, _ = filtered(run, path)
    assert (kept, stats.cut["nobs"]) == ({2, 3, 4, 5, 6}, 2)
    without = [column for column in SWEEP_COLUMNS if column.name != "NOBS_I"]
    with pytest.raises(SweepError, match="are missing: NOBS_I"):
        filtered(run, write_sweep(tmp_path / NAME, FAR, columns=without))


def test_rows_near_a_border_of_splits_are_cut_and_positives_are_not(
    plan_with: Any, plan_text: str, tmp_path: Path
) -> None:
    """At Dec 2.5 the pixels' splits change at RA 151.03 and elsewhere: the reference says where."""
    config = plan_with({"spatial_splits.border_arcsec": 60.0})
    split = config.spatial_splits.model_dump()
    places = [(151.0 + 0.01 * i, 2.5) for i in range(100)]
    at_border = {i for i, place in enumerate(places) if reference.at_border(*place, split)}
    assert 0 < len(at_border) < 50
    lens = min(at_border)
    run = run_of(config, plan_text, tmp_path, [places[lens][0]], [2.5])
    rows = [{"OBJID": i, "RA": ra, "DEC": dec} for i, (ra, dec) in enumerate(places)]
    stats, kept, matched = filtered(run, write_sweep(tmp_path / NAME, rows))
    assert kept == set(range(100)) - at_border
    assert (stats.cut["near_lens"], stats.cut["border"]) == (1, len(at_border) - 1)
    assert matched == [lens]


def test_further_criteria_are_counted_and_their_columns_written(
    v2_dict: dict[str, Any], plan: Config, plan_text: str, tmp_path: Path
) -> None:
    v2 = Config.parse(edited(v2_dict, {"spatial_splits.border_arcsec": 0.0}))
    rows = [*FAR[:3], {**FAR[3], "FRACFLUX_R": 0.5, "MASKBITS": 4}, {**FAR[4], "RCHISQ_R": 1.25}]
    path = write_sweep(tmp_path / NAME, [*rows, {**AT_POSITIVE, "FRACFLUX_R": 0.25}])
    blend = {0: (0, 0.0, 0.0), 3: (1 << 6 | 1 << 8, 0.5, 0.0), 4: (0, 0.0, 1.25)}
    for config, expected in ((v2, blend), (plan, dict.fromkeys(blend, (0, None, None)))):
        run = run_of(config, plan_text, tmp_path / config.name, [152.0], [3.0])
        stats, kept, _ = filtered(run, path)
        assert kept == {0, 1, 2, 3, 4}
        names = ["objid", "confuser_flags", "fracflux_r", "rchisq_r"]
        found = pq.read_table(run.files.pool(stats.item.id)).select(names).to_pylist()
        values = {r["objid"]: tuple(r[name] for name in names[1:]) for r in found}
        assert {i: values[i] for i in expected} == expected
        categories = config.negative_pools.pool_n2.tractor_criteria.categories
        assert stats.confusers == dict.fromkeys(categories, 0) | ({"blend_proxy": 1} if config is v2 else {})
        positive = read_table(run.files.positives(stats.item.id), POSITIVES_SCHEMA).to_pylist()[0]
        assert (positive["confuser_category"], positive["confuser_flags"]) == (
            None,
            64 if config is v2 else 0,
        )
