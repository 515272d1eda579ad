"""The manifest's files: readable, intact, of the right columns, and none besides."""

import hashlib
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.audit.subject import Subject
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import MANIFEST_SCHEMA, PARTS, WRITTEN_SCHEMA
from lensneg.schema.manifest import PartFile


class Files:
    """The files of a manifest, each read once, and what is wrong with them.

    Attributes
    ----------
    tables : dict of str to pyarrow.Table
        The rows of each part.
    audited : dict of str to list of PartFile
        What was read of each part.
    problems : list of str
        Files that cannot be read.
    altered : list of str
        Files that are not what was promised.
    schema_faults : list of str
        Files that have other columns.
    """

    def __init__(self, subject: Subject) -> None:
        self.problems: list[str] = []
        self.altered: list[str] = []
        self.schema_faults: list[str] = []
        self.audited: dict[str, list[PartFile]] = {part: [] for part in PARTS}
        self.tables = {part: self._read(subject, part) for part in PARTS}

    def _read(self, subject: Subject, part: str) -> pa.Table:
        tables = [WRITTEN_SCHEMA.empty_table()]
        for uri in subject.files.get(part, ()):
            name = storage.basename(uri)
            try:
                data = storage.read_bytes(uri)
                table = pq.ParquetFile(pa.BufferReader(data)).read()
            except (pa.ArrowException, OSError) as error:
                self.problems.append(f"{uri}: {error}")
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            file = PartFile(name=name, rows=len(table), bytes=len(data), sha256=sha256)
            self.audited[part].append(file)
            promised = subject.promised.get(uri)
            if promised is None or promised.model_copy(update={"name": name}) != file:
                self.altered.append(name)
            faults = schema_faults(table.schema)
            self.schema_faults += [f"{part}/{name}: {fault}" for fault in faults]
            if not faults:
                tables.append(table.cast(WRITTEN_SCHEMA))
        if not self.audited[part] and not self.problems:
            self.problems.append(f"{part}: no Parquet files")
        return pa.concat_tables(tables).combine_chunks()


def schema_faults(schema: pa.Schema) -> list[str]:
    """Return how a table's columns differ from the manifest's, in names, order and types."""
    if schema.names != MANIFEST_SCHEMA.names:
        missing = [name for name in MANIFEST_SCHEMA.names if name not in schema.names]
        extra = [name for name in schema.names if name not in MANIFEST_SCHEMA.names]
        parts = [f"no {brief(missing)}"] * bool(missing) + [f"unknown {brief(extra)}"] * bool(extra)
        return [", ".join(parts) or "columns in another order"]
    return [
        f"{field.name} is {schema.field(field.name).type}, not {field.type}"
        for field in MANIFEST_SCHEMA
        if schema.field(field.name).type != field.type
    ]


def file_checks(subject: Subject, read: Files) -> Iterator[Check]:
    """Yield the checks of the files as such."""
    yield Check.of_faults(
        "files_readable",
        read.problems,
        expected="Parquet files of negatives and of positives",
        found=f"{sum(map(len, read.audited.values()))} files",
        remedy="fetch the files again, or start the run again with the same run id",
        shown=3,
    )
    yield Check.of_faults(
        "files_listed",
        subject.others,
        expected="no other file in the folder than the list names",
        found=f"{len(subject.promised)} files",
        saying="not of this manifest: ",
        remedy="remove them, or move them elsewhere: who reads the folder would take them for part of it",
    )
    if subject.promised and not read.problems:
        yield Check.of_faults(
            "files_intact",
            read.altered,
            expected="every file with the bytes, SHA-256 and rows of the list",
            found=f"{len(subject.promised)} files",
            saying="not so: ",
            remedy="the files were changed or damaged after they were written: fetch them again, or start "
            "the run again with the same run id",
        )
    yield Check.of_faults(
        "schema",
        read.schema_faults,
        expected=f"the {len(MANIFEST_SCHEMA)} columns of the manifest, in order and typed",
        found=f"{len(MANIFEST_SCHEMA)} columns",
        remedy="the Spark job and lensneg are of different versions; deploy both together",
        shown=3,
    )


def content_check(subject: Subject, found: Mapping[str, str]) -> Iterator[Check]:
    """Compare the hash of the rows of each part with that of the list."""
    if subject.contents:
        yield Check.of_faults(
            "content_sha256",
            [f"{part}: {found[part]}" for part in PARTS if found[part] != subject.contents[part]],
            expected="the rows of each part with the content_sha256 of the list",
            found=", ".join(f"{part} {found[part][:12]}…" for part in PARTS),
            saying="another one: ",
            remedy="the list was changed by hand, or is of other files: fetch it again",
        )
