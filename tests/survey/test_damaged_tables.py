"""Damaged Parquet and CSV files, by the hundred: an error of ours that names the file, or all rows."""

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hatscase import as_arrow
from sweepfile import table

from lensneg import storage
from lensneg.errors import SweepError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.survey.inputs import iter_input, probe_input

#: `make faults` fuzzes for longer, guided by coverage: tests/faults/fuzz_reader.py.
MUTATIONS = 250

ROWS = table([{"OBJID": i, "RA": 150.0 + i / 64, "FLUX_Z": 2.0**i} for i in range(40)])


def read(path: Path) -> int:
    """How many rows a table has; every column of every chunk has as many as the first."""
    file = probe_input(storage.stat(str(path)))
    rows = 0
    for start, chunk in iter_input(file, 0, file.n_rows):
        assert start == rows
        (length,) = {len(values) for values in chunk.values()}
        assert all(chunk[name].dtype == file.dtype[name].newbyteorder("=") for name in chunk)
        rows += length
    assert rows == file.n_rows
    return rows


def mutated(content: bytes, rng: random.Random) -> Iterator[bytes]:
    """Cuts, flipped bits, other bytes, pieces that are lost or come twice; many of them in the footer."""
    size = len(content)
    for _ in range(MUTATIONS // 5):
        at = rng.choice([rng.randrange(size), size - 1 - rng.randrange(min(size, 4000))])
        length = rng.choice([1, 4, 64, 500])
        yield content[:at]
        yield content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        yield content[:at] + rng.randbytes(length) + content[at + length :]
        yield content[:at] + content[at + length :]
        yield content[: at + length] + content[at:]


@pytest.mark.parametrize("options", [{}, {"write_page_checksum": True}], ids=["plain", "with checksums"])
def test_a_damaged_parquet_file(tmp_path: Path, options: dict[str, bool]) -> None:
    path = tmp_path / "rows.parquet"
    needed = as_arrow(ROWS).select(list(NEEDED_COLUMNS))
    pq.write_table(needed, path, row_group_size=15, compression="zstd", **options)
    assert read(path) == 40
    damage(path)


def test_a_damaged_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pyarrow.csv.write_csv(as_arrow(ROWS).select(list(NEEDED_COLUMNS)), path)
    assert read(path) == 40
    damage(path)


def refusal(path: Path) -> SweepError | None:
    try:
        read(path)
    except SweepError as error:
        return error
    return None


def damage(path: Path) -> None:
    errors = []
    for content in mutated(path.read_bytes(), random.Random(5)):
        path.write_bytes(content)
        errors.append(refusal(path))
    refused = [error for error in errors if error is not None]
    assert len(refused) > MUTATIONS // 4
    assert all(error.where == str(path) and error.remedy and len(str(error)) < 1000 for error in refused)


def test_a_page_with_another_checksum_is_refused(tmp_path: Path) -> None:
    """Where pages have checksums, as Arrow writes them when it is asked, no changed value is read."""
    path = tmp_path / "rows.parquet"
    needed = as_arrow(ROWS).select(list(NEEDED_COLUMNS))
    pq.write_table(needed, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = path.read_bytes()
    value = ROWS["FLUX_Z"][:4].astype("<f4").tobytes()
    assert content.count(value) == 1
    path.write_bytes(content.replace(value, ROWS["FLUX_Z"][4:8].astype("<f4").tobytes()))
    with pytest.raises(SweepError, match=r"rows\.parquet: .*(CRC|corrupt)"):
        read(path)
