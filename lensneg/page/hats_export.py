"""Rows of a manifest as a HATS catalogue, which lsdb opens.

The rows are first divided among the partitions, in files of this machine, and each partition is then ordered.
Memory holds a batch or a partition.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lensneg.errors import InputError
from lensneg.page.exported_rows import ExportedFile, ExportedRows
from lensneg.rules.sky import healpix_pixel
from lensneg.schema.arrays import IntArray
from lensneg.survey.hats_catalog import (
    INDEX_COLUMN,
    INDEX_ORDER,
    Partition,
    catalog_files,
    partitions_of,
)

#: Rows of the largest partition, which is ordered in memory. hats-import has a million by default.
_MAX_ROWS: Final = 100_000

#: The highest order of a partition. Pixels of this order are counted: 0.2 degrees wide.
_DEEPEST: Final = 8


def _index(rows: pa.Table) -> IntArray:
    return healpix_pixel(1 << INDEX_ORDER, rows["ra"].to_numpy(), rows["dec"].to_numpy())


def hats_files(rows: ExportedRows) -> Iterator[ExportedFile]:
    """Yield the files of a catalogue with the name of the part."""
    if not rows.rows:
        raise InputError("no rows", where=rows.part, remedy="export the other part alone, with --part")
    below = 2 * (INDEX_ORDER - _DEEPEST)
    counts = np.zeros(12 * 4**_DEEPEST, dtype=np.int64)
    for batch in rows.batches():
        counts += np.bincount(_index(batch) >> below, minlength=len(counts))
    before = np.concatenate([[0], np.cumsum(counts)])

    def rows_between(begin: int, end: int) -> int:
        return int(before[end >> below] - before[begin >> below])

    partitions = list(partitions_of(rows_between, _MAX_ROWS, _DEEPEST))
    written = []
    with tempfile.TemporaryDirectory(prefix="lensneg-hats-") as folder:
        divided = _divide(rows, partitions, Path(folder))
        for partition, spooled in zip(partitions, divided, strict=True):
            with pa.OSFile(str(spooled)) as stream, pa.ipc.open_stream(stream) as reader:
                table = reader.read_all().sort_by([(INDEX_COLUMN, "ascending"), ("targetid", "ascending")])
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
            data = sink.getvalue()
            written.append((partition, pq.read_metadata(pa.BufferReader(data))))
            yield ExportedFile(f"{rows.part}/dataset/{partition.path}", iter([data.to_pybytes()]))
    for file in catalog_files(
        written, name=f"lensneg_{rows.part}", builder="lensneg export", rows=rows.rows, most=_MAX_ROWS
    ):
        yield ExportedFile(f"{rows.part}/{file.name}", iter([file.content]))


def _divide(rows: ExportedRows, partitions: list[Partition], folder: Path) -> list[Path]:
    """Write the rows of each partition to a file."""
    begins = np.array([partition.begin for partition in partitions])
    paths = [folder / f"{number}.arrow" for number in range(len(partitions))]
    with ExitStack() as stack:
        writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        for batch in rows.batches():
            index = _index(batch)
            table = batch.add_column(0, INDEX_COLUMN, pa.array(index))
            owner = np.searchsorted(begins, index, side="right") - 1
            for number in np.unique(owner).tolist():
                if number not in writers:
                    sink = stack.enter_context(pa.OSFile(str(paths[number]), "wb"))
                    writers[number] = stack.enter_context(pa.ipc.new_stream(sink, table.schema))
                writers[number].write_table(table.filter(pa.array(owner == number)))
    return paths
