"""Single rows of sweep files, looked up again: plain, gzipped and in S3, with few and small requests."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prototype import write_table
from sweepfile import GALAXY, NAME, ROW_BYTES, probe, put, table, write_sweep

from lensneg import storage
from lensneg.audit import source_rows
from lensneg.audit.source_rows import unlike_sweep
from lensneg.schema.columns import COLUMNS
from lensneg.schema.sweep_columns import SWEEP_COLUMNS

N_ROWS = 2000


def row(i: int) -> dict[str, Any]:
    return {"OBJID": i, "RA": 150 + i / 1024, "TYPE": ("PSF", "REX", "SER")[i % 3]}


def manifest(*index: int) -> pa.Table:
    """What a manifest says of some rows."""
    copied = {column.name: column.sweep for column in COLUMNS if column.sweep is not None}
    rows = [{**dict.fromkeys(copied.values(), 0), **GALAXY, **row(i)} for i in index]
    # Of the columns' types: Python's 1.4 is no number of a sweep file.
    types = {column.name: column.type for column in COLUMNS}
    arrays = {name: pa.array([r[sweep] for r in rows], types[name]) for name, sweep in copied.items()}
    ids = [10002 << 42 | r["BRICKID"] << 22 | r["OBJID"] for r in rows]
    return pa.table({**arrays, "targetid": ids, "row_index": list(index)})


@pytest.fixture(params=["", ".gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sweep file, plain or gzipped."""
    path = tmp_path / f"{NAME}{request.param}"
    write_sweep(path, [row(i) for i in range(N_ROWS)])
    return path


@pytest.mark.parametrize("index", [(0,), (N_ROWS - 1,), (1500, 3, 700, 3, 1999, 0)])
def test_rows_are_found_again_in_any_order(path: Path, index: tuple[int, ...]) -> None:
    assert unlike_sweep(storage.stat(str(path)), manifest(*index)) == []


def test_what_differs_is_named(path: Path) -> None:
    rows = manifest(7, 5)
    rows = rows.set_column(rows.schema.get_field_index("ra"), "ra", pa.array([150.5, 150 + 5 / 1024]))
    rows = rows.set_column(
        rows.schema.get_field_index("targetid"), "targetid", pa.array([0, rows["targetid"][1].as_py()])
    )
    assert unlike_sweep(storage.stat(str(path)), rows) == [f"{path.name} row 7: ra, targetid"]
    moved = rows.set_column(rows.schema.get_field_index("row_index"), "row_index", pa.array([7, 6]))
    assert unlike_sweep(storage.stat(str(path)), moved)[1] == f"{path.name} row 6: objid, ra, type"


NAN = float("nan")


@pytest.mark.parametrize(
    ("in_file", "written", "differs"),
    [
        (NAN, None, False),
        (NAN, NAN, True),
        (NAN, 1.5, True),
        (1.5, NAN, True),
        (1.5, None, True),
        (1.5, 1.5, False),
    ],
)
def test_what_is_no_number_is_found_again_as_null(
    tmp_path: Path, in_file: float, written: float | None, differs: bool
) -> None:
    path = tmp_path / NAME
    write_sweep(path, [row(0), {**row(1), "SHAPE_R": in_file}])
    rows = manifest(1)
    place = rows.schema.get_field_index("shape_r")
    rows = rows.set_column(place, "shape_r", pa.array([written], pa.float32()))
    assert unlike_sweep(storage.stat(str(path)), rows) == [f"{NAME} row 1: shape_r"] * differs


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_masked_value_is_no_value(tmp_path: Path, suffix: str) -> None:
    """A column with a TNULL: the number that stands for a missing value is no number of exposures."""
    path = tmp_path / NAME
    write_sweep(path, [row(0), {**row(1), "NOBS_Z": 999}])
    card = next(i for i in range(0, 90_000, 80) if path.read_bytes()[i : i + 6] == b"TUNIT6")
    number = [column.name for column in SWEEP_COLUMNS].index("NOBS_Z") + 1
    content = bytearray(path.read_bytes())
    content[card : card + 80] = f"TNULL{number:<3}=                  999".encode().ljust(80)
    (tmp_path / f"{NAME}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    rows = manifest(1)
    rows = rows.set_column(rows.schema.get_field_index("nobs_z"), "nobs_z", pa.array([999], pa.int16()))
    info = storage.stat(str(tmp_path / f"{NAME}{suffix}"))
    assert unlike_sweep(info, rows) == [f"{NAME}{suffix} row 1: nobs_z"]


@pytest.mark.parametrize("spelling", ["SER", "ser", " SER", "Ser "])
def test_a_type_is_the_same_in_any_spelling(tmp_path: Path, spelling: str) -> None:
    columns = [c._replace(tform="4A") if c.name == "TYPE" else c for c in SWEEP_COLUMNS]
    path = tmp_path / NAME
    put(write_sweep(path, [row(0), row(1), row(2)], columns=columns), "TYPE", ["PSF", "REX", spelling])
    rows = manifest(2)
    place = rows.schema.get_field_index("type")
    assert unlike_sweep(storage.stat(str(path)), rows.set_column(place, "type", pa.array(["SER"]))) == []
    other = rows.set_column(place, "type", pa.array(["DEV"]))
    assert unlike_sweep(storage.stat(str(path)), other) == [f"{NAME} row 2: type"]


def test_bytes_that_are_no_text_differ_from_any_text(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write_sweep(path, [row(0), {**row(1), "BRICKNAME": b"1512\xff025"}])
    assert unlike_sweep(storage.stat(str(path)), manifest(0, 1)) == [f"{NAME} row 1: brickname"]


@pytest.mark.parametrize(
    ("index", "told"), [((0, N_ROWS), f"it has {N_ROWS:,} rows"), ((-1,), f"it has {N_ROWS:,} rows")]
)
def test_rows_that_a_file_does_not_have(path: Path, index: tuple[int, ...], told: str) -> None:
    found = unlike_sweep(storage.stat(str(path)), manifest(*index))
    assert found == [f"{path.name} row {i:,}: cannot be read ({told})" for i in index]


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (0, "a header has no END card"),
        (5000, "a header has no END card"),
        ("row 7", "it ends before that row"),
    ],
)
def test_a_file_that_is_cut_short(tmp_path: Path, length: int | str, told: str) -> None:
    path = tmp_path / NAME
    whole = Path(write_sweep(path, [row(i) for i in range(9)])).read_bytes()
    if isinstance(length, str):
        length = probe(str(path)).data_start + 8 * ROW_BYTES - 1
    path.write_bytes(whole[:length])
    info = storage.stat(str(path))
    assert unlike_sweep(info, manifest(7)) == [f"{NAME} row 7: cannot be read ({told})"]
    assert (unlike_sweep(info, manifest(6)) == []) == ("row" in told)


