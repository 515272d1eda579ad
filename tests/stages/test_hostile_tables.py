"""Odd and broken rows, as people's files have them, in tables: they end as in a sweep file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import edited
from hatscase import as_arrow, write_hats
from pipeline import OPEN_GATES, as_input, make_request
from plainrun import failing
from sweepfile import probe

from lensneg.errors import SweepError
from lensneg.schema.item import Item
from lensneg.schema.layout import RunFiles
from lensneg.schema.run import load_run
from lensneg.schema.sweep_columns import sweep_dtype
from lensneg.stages.filter_sweep.item import filter_item
from lensneg.stages.plan_fan_out import plan_fan_out
from lensneg.stages.preflight.gate1 import preflight
from lensneg.storage import read_json
from lensneg.survey.fits_rows import iter_rows

KINDS = ["fits", "field.csv", "field.parquet", "hats"]


def bright(rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero((rows["FLUX_Z"] > 10) & np.isin(rows["TYPE"], [b"SER", b"DEV", b"REX"]))


def put(name: str, value: Any, every: int = 5) -> Callable[[np.ndarray], None]:
    def change(rows: np.ndarray) -> None:
        rows[name][bright(rows)[::every]] = value

    return change


def zero_position(rows: np.ndarray) -> None:
    for name in ("RA", "DEC", "BRICKID", "OBJID"):
        rows[name][bright(rows)[0]] = 0


def no_id(rows: np.ndarray) -> None:
    put("RELEASE", 0)(rows)
    put("BRICKID", 0)(rows)


def mixed_release(rows: np.ndarray) -> None:
    rows["RELEASE"] = np.where(np.arange(len(rows)) % 3, 9010, 9012)


def other_nulls(rows: np.ndarray) -> None:
    put("SHAPE_R", np.nan)(rows)
    put("SERSIC", np.nan)(rows)


CASES: dict[str, Callable[[np.ndarray], None]] = {
    "sound": lambda rows: None,
    "infinite-flux": put("FLUX_Z", np.inf),
    "unknown-type": put("TYPE", b"GGA"),
    "ra-360": put("RA", 360.0, 10**6),
    "zero-position": zero_position,
    "other-nulls": other_nulls,
    "negative NOBS": put("NOBS_Z", -1),
    "no position": put("DEC", np.nan),
    "off the sphere": put("DEC", -99.0),
    "no release and brick": no_id,
    "mixed-release": mixed_release,
}


@pytest.fixture(scope="module")
def rows(gate_sky: Path) -> np.ndarray:
    """Of the file at RA 0, where RA 360 belongs."""
    file = next(path for path in sorted((gate_sky / "sweeps").iterdir()) if path.name.startswith("sweep-000"))
    return np.concatenate([chunk.copy() for _, chunk in iter_rows(probe(str(file)))])


def write(folder: Path, kind: str, rows: np.ndarray, original: Path) -> Path:
    """The rows as a sweep file or as a table; NaN and infinity as text are those of pyarrow."""
    folder.mkdir(parents=True)
    if kind == "hats":
        placed = rows.copy()  # a row without a position has no pixel
        placed["DEC"] = np.clip(np.nan_to_num(rows["DEC"]), -90, 90)
        return write_hats(folder / "sky", placed, order=3, row_group_size=500)
    if kind == "fits":
        raw = original.read_bytes()
        start = len(raw) - len(raw) % 2880 - -(-rows.nbytes // 2880) * 2880
        (folder / original.name).write_bytes(
            raw[:start] + rows.astype(sweep_dtype()).tobytes() + bytes(-rows.nbytes % 2880)
        )
    elif kind.endswith("csv"):
        pa.csv.write_csv(as_arrow(rows), folder / kind)
    else:
        pq.write_table(as_arrow(rows), folder / kind, row_group_size=700)
    return folder


def outcome(
    gate_sky: Path, sweeps: Path, out: Path, plan_dict: dict[str, Any], bad_rows_max: float = 0.0001
) -> Any:
    """Why a run ends before it publishes; or its pool and counts."""
    config = out.parent / f"{out.name}.yaml"
    config.write_text(
        edited(
            plan_dict, {**OPEN_GATES, "execution.mini_test_files": 1000, "sweeps.bad_rows_max": bad_rows_max}
        )
    )
    request = make_request(gate_sky, config, out, "one", "test", (gate_sky / "others.csv",))
    request = request.model_copy(update={"sweeps": str(sweeps)})
    files = RunFiles(request.out, "one")
    verdict = preflight(as_input(request)).gate
    if not verdict.passed:
        return failing(files.gate(1)) & {"one_release", "sweeps_readable"}
    plan_fan_out(files.root)
    run, cut, pools = load_run(files.root), dict[str, int](), []
    for item in (Item.model_validate(item) for item in read_json(files.items)):
        stats = filter_item(run, item)
        cut = {name: cut.get(name, 0) + count for name, count in stats.cut.items()}
        pools += pq.read_table(files.pool(item.id)).drop_columns(["sweep_file", "row_index"]).to_pylist()
    return cut, sorted(pools, key=lambda row: row["targetid"])


@pytest.mark.parametrize("case", CASES)
def test_odd_rows_of_a_table_end_as_those_of_a_sweep_file(
    gate_sky: Path, rows: np.ndarray, plan_dict: dict[str, Any], tmp_path: Path, case: str
) -> None:
    original = next((gate_sky / "sweeps").glob("sweep-000*"))
    changed = rows.copy()
    CASES[case](changed)
    found = {}
    for kind in KINDS:
        sweeps = write(tmp_path / kind, kind, changed, original)
        found[kind] = outcome(gate_sky, sweeps, tmp_path / f"out-{kind}", plan_dict, 1.0)
    if case == "mixed-release":
        assert all(other == {"one_release"} for other in found.values())
        return
    if case in ("no position", "off the sphere"):
        del found["hats"]
    cut, pool = found["fits"]
    assert len(pool) > 20
    for kind, other in found.items():
        assert other == (cut, pool), kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_is_named_before_anything_is_published(
    gate_sky: Path, rows: np.ndarray, plan_dict: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    changed, first = rows.copy(), len(rows) // 4
    changed[first : len(rows) * 2 // 3] = np.zeros((), rows.dtype)
    if kind == "hats":  # within a partition: the zeros of its positions are those of its neighbours
        for name in ("RA", "DEC"):
            changed[name] = rows[name]
    sweeps = write(tmp_path / kind, kind, changed, next((gate_sky / "sweeps").glob("sweep-000*")))
    named = r"the first is row [\d,]+ " if kind == "hats" else f"the first is row {first:,} "
    with pytest.raises(SweepError, match=named):
        outcome(gate_sky, sweeps, tmp_path / "out", plan_dict)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_masked_values_of_a_table_are_cut_and_counted(
    gate_sky: Path, rows: np.ndarray, plan_dict: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    """As astropy and pandas write masked columns: null."""
    sweeps = write(tmp_path / "sweeps", kind, rows, next((gate_sky / "sweeps").glob("sweep-000*")))
    masked = set(rows["OBJID"][bright(rows)[::2]].tolist())
    tables = [*sweeps.rglob("field.*"), *sweeps.rglob("Npix*.parquet")]
    for path in tables:
        is_csv = path.suffix == ".csv"
        part = pa.csv.read_csv(path) if is_csv else pq.ParquetFile(path).read()
        pairs = zip(part["OBJID"].to_pylist(), part["NOBS_Z"].to_pylist(), strict=True)
        nobs = pa.array([None if objid in masked else n for objid, n in pairs], pa.int16())
        part = part.set_column(part.schema.get_field_index("NOBS_Z"), "NOBS_Z", nobs)
        pa.csv.write_csv(part, path) if is_csv else pq.write_table(part, path)
    cut, pool = outcome(gate_sky, sweeps, tmp_path / "out", plan_dict)
    assert cut["unusable"] > 20
    assert pool
    assert not {row["objid"] for row in pool} & masked
