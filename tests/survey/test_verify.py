"""Damage that a sweep file's headers and its last row do not show: holes, and bytes that were changed."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from prototype import write_table
from sweepfile import NAME, ROW_BYTES, probe, table, write_sweep

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.survey.fits_rows import iter_rows
from lensneg.survey.verify import Verified, verify_sweeps

#: More than two chunks of the reader, and no whole number of them.
N_ROWS = 9_001


def verified(path: Path, headers_only: bool = False) -> Verified:
    [result] = verify_sweeps(
        [storage.stat(str(path))],
        {},
        headers_only=headers_only,
        jobs=1,
        on_bytes=lambda count: None,
        on_file=lambda result: None,
    )
    return result


def stored(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sweep file with astropy's DATASUM and CHECKSUM in both headers."""
    path = tmp_path_factory.mktemp("whole") / NAME
    rows = np.repeat(table([{}]), N_ROWS)
    rows["RA"] = np.random.default_rng(3).uniform(150, 155, N_ROWS)
    hdu = fits.BinTableHDU(rows, name="SWEEP")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)
    return path.read_bytes()


@pytest.fixture(params=[NAME, f"{NAME}.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


HOLES = [(0, 1), (1, 2), (4095, 1), (4096, 3), (5000, 9001 - 5000), (8999, 1), (9000, 1), (0, N_ROWS)]


@pytest.mark.parametrize(("first", "count"), HOLES)
@pytest.mark.parametrize("filling", [0, 0xFF])
def test_a_hole_is_found_wherever_it_is(path: Path, first: int, count: int, filling: int) -> None:
    plain = bytearray(Path(write_sweep(path.parent / NAME, [{}] * N_ROWS)).read_bytes())
    start = len(plain) - N_ROWS * ROW_BYTES - (-N_ROWS * ROW_BYTES) % 2880
    size = count * ROW_BYTES
    place = start + first * ROW_BYTES
    plain[place : place + size] = bytes([filling]) * size
    stored(path, plain)
    told = f"{path.name}: row {first:,} of 9,001 is no source: RELEASE (0|-1) and BRICKID (0|-1); .*fetch it"
    fault = verified(path).fault
    assert re.search(told if first + count < N_ROWS else "is no source", fault), fault


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_hole_in_a_table_is_found(tmp_path: Path, name: str) -> None:
    rows = table([{"OBJID": i} for i in range(9)])
    rows[4:6] = np.zeros(2, rows.dtype)
    write_table(tmp_path / name, rows)
    told = f"{name}: row 4 of 9 is no source: RELEASE 0 and BRICKID 0; the file has a hole; fetch it again"
    assert told in verified(tmp_path / name).fault


@pytest.mark.parametrize("row", [{"RELEASE": 0}, {"BRICKID": 0}])
def test_a_row_with_a_release_or_a_brick_is_no_hole(path: Path, row: dict[str, int]) -> None:
    """Other rules refuse it or cut it."""
    file = probe(write_sweep(path, [{}, row, {}]))
    assert [len(chunk) for _, chunk in iter_rows(file)] == [3]
    assert verified(path).fault == ""


def test_a_hole_in_the_last_row_shows_before_any_row_is_read(tmp_path: Path) -> None:
    """As where the header promises too many rows, and padding reads as rows."""
    uri = write_sweep(tmp_path / NAME, [{}, {"RELEASE": 0, "BRICKID": 0}])
    with pytest.raises(SweepError, match="row 1 of 2 is no source"):
        probe(uri)


def test_the_sums_of_the_headers_are_compared(path: Path, whole: bytes) -> None:
    found = verified(stored(path, whole))
    assert (found.fault, found.checked, found.rows, found.verdict) == ("", True, N_ROWS, "checksum right")
    assert verified(stored(path, whole), headers_only=True).checked is False


@pytest.mark.parametrize("row", [0, 4095, 4096, 8999])
def test_one_other_byte_is_found(path: Path, whole: bytes, row: int) -> None:
    start = len(whole) - N_ROWS * ROW_BYTES - (-N_ROWS * ROW_BYTES) % 2880
    changed = bytearray(whole)
    changed[start + row * ROW_BYTES + 300] ^= 0x10
    assert f"{path.name}: the DATASUM of HDU 1 says" in verified(stored(path, changed)).fault


@pytest.mark.parametrize(("card", "hdu"), [(b"NAXIS ", 0), (b"NAXIS2 ", 1)])
def test_another_byte_of_a_header_is_found(path: Path, whole: bytes, card: bytes, hdu: int) -> None:
    changed = bytearray(whole)
    changed[whole.index(card, 2880 * hdu) + 60] ^= 1  # in the comment
    assert f"the CHECKSUM of HDU {hdu} says" in verified(stored(path, changed)).fault


def test_zeros_behind_the_table_are_no_damage(path: Path, whole: bytes) -> None:
    assert verified(stored(path, whole + bytes(5760))).fault == ""
    assert verified(stored(path, whole + bytes(2880) + b"\1")).fault
    far = verified(stored(path, whole + bytes(1 << 20) + b"\1"))
    assert f"{path.name}: " in far.fault


def test_without_sums_nothing_is_compared(path: Path) -> None:
    found = verified(Path(write_sweep(path, [{}] * 9)))
    assert (found.fault, found.checked, found.verdict) == ("", False, "sound")
