"""Sweep files: names, the data model, reading in chunks and slices, and every way to be broken."""

import csv
import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from sweepfile import NAME, Row, table, write_sweep

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import MASKBITS, SWEEP_COLUMNS, SweepColumn, sweep_dtype, tform_dtype
from lensneg.survey import fits_rows as sweep
from lensneg.survey.fits_layout import SweepFile
from lensneg.survey.fits_rows import SweepProbe, iter_rows, probe_sweep
from lensneg.survey.names import Cell, sweep_cell, sweep_name
from lensneg.survey.sweep_rows import SweepRows

BLOCK = 2880
ROW_BYTES = 505


def probe(uri: str) -> SweepProbe:
    return probe_sweep(storage.stat(uri))


def read(uri: str, column: str = "OBJID", **some: int) -> list[Any]:
    """A column of a file, or of a slice of it."""
    values: list[Any] = []
    for start, rows in iter_rows(probe(uri).file, storage.stat(uri).size, **some):
        assert start == some.get("first_row", 0) + len(values)
        values += rows[column].tolist()
    return values


@pytest.fixture(params=["plain", "gzip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a sweep file may be written, plain or gzipped."""
    return tmp_path / (NAME if request.param == "plain" else f"{NAME}.gz")


# ---------------------------------------------------------------- names


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


# ---------------------------------------------------------------- the data model


def test_a_row_has_505_bytes_in_130_columns() -> None:
    assert len(SWEEP_COLUMNS) == 130
    assert sweep_dtype().itemsize == ROW_BYTES


def test_the_data_model_is_that_of_dr10(shared_data: Callable[[str], Path]) -> None:
    with shared_data("dr10_sweep_columns.csv").open(newline="", encoding="utf-8") as file:
        model = list(csv.DictReader(file))
    assert [(c.name, c.tform, c.unit) for c in SWEEP_COLUMNS] == [
        (row["name"], row["tform"], row["unit"]) for row in model
    ]
    offsets = [sweep_dtype().fields[column.name][1] for column in SWEEP_COLUMNS]
    assert offsets == [int(row["byte_offset"]) for row in model]


@pytest.mark.parametrize("tform", ["", "P", "1PE(5)", "X", "5", "E5", "2Q", "C", "16 A"])
def test_a_format_that_sweeps_do_not_use(tform: str) -> None:
    with pytest.raises(ValueError, match="not a format of sweep files"):
        tform_dtype(tform)


def test_mask_bits() -> None:
    assert [MASKBITS[n] for n in ("BRIGHT", "ALLMASK_G", "ALLMASK_R", "ALLMASK_Z")] == [1, 5, 6, 7]
    assert [MASKBITS[n] for n in ("BAILOUT", "MEDIUM", "GALAXY", "CLUSTER")] == [10, 11, 12, 13]
    assert sorted(MASKBITS.values()) == list(range(17))


# ---------------------------------------------------------------- reading


def test_what_is_read_is_what_astropy_reads(path: Path) -> None:
    numbers = np.random.default_rng(1)
    rows: list[Row] = [
        {
            "OBJID": i,
            "RA": 150 + 5 * numbers.random(),
            "DEC": 5 * numbers.random(),
            "FLUX_G": numbers.normal(),
            "FLUX_Z": numbers.normal() * 1e4,
            "TYPE": ("PSF", "REX", "SER")[i % 3],
            "MASKBITS": int(numbers.integers(0, 2**17)),
            "FITBITS": int(numbers.integers(0, 2**14)),
        }
        for i in range(50)
    ]
    uri = write_sweep(path, rows)
    expected = fits.getdata(path, 1)
    ((_, found),) = iter_rows(probe(uri).file, storage.stat(uri).size)
    for column in NEEDED_COLUMNS:
        assert found[column].tolist() == expected[column].tolist()


def test_columns_are_native_arrays_of_their_own_type(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / NAME, [{}])
    ((_, rows),) = iter_rows(probe(uri).file, storage.stat(uri).size)
    assert len(rows) == 1
    kinds = {"RA": "f8", "FLUX_Z": "f4", "NOBS_Z": "i2", "MASKBITS": "i4"}
    assert {name: rows[name].dtype for name in kinds} == {n: np.dtype(k) for n, k in kinds.items()}
    assert all(rows[name].dtype.isnative for name in kinds)


def test_column_names_are_matched_without_case(path: Path) -> None:
    rows: list[Row] = [{"OBJID": 5, "FLUX_Z": 12.5}, {"OBJID": 6, "FLUX_Z": 0.25}]
    uri = write_sweep(path, rows, lower=True)
    assert fits.getheader(path, 1)["TTYPE1"] == "release"
    assert read(uri, "FLUX_Z") == [12.5, 0.25]
    assert read(uri, "OBJID") == [5, 6]


def test_columns_are_found_by_name_and_not_by_position(path: Path) -> None:
    uri = write_sweep(path, [{"OBJID": 5, "FLUX_Z": 12.5}], columns=reversed(SWEEP_COLUMNS))
    assert read(uri, "FLUX_Z") == [12.5]
    assert probe(uri).release == 10002


def test_columns_that_are_not_needed_may_be_missing_or_new(path: Path) -> None:
    needed = [column for column in SWEEP_COLUMNS if column.name in NEEDED_COLUMNS]
    uri = write_sweep(path, [{"OBJID": 5}], columns=[SweepColumn("NEW", "D"), *needed])
    assert probe(uri).file.dtype.itemsize < ROW_BYTES
    assert read(uri) == [5]


def test_types_are_stripped_and_in_upper_case(path: Path) -> None:
    padded = [c._replace(tform="4A") if c.name == "TYPE" else c for c in SWEEP_COLUMNS]
    rows: list[Row] = [{"TYPE": "SER"}, {"TYPE": "ex "}, {"TYPE": "rex"}]
    assert read(write_sweep(path, rows, columns=padded), "TYPE") == ["SER", "EX", "REX"]


def test_needed_columns_hold_what_the_rules_look_at() -> None:
    looked_at = {"RELEASE", "BRICKID", "OBJID", "TYPE", "RA", "DEC", "MASKBITS", "SERSIC", "SHAPE_R"}
    looked_at |= {"SHAPE_E1", "SHAPE_E2", "FLUX_G", "FLUX_R", "FLUX_Z", "NOBS_G", "NOBS_R", "NOBS_Z"}
    assert looked_at <= set(NEEDED_COLUMNS) <= {column.name for column in SWEEP_COLUMNS}


@pytest.mark.parametrize("release", [10002, 10000, 9011, 11010])
def test_the_release_is_that_of_the_first_row(path: Path, release: int) -> None:
    uri = write_sweep(path, [{"RELEASE": release}, {"RELEASE": 1}])
    assert probe(uri).release == release


def test_a_file_without_rows(path: Path) -> None:
    uri = write_sweep(path, [])
    assert (probe(uri).file.n_rows, probe(uri).release) == (0, 0)
    assert read(uri) == []


def test_the_layout_of_a_file(path: Path) -> None:
    uri = write_sweep(path, [{}] * 7)
    file = probe(uri).file
    assert (file.uri, file.name, file.n_rows) == (uri, path.name, 7)
    assert file.dtype == sweep_dtype()
    assert file.cell == (150, 155, 0, 5)
    assert file.is_compressed == (path.suffix == ".gz")
    # astropy's own word for where the data start
    with fits.open(path) as hdus:
        assert file.data_start == hdus[1].fileinfo()["datLoc"]


def test_a_file_with_another_name_has_no_cell(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "mine.fits", [{}])
    with pytest.raises(SweepError, match=r"mine\.fits: the name is not one of a sweep file"):
        _ = probe(uri).file.cell


def test_rows_taken_of_rows_taken() -> None:
    rows = SweepRows(table([{"OBJID": i} for i in range(10)]))
    odd = rows.take(np.array([1, 3, 5, 7, 9]))
    assert odd["OBJID"].tolist() == [1, 3, 5, 7, 9]
    last = odd.take(np.array([4, 0]))
    assert (len(last), last["OBJID"].tolist()) == (2, [9, 1])
    assert rows["OBJID"].tolist() == list(range(10))


# ---------------------------------------------------------------- chunks and slices


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 8, 9])
def test_chunks_lose_and_double_no_row(path: Path, monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    monkeypatch.setattr(sweep, "CHUNK_ROWS", 4)
    uri = write_sweep(path, [{"OBJID": i} for i in range(n_rows)])
    sizes = [len(rows) for _, rows in iter_rows(probe(uri).file, storage.stat(uri).size)]
    assert sizes == [4] * (n_rows // 4) + [n_rows % 4] * (n_rows % 4 > 0)
    assert read(uri) == list(range(n_rows))


@pytest.mark.parametrize(
    ("first", "count"), [(0, 10), (0, 1), (9, 1), (3, 4), (4, 4), (1, 8), (5, 5), (2, 0), (10, 0)]
)
def test_slices(path: Path, monkeypatch: pytest.MonkeyPatch, first: int, count: int) -> None:
    monkeypatch.setattr(sweep, "CHUNK_ROWS", 4)
    uri = write_sweep(path, [{"OBJID": i} for i in range(10)])
    expected = list(range(first, first + count))
    assert read(uri, first_row=first, n_rows=count) == expected


@pytest.mark.parametrize("first", [0, 3, 8, 9, 10])
def test_a_slice_to_the_end(path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    monkeypatch.setattr(sweep, "CHUNK_ROWS", 4)
    uri = write_sweep(path, [{"OBJID": i} for i in range(10)])
    assert read(uri, first_row=first) == list(range(first, 10))


def test_the_real_size_of_chunks(tmp_path: Path) -> None:
    """A border of the chunks that runs use, with rows on both sides."""
    n_rows = sweep.CHUNK_ROWS + 2
    uri = write_sweep(tmp_path / NAME, [{}])
    rows = np.repeat(table([{}]), n_rows)
    rows["OBJID"] = np.arange(n_rows)
    file = probe(uri).file
    with open(uri, "r+b") as stream:
        stream.seek(file.data_start)
        stream.write(rows.tobytes())
    longer = SweepFile(uri, file.dtype, n_rows, file.data_start)
    found = [(start, len(r), r["OBJID"][[0, -1]].tolist()) for start, r in iter_rows(longer, 1 << 40)]
    edge = sweep.CHUNK_ROWS
    assert found == [(0, edge, [0, edge - 1]), (edge, 2, [edge, edge + 1])]


def test_a_stream_that_gives_a_few_bytes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks do; neither headers nor rows may depend on it."""

    class Slow:
        def __init__(self, uri: str, start: int, size: int) -> None:
            self._data = storage.read_bytes(uri, start, size)

        def readinto(self, buffer: memoryview) -> int:
            piece, self._data = self._data[: min(len(buffer), 77)], self._data[min(len(buffer), 77) :]
            buffer[: len(piece)] = piece
            return len(piece)

        def close(self) -> None:
            pass

    plain = write_sweep(tmp_path / NAME, [{"OBJID": i} for i in range(9)])
    zipped = write_sweep(tmp_path / f"{NAME}.gz", [{"OBJID": i} for i in range(9)])
    monkeypatch.setattr(storage, "open_range", Slow)
    assert read(plain) == read(zipped) == list(range(9))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_sweep_in_s3(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(sweep, "CHUNK_ROWS", 4)
    local = write_sweep(tmp_path / f"{NAME}{suffix}", [{"OBJID": i} for i in range(10)])
    uri = f"{s3}/sweeps/{NAME}{suffix}"
    storage.write_bytes(uri, Path(local).read_bytes())
    assert probe(uri).release == 10002
    assert read(uri) == list(range(10))
    assert read(uri, first_row=3, n_rows=6) == [3, 4, 5, 6, 7, 8]


# ---------------------------------------------------------------- truncated and damaged files


def test_a_file_of_no_bytes(path: Path) -> None:
    path.touch()
    with pytest.raises(SweepError, match=rf"{path.name}: .*(empty|ends within)"):
        probe(str(path))


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (1, "ends within the header of HDU 0"),
        (BLOCK - 1, "ends within the header of HDU 0"),
        (BLOCK, "ends within the header of HDU 1"),
        (BLOCK + 1, "ends within the header of HDU 1"),
        (5 * BLOCK + 80, "ends within the header of HDU 1"),
        ("data", "truncated: its header promises 9 rows"),
        ("data + 1", "truncated: its header promises 9 rows"),
        ("data + 4 rows", "truncated: its header promises 9 rows"),
        ("data + 9 rows - 1", "truncated: its header promises 9 rows"),
    ],
)
def test_a_truncated_file_is_named(tmp_path: Path, length: int | str, told: str) -> None:
    uri = write_sweep(tmp_path / NAME, [{}] * 9)
    whole = Path(uri).read_bytes()
    if isinstance(length, str):
        start = probe(uri).file.data_start
        length = {
            "data": start,
            "data + 1": start + 1,
            "data + 4 rows": start + 4 * ROW_BYTES,
            "data + 9 rows - 1": start + 9 * ROW_BYTES - 1,
        }[length]
    Path(uri).write_bytes(whole[:length])
    with pytest.raises(SweepError, match=rf"{NAME}: .*{told}.*fetch it again"):
        probe(uri)


def test_a_file_without_its_last_padding_is_whole(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / NAME, [{"OBJID": i} for i in range(9)])
    length = probe(uri).file.data_start + 9 * ROW_BYTES
    Path(uri).write_bytes(Path(uri).read_bytes()[:length])
    assert read(uri) == list(range(9))


@pytest.mark.parametrize("lost", [1, 3 * ROW_BYTES, 9 * ROW_BYTES])
def test_a_file_cut_after_it_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(sweep, "CHUNK_ROWS", 4)
    uri = write_sweep(tmp_path / NAME, [{}] * 9)
    file, size = probe(uri).file, storage.stat(uri).size
    whole = Path(uri).read_bytes()
    Path(uri).write_bytes(whole[: file.data_start + 9 * ROW_BYTES - lost])
    with pytest.raises(SweepError, match=rf"{NAME}: the file ends between rows .* of 9: it is truncated"):
        list(iter_rows(file, size))


@pytest.mark.parametrize("kept", [1, 5, 10, 18, 50, 200, 0.3, 0.6, 0.9, -9, -8, -1])
def test_a_truncated_gzip_is_named(tmp_path: Path, kept: float) -> None:
    """Wherever it is cut: in gzip's header, in the rows, or in the checksum after them."""
    uri = write_sweep(tmp_path / f"{NAME}.gz", [{"RA": 150 + i / 7} for i in range(99)])
    whole = Path(uri).read_bytes()
    length = int(kept * len(whole)) if isinstance(kept, float) else kept
    Path(uri).write_bytes(whole[:length])
    with pytest.raises(SweepError, match=rf"{NAME}\.gz: .*(cut short|truncated).*fetch"):
        read(uri)


# astropy warns of header cards that it cannot make sense of
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_damage_in_a_gzip_never_passes_for_other_values(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / f"{NAME}.gz", [{"RA": 150 + i / 7, "OBJID": i} for i in range(30)])
    whole = Path(uri).read_bytes()
    numbers = random.Random(1)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[numbers.randrange(10, len(whole))] ^= 1 << numbers.randrange(8)
        Path(uri).write_bytes(damaged)
        with pytest.raises(SweepError, match=rf"{NAME}\.gz: "):
            read(uri)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
@pytest.mark.parametrize(
    "content",
    [b"<html>404 Not Found</html>" * 200, b"\0" * 10_000, b"PAR1" + b"x" * 9000, b"SIMPLE" * 1000],
    ids=["html", "zeros", "parquet", "almost"],
)
def test_a_file_that_is_not_fits(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    with pytest.raises(SweepError, match=rf"{name}: HDU 0 does not start with a FITS header"):
        probe(str(path))


def test_a_gzipped_file_that_is_not_and_the_other_way_round(tmp_path: Path) -> None:
    plain = Path(write_sweep(tmp_path / NAME, [{}])).read_bytes()
    (tmp_path / f"{NAME}.gz").write_bytes(plain)
    with pytest.raises(SweepError, match=rf"{NAME}\.gz: the gzip stream is damaged"):
        probe(str(tmp_path / f"{NAME}.gz"))
    (tmp_path / NAME).write_bytes(gzip.compress(plain))
    with pytest.raises(SweepError, match=r"does not start with a FITS header|ends within the header"):
        probe(str(tmp_path / NAME))


# ---------------------------------------------------------------- headers that contradict


def change_card(uri: str, key: str, card: str) -> None:
    """Overwrite a card of the table's header."""
    content = bytearray(Path(uri).read_bytes())
    at = content.index(f"{key:8}=".encode(), BLOCK)
    content[at : at + 80] = card.ljust(80).encode()
    Path(uri).write_bytes(content)


@pytest.mark.parametrize(
    ("key", "card", "told"),
    [
        ("NAXIS1", "NAXIS1  =                  504", "NAXIS1 says 504 bytes a row, .* add up to 505"),
        ("NAXIS1", "NAXIS1  =                  506", "NAXIS1 says 506 bytes a row, .* add up to 505"),
        ("NAXIS1", "NAXIS1  =                505.0", "NAXIS1 is 505.0; expected a whole number"),
        ("NAXIS1", "NAXIS1  =                    T", "NAXIS1 is True; expected a whole number"),
        ("NAXIS1", "COMMENT", "NAXIS1 is None; expected a whole number"),
        ("NAXIS2", "NAXIS2  =                   -1", "NAXIS2 is -1; expected a whole number from 0 on"),
        ("NAXIS2", "NAXIS2  = 'many'", "NAXIS2 is 'many'; expected a whole number"),
        ("NAXIS2", "NAXIS2  =              1000000", "truncated: its header promises 1,000,000 rows"),
        ("TFIELDS", "TFIELDS =                    0", "TFIELDS is 0; expected a whole number from 1 on"),
        ("TFIELDS", "TFIELDS =                  131", "column 131 has no TTYPE131 or no TFORM131"),
        ("TFIELDS", "TFIELDS =                   10", "26 of the 33 columns that are needed are missing: "),
        ("TTYPE7", "TTYPE7  = 'RA      '", "columns named twice: RA"),
        ("TTYPE7", "TTYPE7  = 7", "column 7 has no TTYPE7"),
        ("TFORM7", "TFORM7  = 'E       '", "column DEC is of type >f4; expected >f8"),
        ("TFORM7", "TFORM7  = 'J       '", "column DEC is of type >i4; expected >f8"),
        ("TFORM7", "TFORM7  = '1PD(3)  '", "TFORM '1PD.3.' is not a format of sweep files"),
        ("TFORM7", "TFORM7  = 'D", "TFORM7 is not readable"),
        ("TUNIT7", "TZERO7  =                 32.0", "column 7 .DEC. is stored scaled"),
        ("TUNIT7", "TSCAL7  =                  0.5", "column 7 .DEC. is stored scaled"),
        ("EXTNAME", "EXTNAME = 'TRACTOR '", "named 'TRACTOR'; expected a plain BINTABLE named 'SWEEP'"),
        ("XTENSION", "XTENSION= 'IMAGE   '", "HDU 1 is 'IMAGE'"),
        ("TUNIT7", "ZTABLE  =                    T", "expected a plain BINTABLE"),
    ],
)
def test_a_header_that_contradicts_is_refused(tmp_path: Path, key: str, card: str, told: str) -> None:
    uri = write_sweep(tmp_path / NAME, [{}] * 9)
    change_card(uri, key, card)
    with pytest.raises(SweepError, match=rf"{NAME}: .*{told}"):
        probe(uri)


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_damage_in_a_header_never_raises_anything_else(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / NAME, [{"OBJID": i} for i in range(9)])
    whole = Path(uri).read_bytes()
    header_end = probe(uri).file.data_start
    numbers = random.Random(2)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(numbers.choice([1, 3, 80])):
            damaged[numbers.randrange(header_end)] = numbers.randrange(256)
        Path(uri).write_bytes(damaged)
        try:
            assert read(uri) == list(range(9))
        except SweepError:
            refused += 1
    assert 20 < refused < 150


@pytest.mark.parametrize("missing", ["RELEASE", "SERSIC", "SHAPE_E2", "MASKBITS", "NOBS_G", "NOBS_Z"])
def test_a_missing_column_is_named(path: Path, missing: str) -> None:
    columns = [column for column in SWEEP_COLUMNS if column.name != missing]
    uri = write_sweep(path, [{}], columns=columns)
    with pytest.raises(SweepError) as caught:
        probe(uri)
    message = str(caught.value)
    assert f"{path.name}: 1 of the " in message
    assert f"missing: {missing}." in message
    assert "fetch them from the survey" in message


def test_a_primary_hdu_with_data(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / NAME)
    with pytest.raises(SweepError, match=f"{NAME}: the primary HDU holds data"):
        probe(str(tmp_path / NAME))


def test_a_file_without_table(tmp_path: Path) -> None:
    fits.PrimaryHDU().writeto(tmp_path / NAME)
    with pytest.raises(SweepError, match=f"{NAME}: the file ends within the header of HDU 1"):
        probe(str(tmp_path / NAME))


def test_a_header_without_end(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"SIMPLE  =".ljust(BLOCK) + b" " * BLOCK * 300)
    with pytest.raises(SweepError, match="the header of HDU 0 has no END card"):
        probe(str(tmp_path / NAME))


def test_maskbits_of_dr9_are_narrower_and_are_taken(path: Path) -> None:
    """DR9 stores MASKBITS as int16: widths of integers differ between releases, their kind does not."""
    columns = [c._replace(tform="I") if c.name == "MASKBITS" else c for c in SWEEP_COLUMNS]
    assert read(write_sweep(path, [{"MASKBITS": 4097}], columns=columns), "MASKBITS") == [4097]


def test_a_real_dr8_file_is_refused(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("dr8-sweep-310m005-320p000.fits")
    with pytest.raises(SweepError) as caught:
        probe(str(path))
    message = str(caught.value)
    assert path.name in message
    assert "missing: " in message
    missing = message.partition("missing: ")[2].partition(".")[0].split(", ")
    with fits.open(path) as hdus:
        there = {name.upper() for name in hdus[1].columns.names}
    assert missing == [name for name in NEEDED_COLUMNS if name not in there]
    assert {"SHAPE_R", "SERSIC", "SHAPE_E1", "SHAPE_E2"} <= set(missing)
    assert "DR8" in message
    assert "fetch them from the survey's south/sweep/10.1 folder" in message
