"""A sweep file's headers: what they say, and what in them is refused."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sweepfile import NAME, ROW_BYTES, probe, read_column, write_sweep

from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SWEEP_COLUMNS, sweep_dtype
from lensneg.survey.names import is_gzipped

BLOCK = 2880


@pytest.fixture(params=["plain", "gzip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a sweep file may be written, plain or gzipped."""
    return tmp_path / (NAME if request.param == "plain" else f"{NAME}.gz")


def test_the_layout_of_a_file(path: Path) -> None:
    uri = write_sweep(path, [{}] * 7)
    file = probe(uri)
    assert (file.uri, file.size, file.n_rows) == (uri, path.stat().st_size, 7)
    assert file.dtype == sweep_dtype()
    assert (file.data_stop - file.data_start, file.row_bytes) == (7 * ROW_BYTES, ROW_BYTES)
    assert file.cell == (150, 155, 0, 5)
    assert is_gzipped(file.uri) == (path.suffix == ".gz")
    # astropy's own word for where the data start
    with fits.open(path) as hdus:
        place = hdus[1].fileinfo()
        assert file.data_start == place["datLoc"]
        assert file.data_stop + file.padding == place["datLoc"] + place["datSpan"]


def test_a_file_with_another_name_has_no_cell(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / "mine.fits", [{}])
    with pytest.raises(SweepError, match=r"mine\.fits: the name is not one of a sweep file"):
        _ = probe(uri).cell


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
        ("TUNIT7", "TNULL2  = 'none    '", "TNULL2 is 'none'; expected a whole number"),
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


def test_the_nulls_of_needed_columns_of_integers(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / NAME, [{}])
    assert probe(uri).nulls == {}
    change_card(uri, "TUNIT6", "TNULL2  =                   -1")
    change_card(uri, "TUNIT7", "TNULL7  =                    0")  # DEC, which has NaN instead
    change_card(uri, "TUNIT8", "TNULL20 =                    9")  # NOBS_I, which is not needed
    assert probe(uri).nulls == {"BRICKID": -1}


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_damage_in_a_header_never_raises_anything_else(tmp_path: Path) -> None:
    uri = write_sweep(tmp_path / NAME, [{"OBJID": i} for i in range(9)])
    whole = Path(uri).read_bytes()
    header_end = probe(uri).data_start
    numbers = random.Random(2)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(numbers.choice([1, 3, 80])):
            damaged[numbers.randrange(header_end)] = numbers.randrange(256)
        Path(uri).write_bytes(damaged)
        try:
            assert read_column(uri) == list(range(9))
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
    assert "fetch those of the config's release" in message


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
    assert read_column(write_sweep(path, [{"MASKBITS": 4097}], columns=columns), "MASKBITS") == [4097]


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
    assert "fetch those of the config's release, as from the survey's south/sweep/10.1 folder" in message
