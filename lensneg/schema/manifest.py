"""Published manifests, and the file manifest.json that describes one."""

import hashlib
import os
from collections.abc import Collection, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BeforeValidator, Field

from lensneg import storage
from lensneg.errors import InputError
from lensneg.schema.columns import COLUMNS, NOT_CONTENT, PARTS, part_schema
from lensneg.schema.config import SPLIT_ORDER, Config
from lensneg.schema.content import content_sha256_of
from lensneg.schema.item import NotRead
from lensneg.schema.lens_facts import lens_schema
from lensneg.schema.manifest_places import WHAT_TO_GIVE, candidates, why_none
from lensneg.schema.progress import Tell, tell_nobody
from lensneg.schema.published_files import changed, check_file, missing
from lensneg.schema.quotas import StratumQuota
from lensneg.schema.record import Count, Record
from lensneg.schema.run import RunRecord
from lensneg.schema.tables import open_for_arrow, read_batches

if TYPE_CHECKING:
    import pyarrow.dataset as ds

Part = Literal["negatives", "positives"]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PartFile(Record):
    """A Parquet file of a manifest. ``name`` is its path below the manifest's folder or the part's folder."""

    name: Annotated[str, Field(pattern=r"^((negatives|positives)/)?[A-Za-z0-9_][A-Za-z0-9_.=-]*$")]
    rows: int
    bytes: int
    sha256: Sha256


class ManifestPart(Record):
    """The files of the negatives or of the positives, in order, and a hash of their rows."""

    files: tuple[PartFile, ...]
    content_sha256: str

    @property
    def rows(self) -> int:
        """The number of rows in all files."""
        return sum(file.rows for file in self.files)


class Parts(Record):
    """The file audited.json: the files that an audit checked."""

    negatives: ManifestPart
    positives: ManifestPart

    def part(self, part: Part) -> ManifestPart:
        """Return the files of ``negatives`` or ``positives``, and the hash of their rows."""
        found: ManifestPart = getattr(self, part)
        return found


class RowCounts(Record):
    """The numbers of rows of the two tables."""

    negatives: Count
    positives: Count

    @property
    def total(self) -> int:
        """The number of rows of both."""
        return self.negatives + self.positives


class ColumnRecord(Record):
    """A column of the manifest, as manifest.json describes it."""

    name: str
    #: The name of the Arrow type.
    type: Annotated[str, BeforeValidator(str)]
    unit: str
    nullable: bool
    description: str

    @classmethod
    def of_field(cls, field: pa.Field) -> Self:
        """Describe a field of Arrow by its metadata.

        Parameters
        ----------
        field : pyarrow.Field
            With its unit and description as metadata, if it has any.

        Returns
        -------
        ColumnRecord
        """
        text = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        known = {"unit": "", "description": ""} | text
        return cls(name=field.name, type=field.type, nullable=field.nullable, **known)


class ManifestRecord(Parts):
    """The file manifest.json: everything that is needed to read, audit and reproduce a manifest."""

    damaged_remedy: ClassVar[str] = "fetch it again, or use the version of lensneg that it names"

    run_id: str
    rows: RowCounts
    columns: tuple[ColumnRecord, ...]
    #: Those of the positives alone, after the others.
    lens_columns: tuple[ColumnRecord, ...] = ()
    content_excludes: tuple[str, ...]
    strata: tuple[StratumQuota, ...]
    run: RunRecord
    not_read: tuple[NotRead, ...] = ()

    @classmethod
    def of(
        cls,
        run: RunRecord,
        parts: Parts,
        strata: tuple[StratumQuota, ...],
        not_read: tuple[NotRead, ...] = (),
    ) -> Self:
        """Describe a manifest whose files are written.

        Parameters
        ----------
        run : RunRecord
            The run that made the manifest.
        parts : Parts
            The manifest's files.
        strata : tuple of StratumQuota
            The strata that were drawn.
        not_read : tuple of NotRead
            The rows of the run's sweep files that it did not read.

        Returns
        -------
        ManifestRecord
            The description.
        """
        extra = run.parsed_config().positives.columns
        return cls(
            run_id=run.run_id,
            rows=RowCounts(negatives=parts.negatives.rows, positives=parts.positives.rows),
            negatives=parts.negatives,
            positives=parts.positives,
            columns=tuple(ColumnRecord.model_validate(c, from_attributes=True) for c in COLUMNS),
            lens_columns=tuple(ColumnRecord.of_field(field) for field in lens_schema(extra)),
            content_excludes=NOT_CONTENT,
            strata=strata,
            run=run,
            not_read=not_read,
        )


