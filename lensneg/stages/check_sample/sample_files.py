"""The sample's files in their final form, and the positives."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.rules.split import fold_of_pixel, split_of_pixel
from lensneg.schema.columns import COLUMNS, POSITIVE, REPETITIVE, part_schema
from lensneg.schema.content import content_sha256, content_sha256_of
from lensneg.schema.manifest import ManifestPart, PartFile
from lensneg.schema.run import Run
from lensneg.schema.tables import read_table, write_table

#: The columns that SummarizeFanOut does not know.
_DRAWN: Final = {column.name for column in COLUMNS if column.stage == "draw"}


def read_positives(run: Run) -> pa.Table:
    """Return the run's positives in the manifest's form. SummarizeFanOut wrote them in its order."""
    schema = part_schema("positives", run.config.positives.columns)
    rows = read_table(run.files.matched_positives, pa.schema(f for f in schema if f.name not in _DRAWN))
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns |= {name: pa.repeat(pa.scalar(value), len(rows)) for name, value in run.record.columns.items()}
    for name, between in (("galaxy_id", "_"), ("object_id", "-")):
        objid = rows["objid"].cast(pa.string())
        columns[name] = pc.binary_join_element_wise(rows["brickname"], objid, between)
    columns["split"] = pa.array(split_of_pixel(rows["healpix_128"].to_numpy(), run.config.spatial_splits))
    columns["sampling_weight"] = pa.array(np.ones(len(rows)))
    columns["draw"] = pa.repeat(pa.scalar(POSITIVE), len(rows))
    fold = fold_of_pixel(rows["healpix_128"].to_numpy(), run.config.spatial_splits)
    columns["fold"] = pa.array(fold, pa.int16(), mask=fold < 0)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def write_part(run: Run, part: str, batches: Iterable[pa.Table]) -> ManifestPart:
    """Write the sample's ``negatives`` or ``positives``; the config sets the most rows of a file.

    The bytes depend on rows and order alone, and not on how the rows are cut into batches. Memory holds the
    rows of one file. Files that an earlier attempt left are removed. The audit compares the files with
    what is returned.

    Parameters
    ----------
    run : Run
        The run.
    part : str
        ``negatives`` or ``positives``.
    batches : iterable of pyarrow.Table
        The rows, with the schema of the part.

    Returns
    -------
    ManifestPart
        The files, and the hash of their rows.
    """
    files: list[PartFile] = []
    uris: list[str] = []
    content, schema = "", part_schema(part, run.config.positives.columns)
    for rows in _cut(batches, schema, run.config.execution.rows_per_manifest_file):
        uri = run.files.sample_part(part, len(files))
        size, sha256 = write_table(uri, rows, dictionary=REPETITIVE)
        name = f"{part}/{storage.basename(uri)}"
        files.append(PartFile(name=name, rows=len(rows), bytes=size, sha256=sha256))
        uris.append(uri)
        content = "" if len(files) > 1 else content_sha256(rows, schema)
        del rows  # before the rows of the next file are read
    remove_parts(run, part, keep=uris)
    rows_in_all = sum(file.rows for file in files)
    return ManifestPart(
        files=tuple(files), content_sha256=content or _content_sha256_of_files(uris, rows_in_all, schema)
    )


def remove_parts(run: Run, part: str, keep: Iterable[str] = ()) -> None:
    """Remove the sample's files of ``negatives`` or ``positives``, but those to keep."""
    for uri in {*run.files.sample_parts(part)} - {*keep}:
        storage.delete(uri)


def _cut(batches: Iterable[pa.Table], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Yield the rows in tables of ``most`` rows, and the rest in one of fewer, which may be empty."""
    held, count, none = list[pa.Table](), 0, True
    for batch in batches:
        start = 0
        while start < len(batch):
            held.append(batch.slice(start, most - count))
            start, count = start + len(held[-1]), count + len(held[-1])
            if count == most:
                rows = pa.concat_tables(held).combine_chunks()
                held, count, none = [], 0, False  # none of it is held while it is written
                yield rows
                del rows
    if held or none:
        yield pa.concat_tables([*held, schema.empty_table()]).combine_chunks()


def _content_sha256_of_files(uris: list[str], rows: int, schema: pa.Schema) -> str:
    """Return the hash of the rows of files that do not fit into memory together."""

    def chunks(name: str) -> Iterator[pa.Array]:
        for uri in uris:
            with storage.open_file(uri, storage.stat(uri).size) as stream:
                yield from pq.ParquetFile(stream).read([name])[name].chunks

    return content_sha256_of(rows, chunks, schema)
