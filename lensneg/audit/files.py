"""The manifest's files: readable, intact, of the right columns, and none besides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lensneg import storage
from lensneg.audit.columns import Rows
from lensneg.audit.subject import Subject
from lensneg.schema.check import Check, brief
from lensneg.schema.columns import MANIFEST_SCHEMA, PARTS, WRITTEN_SCHEMA
from lensneg.schema.manifest import Part, PartFile
from lensneg.schema.tables import ROWS_AT_ONCE, open_for_arrow


@dataclass
class _File:
    """A Parquet file of a manifest, and what is wrong with it."""

    uri: str
    size: int = 0
    rows: int = 0
    metadata: Any = None
    schema_faults: list[str] = field(default_factory=list)
    problem: str = ""
    sha256: str = ""
    #: What was read of it.
    audited: PartFile | None = None
    altered: bool = False

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield its rows. If it cannot be read, its problem says why."""
        if self.problem:
            return
        try:
            if not self.sha256:
                self.sha256 = storage.sha256(self.uri, self.size)
            with open_for_arrow(self.uri, self.size) as stream:
                # In S3 the columns of a row group, and of no more, are got by a few large requests.
                file = pq.ParquetFile(stream, metadata=self.metadata, pre_buffer=storage.is_s3(self.uri))
                for group in range(self.metadata.num_row_groups):
                    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
                        yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            self.problem, self.audited = f"{self.uri}: {error}", None


class Files:
    """The files of a manifest, and what is wrong with them once they were read.

    Opening them reads no rows.
    """

    def __init__(self, subject: Subject) -> None:
        self._promised = subject.promised
        self._files = {part: [_opened(uri) for uri in subject.files.get(part, ())] for part in PARTS}
        #: The number of rows of each part, as its files with the right columns state it.
        self.rows = {part: sum(file.rows for file in self._usable(part)) for part in PARTS}
        #: Whether anything is wrong with a file, as far as it is known.
        self.any_fault = bool(self.problems) or any(file.schema_faults for _, file in self._all())

    def _usable(self, part: str) -> list[_File]:
        return [file for file in self._files[part] if not file.problem and not file.schema_faults]

    def read(self) -> Iterator[Rows]:
        """Read all files, and yield the rows of those with the right columns, the positives first.

        Once a fault was found, files are only read to find others, and nothing more is yielded.
        """
        for part in reversed(PARTS):
            for file in self._files[part]:
                yield from self._read(part, file)

    def _read(self, part: Part, file: _File) -> Iterator[Rows]:
        if file.problem:
            return
        name, rows = storage.basename(file.uri), 0
        for table in file.batches():
            rows += len(table)
            if not self.any_fault:
                yield Rows(table.cast(WRITTEN_SCHEMA), part)
        if file.problem:
            self.any_fault = True
            return
        file.audited = PartFile(name=name, rows=rows, bytes=file.size, sha256=file.sha256)
        promised = self._promised.get(file.uri)
        file.altered = promised is None or promised.model_copy(update={"name": name}) != file.audited
        self.any_fault = self.any_fault or (file.altered and bool(self._promised))

    def column(self, part: Part, name: str) -> Iterator[pa.Array]:
        """Yield the values of a column of a part, in the order of the rows."""
        for file in self._usable(part):
            for table in file.batches([name]):
                yield from table.column(name).chunks
            self.any_fault = self.any_fault or bool(file.problem)

    @property
    def audited(self) -> dict[str, list[PartFile]]:
        """What was read of each part."""
        return {part: [file.audited for file in self._files[part] if file.audited] for part in PARTS}

    @property
    def problems(self) -> list[str]:
        """Files that cannot be read, and parts without files."""
        found = list[str]()
        for part in PARTS:
            found += [file.problem for file in self._files[part] if file.problem]
            if not self._files[part] and not found:
                found.append(f"{part}: no Parquet files")
        return found

    @property
    def altered(self) -> list[str]:
        """Files that are not what was promised."""
        return [file.audited.name for _, file in self._all() if file.audited and file.altered]

    @property
    def schema_faults(self) -> list[str]:
        """Files that have other columns."""
        return [
            f"{part}/{file.audited.name}: {fault}"
            for part, file in self._all()
            if file.audited
            for fault in file.schema_faults
        ]

    def _all(self) -> Iterator[tuple[str, _File]]:
        return ((part, file) for part in PARTS for file in self._files[part])


def _opened(uri: str) -> _File:
    """Read the footer of a file."""
    try:
        size = storage.stat(uri).size
        with open_for_arrow(uri, size) as stream:
            file = pq.ParquetFile(stream)
            return _File(uri, size, file.metadata.num_rows, file.metadata, schema_faults(file.schema_arrow))
    except (pa.ArrowException, OSError) as error:
        return _File(uri, problem=f"{uri}: {error}")


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