def test_a_damaged_gzip_and_a_damaged_layout_are_faults_of_the_file(tmp_path: Path) -> None:
    zipped, plain = tmp_path / f"{NAME}.gz", tmp_path / NAME
    write_sweep(zipped, [row(i) for i in range(9)])
    zipped.write_bytes(zipped.read_bytes()[:500])
    write_sweep(plain, [row(i) for i in range(9)])
    plain.write_bytes(plain.read_bytes().replace(b"TFORM7  = 'D       '", b"TFORM7  = 'Q7      '"))
    for path in (zipped, plain):
        [fault] = unlike_sweep(storage.stat(str(path)), manifest(1))
        assert fault.startswith(f"{path.name} row 1: cannot be read (")


def test_few_and_small_requests_to_s3(s3: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a plain file the headers at once, and then each row alone; of a gzipped one large pieces."""
    uri = f"{s3}/{path.name}"
    storage.write_bytes(uri, path.read_bytes())
    info = storage.stat(uri)
    start = probe(str(path)).data_start
    asked: list[tuple[int, int]] = []
    get_object = storage.s3.get_object

    def noted(uri: str, start: int, size: int) -> bytes:
        asked.append((start, size))
        return get_object(uri, start, size)

    monkeypatch.setattr(storage.s3, "get_object", noted)
    assert unlike_sweep(info, manifest(1800, 40)) == []
    if path.suffix == ".gz":
        assert len(asked) <= 2 * -(-info.size // source_rows._GZIP_BYTES)
    else:
        assert asked == [(0, 256 << 10), *((start + i * ROW_BYTES, ROW_BYTES) for i in (40, 1800))]


@pytest.mark.parametrize("name", ["field.csv", "field.parquet"])
def test_rows_of_a_table_are_found_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_table(path, table(row(i) for i in range(N_ROWS)))
    info = storage.stat(str(path))
    assert unlike_sweep(info, manifest(1500, 3, 700, 3, 1999, 0)) == []
    moved = manifest(7, 5)
    moved = moved.set_column(moved.schema.get_field_index("row_index"), "row_index", pa.array([7, 6]))
    assert unlike_sweep(info, moved) == [f"{name} row 6: objid, ra, type"]
    (beyond,) = unlike_sweep(info, manifest(N_ROWS))
    assert beyond == f"{name} row 2,000: cannot be read (it has no row 2,000)"


def test_missing_values_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "field.csv"
    write_table(path, table([{**row(0), "EBV": NAN}, {**row(1), "MASKBITS": 77}]))
    path.write_text(path.read_text().replace(",77,", ",,"))
    info = storage.stat(str(path))
    rows = manifest(0)
    ebv = rows.schema.get_field_index("ebv")
    assert unlike_sweep(info, rows) == ["field.csv row 0: ebv"]
    assert unlike_sweep(info, rows.set_column(ebv, "ebv", pa.array([None], pa.float32()))) == []
    assert unlike_sweep(info, manifest(1)) == ["field.csv row 1: cannot be read (a whole number is missing)"]
