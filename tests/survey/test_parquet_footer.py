"""Footers of Parquet files, compared with Arrow's reader of them where it can be asked."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lensneg.survey.parquet_footer import Bounds, Footer, read_footer

#: Every bit of a footer is flipped, and what is left is read as the readers of sweeps and catalogues do.
FLIP_EVERY_BIT = """
import io, sys
import pyarrow as pa, pyarrow.parquet as pq
from lensneg.survey.parquet_footer import read_footer

content = sys.stdin.buffer.read()
first = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
refused = 0
for at in range(first, len(content) - 8):
    for bit in range(8):
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        damaged = bytes(damaged)
        try:
            footer = read_footer(len(damaged), lambda start, size: damaged[start : start + size])
            rows = pq.ParquetFile(pa.BufferReader(damaged), metadata=footer.arrow).iter_batches()
            assert sum(map(len, rows)) == sum(footer.n_rows)
        except (ValueError, OSError, pa.ArrowException):
            refused += 1
print(8 * (len(content) - 8 - first), refused)
"""

TABLE = pa.table(
    {
        "RA": [10.0, 359.5, 4.25, None],
        "RELEASE": pa.array([9010, 9012, 10002, 9011], pa.int32()),
        "FLUX_Z": pa.array([1.5, -2.0, float("nan"), 0.0], pa.float32()),
        "TYPE": ["PSF", "SER", None, "DEV"],
        "pairs": [[1, 2], [], None, [3]],
        "inner": [{"a": 1, "b": "x"}] * 4,
    }
)


def written(table: pa.Table = TABLE, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def footer_of(content: bytes) -> Footer:
    return read_footer(len(content), lambda start, size: content[start : start + size])


@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 3}, {"use_dictionary": False, "write_statistics": False}], ids=str
)
def test_it_is_what_arrow_reads(options: dict[str, Any]) -> None:
    content = written(**options)
    found, truth = footer_of(content), pq.read_metadata(io.BytesIO(content))
    groups = [truth.row_group(number) for number in range(truth.num_row_groups)]
    assert found.schema == TABLE.schema
    assert list(found.n_rows) == [group.num_rows for group in groups]
    for group, places in zip(groups, found.places, strict=True):
        columns = [group.column(i) for i in range(group.num_columns)]
        assert list(found.names) == [column.path_in_schema for column in columns]
        for place, column in zip(places, columns, strict=True):
            starts = (column.dictionary_page_offset, column.data_page_offset)
            assert place.start == min(start for start in starts if start is not None)
            assert (place.size, place.unpacked) == (
                column.total_compressed_size,
                column.total_uncompressed_size,
            )
    if "write_statistics" not in options:
        first = dict(zip(found.names, found.places[0], strict=True))
        assert first["RA"].bounds == Bounds(4.25, 359.5)
        assert first["RELEASE"].bounds == Bounds(9010, 10002)
        assert first["TYPE"].bounds is None


def test_no_bit_of_a_footer_ends_the_process() -> None:
    """Arrow ends it for 57 of these bits, where it is asked for the columns of a row group."""
    content = written(TABLE.select(["RA", "RELEASE", "TYPE"]).slice(0, 2), compression="none")
    command = [sys.executable, "-c", FLIP_EVERY_BIT]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    flipped, refused = map(int, done.stdout.split())
    assert flipped > 4_000
    assert refused > 600


def damaged(content: bytes, old: bytes, new: bytes) -> bytes:
    first = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    assert content[first:].count(old) == 1
    return content[:first] + content[first:].replace(old, new)


def test_a_file_of_other_size_is_refused() -> None:
    content = written()
    for end in (0, 3, 11, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="does not end as a Parquet file does"):
            footer_of(content[:end])
    with pytest.raises(ValueError, match="does not end as a Parquet file does"):
        footer_of(content[:-8] + b"\xff\xff\xff\x7fPAR1")
    with pytest.raises(ValueError, match=r"row group 0 is not within|in the place of others"):
        footer_of(b"PAR1" + content[-8 - int.from_bytes(content[-8:-4], "little") :])


def test_rows_that_do_not_add_up_are_refused() -> None:
    table = pa.table({"RA": [float(i) for i in range(29)]})
    content = written(table, row_group_size=16, compression="none")
    # Field 3 of the file, num_rows: an i64, in zigzag.
    with pytest.raises(ValueError, match="do not add up to its 28 rows"):
        footer_of(damaged(content, b"\x16" + bytes([2 * 29]), b"\x16" + bytes([2 * 28])))


def test_columns_in_the_place_of_others_are_refused() -> None:
    table = pa.table({"one": [1.0, 2.0], "two": [3.0, 4.0]})
    content = written(table, compression="none", use_dictionary=False, write_statistics=False)
    one, two = footer_of(content).places[0]
    assert two.start == one.start + one.size
    # Field 9 of a column, data_page_offset, two fields behind field 7.
    old, new = (b"\x26" + bytes([*_varint(2 * place.start)]) for place in (two, one))
    with pytest.raises(ValueError, match="in the place of others"):
        footer_of(damaged(content, old, new))


def _varint(value: int) -> bytes:
    found = []
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def test_the_footer_of_a_folder_is_refused(tmp_path: Path) -> None:
    """A file _metadata names the files of which it has the row groups."""
    collected: list[Any] = []
    pq.write_to_dataset(TABLE.select(["RA"]), tmp_path / "sky", metadata_collector=collected)
    pq.write_metadata(pa.schema([("RA", pa.float64())]), tmp_path / "_metadata", collected)
    with pytest.raises(ValueError, match="in other files"):
        footer_of((tmp_path / "_metadata").read_bytes())
