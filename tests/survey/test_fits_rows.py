"""Reading in chunks and slices, and every way for a file to be broken."""

import gzip
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sweepfile import NAME, ROW_BYTES, Row, probe, read_column, table, write_sweep

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SWEEP_COLUMNS, SweepColumn
from lensneg.survey import fits_rows
from lensneg.survey.fits_rows import iter_rows

BLOCK = 2880


@pytest.fixture(params=["plain", "gzip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a sweep file may be written, plain or gzipped."""
    return tmp_path / (NAME if request.param == "plain" else f"{NAME}.gz")


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
    ((_, found),) = iter_rows(probe(uri))
    for column in NEEDED_COLUMNS:
        is_text = column in ("TYPE", "BRICKNAME")
        values = np.strings.decode(found[column], "ascii") if is_text else found[column]
        assert values.tolist() == expected[column].tolist()


def test_column_names_are_matched_without_case(path: Path) -> None:
    rows: list[Row] = [{"OBJID": 5, "FLUX_Z": 12.5}, {"OBJID": 6, "FLUX_Z": 0.25}]
    uri = write_sweep(path, rows, lower=True)
    assert fits.getheader(path, 1)["TTYPE1"] == "release"
    assert read_column(uri, "FLUX_Z") == [12.5, 0.25]
    assert read_column(uri, "OBJID") == [5, 6]


def test_columns_are_found_by_name_and_not_by_position(path: Path) -> None:
    uri = write_sweep(path, [{"OBJID": 5, "FLUX_Z": 12.5}], columns=reversed(SWEEP_COLUMNS))
    assert read_column(uri, "FLUX_Z") == [12.5]
    assert probe(uri).release == 10002


def test_columns_that_are_not_needed_may_be_missing_or_new(path: Path) -> None:
    needed = [column for column in SWEEP_COLUMNS if column.name in NEEDED_COLUMNS]
    uri = write_sweep(path, [{"OBJID": 5}], columns=[SweepColumn("NEW", "D"), *needed])
    assert probe(uri).dtype.itemsize < ROW_BYTES
    assert read_column(uri) == [5]


@pytest.mark.parametrize("release", [10002, 10000, 9011, 11010])
def test_the_release_is_that_of_the_first_row(path: Path, release: int) -> None:
    uri = write_sweep(path, [{"RELEASE": release}, {"RELEASE": 1}])
    assert probe(uri).release == release


def test_a_file_without_rows(path: Path) -> None:
    uri = write_sweep(path, [])
    assert (probe(uri).n_rows, probe(uri).release) == (0, 0)
    assert read_column(uri) == []


# ---------------------------------------------------------------- chunks and slices


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 8, 9])
def test_chunks_lose_and_double_no_row(path: Path, monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    monkeypatch.setattr(fits_rows, "CHUNK_ROWS", 4)
    uri = write_sweep(path, [{"OBJID": i} for i in range(n_rows)])
    sizes = [len(rows) for _, rows in iter_rows(probe(uri))]
    assert sizes == [4] * (n_rows // 4) + [n_rows % 4] * (n_rows % 4 > 0)
    assert read_column(uri) == list(range(n_rows))


@pytest.mark.parametrize(
    ("first", "count"), [(0, 10), (0, 1), (9, 1), (3, 4), (4, 4), (1, 8), (5, 5), (2, 0), (10, 0)]
)
def test_slices(path: Path, monkeypatch: pytest.MonkeyPatch, first: int, count: int) -> None:
    monkeypatch.setattr(fits_rows, "CHUNK_ROWS", 4)
    uri = write_sweep(path, [{"OBJID": i} for i in range(10)])
    expected = list(range(first, first + count))
    assert read_column(uri, first_row=first, n_rows=count) == expected


@pytest.mark.parametrize("first", [0, 3, 8, 9, 10])
def test_a_slice_to_the_end(path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    monkeypatch.setattr(fits_rows, "CHUNK_ROWS", 4)
    uri = write_sweep(path, [{"OBJID": i} for i in range(10)])
    assert read_column(uri, first_row=first) == list(range(first, 10))


def test_the_real_size_of_chunks(tmp_path: Path) -> None:
    """A border of the chunks that runs use, with rows on both sides."""
    n_rows = fits_rows.CHUNK_ROWS + 2
    uri = write_sweep(tmp_path / NAME, [{}])
    rows = np.repeat(table([{}]), n_rows)
    rows["OBJID"] = np.arange(n_rows)
    file = probe(uri)
    with open(uri, "r+b") as stream:
        stream.seek(file.data_start)
        stream.write(rows.tobytes())
    longer = replace(file, size=1 << 40, n_rows=n_rows)
    found = [(start, len(r), r["OBJID"][[0, -1]].tolist()) for start, r in iter_rows(longer)]
    edge = fits_rows.CHUNK_ROWS
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
    assert read_column(plain) == read_column(zipped) == list(range(9))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_sweep_in_s3(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(fits_rows, "CHUNK_ROWS", 4)
    local = write_sweep(tmp_path / f"{NAME}{suffix}", [{"OBJID": i} for i in range(10)])
    uri = f"{s3}/sweeps/{NAME}{suffix}"
    storage.write_bytes(uri, Path(local).read_bytes())
    assert probe(uri).release == 10002
    assert read_column(uri) == list(range(10))
    assert read_column(uri, first_row=3, n_rows=6) == [3, 4, 5, 6, 7, 8]


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
        start = probe(uri).data_start
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
    length = probe(uri).data_start + 9 * ROW_BYTES
    Path(uri).write_bytes(Path(uri).read_bytes()[:length])
    assert read_column(uri) == list(range(9))


@pytest.mark.parametrize("change", [-1, -4, 1, 2], ids=str)
def test_a_file_that_lost_or_got_bytes_within_its_rows_is_refused(tmp_path: Path, change: int) -> None:
    """All rows behind them are shifted: zeros were lost or added, so what follows the table is zeros too."""
    uri = write_sweep(tmp_path / NAME, [{}] * 9)
    whole, at = Path(uri).read_bytes(), probe(uri).data_start + 3 * ROW_BYTES
    zeros = whole.index(bytes(4), at)
    assert zeros < at + ROW_BYTES
    Path(uri).write_bytes(whole[:zeros] + bytes(max(change, 0)) + whole[zeros - min(change, 0) :])
    with pytest.raises(SweepError, match=rf"{NAME}: .*bytes were lost or added; fetch it again"):
        probe(uri)


@pytest.mark.parametrize("lost", [1, 3 * ROW_BYTES, 9 * ROW_BYTES])
def test_a_file_cut_after_it_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(fits_rows, "CHUNK_ROWS", 4)
    uri = write_sweep(tmp_path / NAME, [{}] * 9)
    file = probe(uri)
    whole = Path(uri).read_bytes()
    Path(uri).write_bytes(whole[: file.data_start + 9 * ROW_BYTES - lost])
    with pytest.raises(SweepError, match=rf"{NAME}: the file ends between rows .* of 9: it is truncated"):
        list(iter_rows(file))


@pytest.mark.parametrize("kept", [1, 5, 10, 18, 50, 200, 0.3, 0.6, 0.9, -9, -8, -1])
def test_a_truncated_gzip_is_named(tmp_path: Path, kept: float) -> None:
    """Wherever it is cut: in gzip's header, in the rows, or in the checksum after them."""
    uri = write_sweep(tmp_path / f"{NAME}.gz", [{"RA": 150 + i / 7} for i in range(99)])
    whole = Path(uri).read_bytes()
    length = int(kept * len(whole)) if isinstance(kept, float) else kept
    Path(uri).write_bytes(whole[:length])
    with pytest.raises(SweepError, match=rf"{NAME}\.gz: .*(cut short|truncated).*fetch"):
        read_column(uri)


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
            read_column(uri)


@pytest.mark.parametrize("damaged", [False, True])
def test_the_checksum_of_a_gzip_counts_whatever_follows_the_rows(tmp_path: Path, damaged: bool) -> None:
    """Another HDU, of 100 blocks: the checksum is far behind the rows."""
    uri = write_sweep(tmp_path / f"{NAME}.gz", [{"OBJID": i} for i in range(9)])
    content = gzip.decompress(Path(uri).read_bytes()) + b"XTENSION=".ljust(100 * BLOCK)
    stored = bytearray(gzip.compress(content, 1))
    stored[-8] ^= damaged
    Path(uri).write_bytes(stored)
    if damaged:
        with pytest.raises(SweepError, match=rf"{NAME}\.gz: the gzip stream is damaged .*CRC"):
            read_column(uri)
    else:
        assert read_column(uri) == list(range(9))


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
