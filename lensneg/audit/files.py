"""The manifest's files: readable, intact, of the right columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.audit.subject import AuditedFile, Promised, Subject
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import MANIFEST_SCHEMA, WRITTEN_SCHEMA


class Files:
    """Reads the manifest's files, each once, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.audited: dict[str, list[AuditedFile]] = {}
        self.problems: list[str] = []
        self.schema_faults: list[str] = []

    def table(self, part: str, uris: Iterable[str]) -> pa.Table:
        tables = []
        self.audited[part] = []
        for uri in uris:
            try:
                data = storage.read_bytes(uri)
                table = pq.ParquetFile(pa.BufferReader(data)).read()
            except (pa.ArrowException, OSError) as error:
                self.problems.append(f"{uri}: {error}")
                continue
            self.audited[part].append(
                AuditedFile(uri, len(table), len(data), hashlib.sha256(data).hexdigest())
            )
            faults = [f"{storage.basename(uri)}: {fault}" for fault in schema_faults(table.schema)]
            self.schema_faults += [f"{part}/{fault}" for fault in faults]
            if not faults:
                tables.append(table.cast(WRITTEN_SCHEMA))
        if not self.audited[part] and not self.problems:
            self.problems.append(f"{part}: no Parquet files")
        return pa.concat_tables([WRITTEN_SCHEMA.empty_table(), *tables]).combine_chunks()


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
    yield Check(
        name="files_readable",
        passed=not read.problems,
        expected="Parquet files of negatives and of positives",
        actual=brief(read.problems, 3) if read.problems else f"{sum(map(len, read.audited.values()))} files",
        hint="read the job's log, or fetch the files again",
    )
    if subject.promised:
        wrong = [
            storage.basename(f.uri)
            for files in read.audited.values()
            for f in files
            if subject.promised.get(f.uri) != Promised(f.bytes, f.sha256, f.rows)
        ]
        yield Check(
            name="files_intact",
            passed=not wrong,
            expected="every file with the bytes, SHA-256 and rows that manifest.json promises",
            actual=f"not so: {brief(wrong)}" if wrong else f"{len(subject.promised)} files",
            hint="the files were changed or damaged after publication: fetch them again",
        )
    yield Check(
        name="schema",
        passed=not read.schema_faults,
        expected=f"the {len(MANIFEST_SCHEMA)} columns of the manifest, in order and typed",
        actual=brief(read.schema_faults, 3) if read.schema_faults else f"{len(MANIFEST_SCHEMA)} columns",
        hint="the Spark job and lensneg are of different versions; deploy both together",
    )
