"""Coverage-guided fuzzing of the readers: sweep files, plain and gzipped, and CSV and Parquet tables.

    python tests/faults/fuzz_reader.py -max_total_time=120

Any exception that is not one of ours, and any row that the reader invents, ends it with the input that did
it. `make faults` runs it for a bounded time, from a small sweep file as its seed. Options are libFuzzer's.
"""

import gzip
import io
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(
    include=[
        "lensneg.survey.fits_layout",
        "lensneg.survey.fits_rows",
        "lensneg.survey.parquet_footer",
        "lensneg.survey.parquet_rows",
        "lensneg.survey.table_rows",
        "lensneg.survey.uncompressed",
        "lensneg.schema.sweep_columns",
    ]
):
    from lensneg.survey.fits_rows import iter_rows, probe_sweep
    from lensneg.survey.table_rows import iter_table, probe_table
import pyarrow.csv
import pyarrow.parquet as pq
from hatscase import as_arrow
from sweepfile import NAME, table, write_sweep

from lensneg import storage
from lensneg.errors import LensnegError
from lensneg.schema.columns import NEEDED_COLUMNS
from lensneg.schema.sweep_columns import SWEEP_COLUMNS

#: What the reader is given in the place of a file.
CONTENT = {"bytes": b""}


class Memory:
    """A range of the content, as storage gives it."""

    def __init__(self, uri: str, start: int, size: int) -> None:
        self._stream = io.BytesIO(CONTENT["bytes"][start : start + size])

    def readinto(self, buffer: memoryview) -> int:
        return self._stream.readinto(buffer)

    def close(self) -> None:
        pass


def read_bytes(uri: str, start: int = 0, size: int | None = None) -> bytes:
    return CONTENT["bytes"][start : None if size is None else start + size]


def read(name: str, content: bytes) -> None:
    """Read a file to its end; whatever is wrong with it must be an error of ours."""
    CONTENT["bytes"] = content
    try:
        file = probe_sweep(storage.FileInfo(name, len(content), ""))
        rows = 0
        for start, chunk in iter_rows(file):
            assert start == rows
            rows += len(chunk)
            for column in ("RA", "FLUX_Z", "OBJID"):
                assert len(chunk[column]) == len(chunk)
        assert rows == file.n_rows
        plain = content if name.endswith(".fits") else gzip.decompress(content)
        assert file.data_stop <= len(plain)
    except LensnegError as error:
        if name not in str(error):
            raise ValueError("an error that does not name its file") from error


def open_file(uri: str, size: int) -> io.BytesIO:
    return io.BytesIO(CONTENT["bytes"])


def read_table(name: str, content: bytes) -> None:
    """Read a table to its end, as :func:`read` a sweep file."""
    CONTENT["bytes"] = content
    try:
        file = probe_table(storage.FileInfo(name, len(content), ""))
        rows = 0
        for start, chunk in iter_table(file):
            assert start == rows
            (length,) = {len(values) for values in chunk.values()}
            rows += length
        assert rows == file.n_rows
    except LensnegError as error:
        if name not in str(error):
            raise ValueError("an error that does not name its file") from error


def one_input(data: bytes) -> None:
    # What begins as a sweep file is none of a table, and the other way round.
    if not data.startswith(b"SIMPLE"):
        read_table("rows.parquet", data)
        read_table("rows.csv", data)
    read(NAME, data)
    read(f"{NAME}.gz", gzip.compress(data, 1))
    read(f"{NAME}.gz", data)


def main() -> None:
    warnings.simplefilter("ignore")
    storage.open_range = Memory  # type: ignore[assignment,misc]
    storage.read_bytes = read_bytes
    storage.open_file = open_file  # type: ignore[assignment]
    needed = [column for column in SWEEP_COLUMNS if column.name in NEEDED_COLUMNS]
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder)
        for rows in (0, 2):
            write_sweep(seeds / NAME, [{}] * rows, columns=needed)
            (seeds / NAME).rename(seeds / f"seed-{rows}")
        (seeds / "zipped").write_bytes(gzip.compress((seeds / "seed-2").read_bytes()))
        rows = as_arrow(table([{}] * 2)).select(NEEDED_COLUMNS)
        pq.write_table(rows, seeds / "parquet-2", row_group_size=1, compression="none")
        pyarrow.csv.write_csv(rows, seeds / "csv-2")
        words = seeds / "words.dict"
        keys = [
            "NAXIS1",
            "NAXIS2",
            "TFORM1",
            "TTYPE1",
            "TFIELDS",
            "END",
            "XTENSION",
            "1PD",
            "BINTABLE",
            "SWEEP",
            "'",
        ]
        words.write_text("".join(f'"{key}"\n' for key in keys))
        corpus = seeds / "corpus"
        corpus.mkdir()
        for path in seeds.glob("*[0-9d]"):
            if path.is_file():
                (corpus / path.name).write_bytes(path.read_bytes())
        options = [
            f"-dict={words}",
            "-max_len=40000",
            "-rss_limit_mb=1500",
            "-timeout=20",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