class Manifest:
    """A published manifest; :meth:`open` opens one.

    Parameters
    ----------
    uri : str
        Its manifest.json.
    record : ManifestRecord
        The content of manifest.json.

    Examples
    --------
    >>> import lensneg
    >>> manifest = lensneg.Manifest.open("build/out")            # doctest: +SKIP
    >>> manifest.counts.negatives                                # doctest: +SKIP
    4600
    >>> train = manifest.negatives(split="train").to_table()     # doctest: +SKIP
    >>> train.to_pandas(), polars.from_arrow(train)              # doctest: +SKIP
    """

    def __init__(self, uri: str, record: ManifestRecord) -> None:
        self.uri, self.record = uri, record
        self.folder = uri.rpartition("/")[0]

    def __repr__(self) -> str:
        counts = self.counts
        return f"Manifest({self.uri!r}: {counts.negatives:,} negatives, {counts.positives:,} positives)"

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> Self:
        """Open a published manifest.

        Parameters
        ----------
        uri : str or path-like
            An output folder (its latest manifest is opened), a run's folder, a manifest's folder, or one of
            their files latest.json, run.json and manifest.json; a path, or ``s3://``.

        Returns
        -------
        Manifest
            The manifest. Its files are read when they are needed.

        Raises
        ------
        InputError
            If there is no published manifest, or its manifest.json is damaged.
        """
        named = storage.normalize(os.fspath(uri))
        for candidate in candidates(named):
            try:
                return cls(candidate, ManifestRecord.read(candidate, InputError))
            except FileNotFoundError:
                continue
        raise InputError(why_none(named), where=named, remedy=WHAT_TO_GIVE)

    @property
    def run_id(self) -> str:
        """The id of the run that made the manifest."""
        return self.record.run_id

    @cached_property
    def config(self) -> Config:
        """The config of the run."""
        return self.record.run.parsed_config()

    @property
    def counts(self) -> RowCounts:
        """The numbers of negatives and positives."""
        return self.record.rows

    def files(self, part: Part) -> list[str]:
        """Return the URIs of the files of ``negatives`` or ``positives``, in the order of the rows."""
        return [storage.join(self.folder, file.name) for file in self.record.part(part).files]

    def schema(self, part: Part) -> pa.Schema:
        """Return the columns of a part.

        Parameters
        ----------
        part : str
            ``negatives`` or ``positives``.

        Returns
        -------
        pyarrow.Schema
            With units and descriptions.
        """
        return part_schema(part, self.config.positives.columns)

    def dataset(self, part: Part) -> "ds.Dataset":
        """Return the rows of a part as an Arrow dataset of the files that manifest.json lists.

        Parameters
        ----------
        part : str
            ``negatives`` or ``positives``.

        Returns
        -------
        pyarrow.dataset.Dataset
            Reads the rows when they are needed.

        Raises
        ------
        InputError
            If a file is missing.
        """
        from pyarrow import dataset  # it imports pandas

        form = dataset.ParquetFileFormat()
        fragments = []
        for uri, file in zip(self.files(part), self.record.part(part).files, strict=True):
            try:
                fragments.append(form.make_fragment(open_for_arrow(uri, file.bytes)))
            except FileNotFoundError as error:
                raise missing(uri) from error
        return dataset.FileSystemDataset(fragments, self.schema(part), form)

    def negatives(self, *, split: str | None = None, columns: Collection[str] | None = None) -> "ds.Scanner":
        """Return the negatives of one split or of all.

        Parameters
        ----------
        split : str, optional
            ``train``, ``val`` or ``test``.
        columns : collection of str, optional
            All by default.

        Returns
        -------
        pyarrow.dataset.Scanner
            ``to_table()`` reads it whole, ``to_reader()`` in batches. DuckDB can query it by its name.

        Raises
        ------
        InputError
            If a file is missing, or there is no such split or column.
        """
        return self._scan("negatives", split, columns)

    def positives(self, *, split: str | None = None, columns: Collection[str] | None = None) -> "ds.Scanner":
        """Return the positives of one split or of all.

        Parameters
        ----------
        split : str, optional
            ``train``, ``val`` or ``test``.
        columns : collection of str, optional
            All by default.

        Returns
        -------
        pyarrow.dataset.Scanner
            See :meth:`negatives`.

        Raises
        ------
        InputError
            If a file is missing, or there is no such split or column.
        """
        return self._scan("positives", split, columns)

    def _scan(self, part: Part, split: str | None, columns: Collection[str] | None) -> "ds.Scanner":
        asked = [("split", split, SPLIT_ORDER)] if split is not None else []
        asked += [("column", name, self.schema(part).names) for name in columns or ()]
        for kind, name, known in asked:
            if name not in known:
                raise InputError(f"no {kind} {name!r}; there are {', '.join(known)}", where=self.uri)
        from pyarrow.compute import field

        chosen = None if split is None else field("split") == split
        return self.dataset(part).scanner(columns=list(columns) if columns else None, filter=chosen)

    def table(self, part: Part) -> pa.Table:
        """Return all rows of a part.

        Parameters
        ----------
        part : str
            ``negatives`` or ``positives``.

        Returns
        -------
        pyarrow.Table
            With units and descriptions in the metadata of its fields.

        Raises
        ------
        InputError
            If a file is missing, or has other bytes than were published.
        """
        schema = self.schema(part)
        tables = [schema.empty_table()]
        for uri, file in zip(self.files(part), self.record.part(part).files, strict=True):
            try:
                data = storage.read_bytes(uri)
            except FileNotFoundError as error:
                raise missing(uri) from error
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise changed(uri)
            tables.append(pq.ParquetFile(pa.BufferReader(data)).read().cast(schema))
        return pa.concat_tables(tables)

    def _column(self, part: Part, name: str) -> Iterator[pa.Array]:
        """Yield the values of a column."""
        for uri in self.files(part):
            for table in read_batches(uri, [name]):
                yield from table[name].chunks

    def verify(self, tell: Tell = tell_nobody) -> None:
        """Compare the SHA-256 of the files, and the hash of their rows, with manifest.json.

        Parameters
        ----------
        tell : callable, optional
            Is told how many files and columns are done.

        Raises
        ------
        InputError
            If a file is missing or differs, or the rows are not those of ``content_sha256``.
        """
        for part in PARTS:
            files = self.record.part(part).files
            for done, (uri, file) in enumerate(zip(self.files(part), files, strict=True)):
                tell(f"files of {part}", done, len(files))
                check_file(uri, file.sha256)
            rows = sum(map(len, self._column(part, "targetid")))
            if rows != getattr(self.counts, part):
                what = f"it states {getattr(self.counts, part):,} {part}, and its files hold {rows:,}"
                raise InputError(what, where=self.uri, remedy="copy it again")
            found = content_sha256_of(rows, partial(self._column, part), self.schema(part), tell)
            if found != self.record.part(part).content_sha256:
                what = f"the rows of {part} are not those of its content_sha256"
                raise InputError(what, where=self.uri, remedy="copy it again")
