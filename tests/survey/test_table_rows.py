"""Tables in the place of sweep files: their rows are those of a sweep file; what does not fit is named."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table
from prototype import write_table
from sweepfile import GALAXY, table

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.survey import parquet_rows, table_rows
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.table_rows import iter_table, probe_table

ROWS = [
    {"OBJID": 1, "RA": 151.25, "DEC": 2.5, "FLUX_G": 0.1},
    {"OBJID": 2, "RA": 150.5, "DEC": -1.25, "TYPE": "PSF", "EBV": np.nan},
    {"OBJID": 3, "RA": 152.0, "DEC": 0.0, "MASKBITS": 1 << 16, "FLUX_Z": -2.5},
]


def probe(uri: str | Path) -> SweepFile:
    return probe_table(storage.stat(str(uri)))


def read(file: SweepFile) -> np.ndarray:
    chunks = [chunk for _, chunk in iter_table(file)]
    rows = np.empty(file.n_rows, file.dtype)
    for name in file.dtype.names:
        rows[name] = np.concatenate([chunk[name] for chunk in chunks])
    return rows


def csv_with(path: Path, column: str, values: list[str]) -> Path:
    """A CSV file whose rows have these texts in a column."""
    frame = pd.DataFrame([{name: GALAXY.get(name, 0) for name in NEEDED_COLUMNS}] * len(values))
    frame[column] = values
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(params=["rows.csv", "rows.parquet", "ROWS.CSV"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    write_table(path.with_name(path.name.lower()), table(ROWS))
    path.with_name(path.name.lower()).rename(path)
    return path


def test_rows_are_those_of_a_sweep_file(path: Path) -> None:
    file, expected = probe(path), table(ROWS)
    assert (file.n_rows, file.release) == (3, 10002)
    rows = read(file)
    for name in NEEDED_COLUMNS:
        assert file.dtype[name] == expected.dtype[name]
        np.testing.assert_array_equal(rows[name], expected[name])


def test_the_cell_is_the_box_of_the_positions(path: Path) -> None:
    cell = probe(path).cell
    assert cell[:4:2] == (150.5, -1.25)
    assert cell[1::2] == pytest.approx((152.0, 2.5))
    assert cell.holds(np.array([150.5, 152.0, 152.001]), np.array([2.5, -1.25, 0.0])).tolist() == [
        True,
        True,
        False,
    ]


def test_chunks_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_BATCH_ROWS", 700)
    monkeypatch.setattr(table_rows, "_BLOCK_BYTES", 1 << 20)
    rows = np.repeat(table([{}]), 30_000)
    rows["OBJID"] = np.arange(30_000)
    for name in ("many.csv", "many.parquet"):
        file = probe(write_table(tmp_path / name, rows))
        starts = [(start, len(chunk["RA"])) for start, chunk in iter_table(file)]
        assert file.n_rows == 30_000
        assert len(starts) > 4
        assert [start for start, _ in starts] == np.cumsum([0, *[n for _, n in starts[:-1]]]).tolist()
        assert read(file)["OBJID"].tolist() == list(range(30_000))


@pytest.mark.parametrize("name", ["nulls.csv", "nulls.parquet"])
def test_missing_values(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame([{name: GALAXY.get(name, 0) for name in NEEDED_COLUMNS}] * 2)
    frame["NOBS_Z"] = [np.nan, 3.0]  # pandas makes floats of integers with missing values
    frame["FLUX_W1"] = [1.5, None]
    frame["BRICKNAME"] = [None, "1512p025"]
    path = tmp_path / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    file = probe(path)
    rows = read(file)
    assert (file.nulls["NOBS_Z"], file.nulls["MASKBITS"]) == (-32768, -2147483648)
    assert rows["NOBS_Z"].tolist() == [-32768, 3]
    np.testing.assert_array_equal(rows["FLUX_W1"], [1.5, np.nan])
    assert rows["BRICKNAME"].tolist() == [b"", b"1512p025"]


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        ("NOBS_Z", ["4", "many"], "row 1, column NOBS_Z: 'many'"),
        ("NOBS_Z", ["4", "4", "2.5"], "row 2, column NOBS_Z: '2.5'"),
        ("RELEASE", ["40000"], "row 0, column RELEASE: '40000'"),
        ("RA", ["10:04:05.2"], "row 0, column RA: '10:04:05.2'"),
        ("TYPE", ["SER", "COMP"], "row 1, column TYPE: 'COMP'"),
        ("BRICKNAME", ["b'1512p025'"], "row 0, column BRICKNAME: \"b'1512p025'\""),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    tmp_path: Path, column: str, values: list[str], named: str
) -> None:
    with pytest.raises(SweepError, match=re.escape(named)) as caught:
        probe(csv_with(tmp_path / "rows.csv", column, values))
    assert caught.value.where.endswith("rows.csv")
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_rows_off_the_sphere_or_without_an_id_are_read(tmp_path: Path, name: str) -> None:
    """They are bad rows, which the map counts and drops, as those of a sweep file; they widen no box."""
    off = [{"RA": -99.0}, {"DEC": -999.0}, {"RA": 1e30, "DEC": np.inf}, {"RELEASE": 0, "BRICKID": 0}]
    rows = table([{"RA": 360.0, "DEC": 2.0, "OBJID": 9}, *off, {"RA": 151.5, "DEC": 3.5}])
    write_table(tmp_path / name, rows)
    file = probe(tmp_path / name)
    assert (file.n_rows, file.release) == (6, 10002)
    assert file.box is not None
    assert (file.box.ra_min, file.box.dec_min) == (151.2, 2.0)
    assert (file.box.ra_max, file.box.dec_max) == pytest.approx((360.0, 3.5))
    found = read(file)
    for column in ("RA", "DEC", "RELEASE", "BRICKID", "OBJID"):
        assert found[column].tolist() == rows[column].tolist(), column


def test_lists_and_bytes_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_table(path, table(ROWS))
    whole = pq.read_table(path)
    place = whole.schema.get_field_index("type")
    texts = pa.array([b"SER ", b"PSF", None], pa.binary())
    pq.write_table(
        whole.set_column(place, "type", texts).append_column("DCHISQ", pa.array([[1.0]] * 3)), path
    )
    assert read(probe(path))["TYPE"].tolist() == [b"SER", b"PSF", b""]
    lists = pa.array([[1.0], [2.0], [3.0]])
    pq.write_table(whole.set_column(whole.schema.get_field_index("ra"), "ra", lists), path)
    with pytest.raises(SweepError, match="column RA holds values of type list"):
        probe(path)


def test_masks_of_astropy_are_refused(tmp_path: Path) -> None:
    """Table.write keeps what is below a mask, and the mask in another column, if any value is masked."""
    rows, path = Table(table(ROWS)[list(NEEDED_COLUMNS)]), tmp_path / "rows.parquet"
    rows["NOBS_Z"] = MaskedColumn(rows["NOBS_Z"], mask=[False] * 3)
    rows.write(path)
    assert read(probe(path))["NOBS_Z"].tolist() == [4, 4, 4]
    rows["NOBS_Z"].mask[1] = True
    rows.write(path, overwrite=True)
    with pytest.raises(SweepError, match="missing values of NOBS_Z as columns of their own"):
        probe(path)
    rows.to_pandas().to_parquet(path)
    assert read(probe(path))["NOBS_Z"].tolist() == [4, -32768, 4]


@pytest.mark.parametrize("name", ["less.csv", "less.parquet"])
def test_missing_columns_are_named_with_their_purpose(tmp_path: Path, name: str) -> None:
    rows = table(ROWS)
    frame = pd.DataFrame(
        {
            n: rows[n].astype(rows[n].dtype.newbyteorder("="))
            for n in NEEDED_COLUMNS
            if rows[n].dtype.kind != "S"
        }
    ).drop(columns=["SERSIC", "SHAPE_R", "EBV"])
    path = tmp_path / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    with pytest.raises(SweepError, match="missing") as caught:
        probe(path)
    for part in (
        "BRICKNAME (the source's unique key)",
        "TYPE (types and strata)",
        "EBV (columns of the manifest)",
        "SHAPE_R, SERSIC (criteria of N2)",
    ):
        assert part in caught.value.what


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("rows.csv", b"", "Empty CSV"),
        ("rows.parquet", b"PAR1", "cannot be read at its footer"),
        ("rows.csv", b"ra,RA,dec\n1,2,3\n", "named twice, whatever their case: RA"),
        ("_rows.csv", b"ra\n1\n", "got the name '_rows.csv'"),
        ("my rows.csv", b"ra\n1\n", "got the name 'my rows.csv'"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SweepError, match=why):
        probe(tmp_path / name)


def test_a_row_of_another_length_is_refused(tmp_path: Path) -> None:
    path = csv_with(tmp_path / "rows.csv", "NOBS_Z", ["4", "4"])
    path.write_text(path.read_text() + "1,2,3\n")
    with pytest.raises(SweepError, match=f"Expected {len(NEEDED_COLUMNS)} columns, got 3"):
        probe(path)


def test_a_text_with_nul_bytes_is_refused(tmp_path: Path) -> None:
    """A quotation mark that was lost lets a value run into the next row; NumPy drops NUL bytes at its end."""
    path = csv_with(tmp_path / "rows.csv", "BRICKNAME", ["1512", "1513"])
    path.write_bytes(path.read_bytes().replace(b"1512", b"1512\0\0\0\0\0 and the next row"))
    with pytest.raises(SweepError, match=r"row 0, column BRICKNAME: .* at most 8 characters"):
        probe(path)


@pytest.mark.parametrize("positions", [[], ["", ""]])
def test_a_table_without_positions_is_refused(tmp_path: Path, positions: list[str]) -> None:
    path = csv_with(tmp_path / "rows.csv", "RA", positions or ["1"])
    if not positions:
        path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(SweepError, match=f"none of its {len(positions)} rows has a position"):
        probe(path)


def test_a_table_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv_with(tmp_path / "rows.csv", "NOBS_Z", ["4"])
    monkeypatch.setattr(table_rows, "LARGEST_TABLE", path.stat().st_size)
    probe(path)
    monkeypatch.setattr(table_rows, "LARGEST_TABLE", path.stat().st_size - 1)
    with pytest.raises(SweepError, match="the largest that is read"):
        probe(path)


def test_tables_are_read_from_s3(path: Path, s3: str) -> None:
    uri = f"{s3}/sweeps/{path.name}"
    storage.put_file(str(path), uri)
    assert read(probe(uri)).tolist()[0] == read(probe(path)).tolist()[0]


def test_a_damaged_index_of_a_dictionary_gives_no_other_row(tmp_path: Path) -> None:
    """Arrow's reader does not compare the indices of text with its dictionary."""
    rows = table([{"OBJID": i + 1, "BRICKNAME": f"1503{'mpx'[i % 3]}000"} for i in range(40)])
    path = Path(write_table(tmp_path / "a.parquet", rows))
    options = {"compression": "none", "use_dictionary": ["brickname"], "data_page_version": "1.0"}
    pq.write_table(pq.read_table(path), path, **options)
    group = pq.read_metadata(path).row_group(0)
    [column] = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "brickname"]
    whole, refused = path.read_bytes(), 0
    for place in range(column.data_page_offset, column.dictionary_page_offset + column.total_compressed_size):
        path.write_bytes(whole[:place] + b"\xb5" + whole[place + 1 :])
        try:
            names = set(read(probe(path))["BRICKNAME"].tolist())
        except SweepError as error:
            refused += "is damaged" in str(error)
        else:
            assert names <= {b"1503m000", b"1503p000", b"1503x000", b""}
    assert refused
