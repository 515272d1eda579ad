"""A run: what is asked for, where its files are, and what it is made of.

Everything that the tasks of a run share is here: the request (the execution's input), the layout of the
files under the output prefix, and run.json, which fixes the inputs once and for all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from lensneg import storage
from lensneg.catalogs import CatalogSpec
from lensneg.config import Config, parse_config
from lensneg.errors import InputError, RunStateError
from lensneg.manifest import RUN_COLUMNS
from lensneg.sky import unit_vectors

Mode = Literal["test", "full", "test-then-full"]

#: A run id is part of URIs, of execution names and of file names.
RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"

#: Times are UTC, to the second.
TIMESTAMP_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


#: What the state machine itself adds to an execution's input.
_MACHINE_KEYS = frozenset({"mini_test", "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"})


def _catalog_spec(value: Any) -> Any:
    return CatalogSpec.parse(value) if isinstance(value, str) else value


Uri = Annotated[str, Field(min_length=1), AfterValidator(storage.normalize)]
Catalog = Annotated[CatalogSpec, BeforeValidator(_catalog_spec)]


class RunRequest(_Record):
    """The input of an execution of the state machine.

    A catalogue is written as ``FILE?option=value`` (see :class:`lensneg.catalogs.CatalogSpec`).
    ``started_at`` is given only to repeat an earlier run to the byte; otherwise the clock gives it.
    """

    run_id: Annotated[str, Field(pattern=RUN_ID_PATTERN)]
    mode: Mode
    config: Uri
    sweeps: Uri
    positives: Annotated[tuple[Catalog, ...], Field(min_length=1)]
    exclude: tuple[Catalog, ...] = ()
    out: Uri
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 1000
    started_at: Annotated[str, Field(pattern=TIMESTAMP_PATTERN)] | None = None

    @classmethod
    def parse(cls, data: Any) -> RunRequest:
        """Read an execution's input.

        The nested execution that makes the mini-test of a ``test-then-full`` run gets
        ``{"mini_test_of": <its parent's input>}``.

        Raises
        ------
        InputError
            With every fault: its key, its value and what was expected.
        """
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if key not in _MACHINE_KEYS}
            if isinstance(data.get("mini_test_of"), dict):
                parent = data["mini_test_of"]
                data = {**parent, "mode": "test", "run_id": mini_test_id(str(parent.get("run_id")))}
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'input'}: {fault['msg']}, got {fault['input']!r:.60}"
                for fault in error.errors(include_url=False)
            ]
            raise InputError("the execution's input is wrong: " + "; ".join(faults)) from error


def mini_test_id(run_id: str) -> str:
    """Return the run id of the mini-test that a ``test-then-full`` run makes first."""
    return f"{run_id}-test"


class SweepInput(_Record):
    """A sweep file as the run found it."""

    uri: str
    size: int
    etag: str
    rows: int
    release: int
    row_bytes: int


class CatalogInput(_Record):
    """A lens catalogue as the run found it."""

    spec: CatalogSpec
    role: Literal["positives", "exclude"]
    size: int
    etag: str
    sha256: str
    rows: int
    positions: int


class ConfigInput(_Record):
    """The config, whole, so that a run can be repeated from its record."""

    uri: str
    sha256: str
    text: str


class CodeInput(_Record):
    """The code that planned the run."""

    pipeline_version: str
    git_commit: str
    code_version: str


class RunRecord(_Record):
    """run.json: what the run is made of. Written once, before any item is worked on."""

    run_id: str
    mode: Literal["test", "full"]
    started_at: str
    out: str
    config: ConfigInput
    code: CodeInput
    sweeps: tuple[SweepInput, ...]
    ignored_files: int
    catalogs: tuple[CatalogInput, ...]

    @property
    def files(self) -> RunFiles:
        """Where the run's files are."""
        return RunFiles(self.out, self.run_id)

    @property
    def columns(self) -> dict[str, str]:
        """What stands in the manifest's columns that name a run."""
        values = (self.code.pipeline_version, self.code.git_commit, self.started_at)
        return dict(zip(RUN_COLUMNS, values, strict=True))


class Item(_Record):
    """A map item: some rows of a sweep file."""

    id: str
    sweep: str
    size: int
    etag: str
    first_row: int
    n_rows: int
    n_bytes: int


class RunFiles:
    """The layout of a run's files. ``docs/architecture.md`` shows it as a tree."""

    def __init__(self, out: str, run_id: str) -> None:
        self.out, self.run_id = out, run_id
        self.root = storage.join(out, "runs", run_id)
        self.run = storage.join(self.root, "run.json")
        self.inventory = storage.join(self.root, "inventory.json")
        self.items = storage.join(self.root, "items.json")
        self.lenses = storage.join(self.root, "lenses.parquet")
        self.pool_folder = storage.join(self.root, "pool")
        self.positives_folder = storage.join(self.root, "positives")
        self.stats_folder = storage.join(self.root, "stats")
        self.errors_folder = storage.join(self.root, "errors")
        self.summary = storage.join(self.root, "fan_out.json")
        self.matches = storage.join(self.root, "matches.parquet")
        self.matched_positives = storage.join(self.root, "matched_positives.parquet")
        self.quotas = storage.join(self.root, "quotas.json")
        self.sample_folder = storage.join(self.root, "sample")
        self.sample_summary = storage.join(self.root, "sample", "summary.json")
        self.job = storage.join(self.root, "job.json")
        self.audited = storage.join(self.root, "audited.json")
        self.validation = storage.join(self.root, "validation.json")
        self.cost = storage.join(self.root, "cost.json")
        self.report = storage.join(self.root, "report.html")
        self.quarantine = storage.join(self.root, "quarantine.json")
        self.manifest_folder = storage.join(out, "manifests", run_id)
        self.manifest = storage.join(self.manifest_folder, "manifest.json")
        self.latest = storage.join(out, "latest.json")

    @classmethod
    def of_root(cls, root: str) -> RunFiles:
        """Return the layout of the run whose folder is ``root``."""
        out, _, run_id = root.rpartition("/runs/")
        if not out or not run_id:
            raise RunStateError(f"{root}: expected …/runs/<run_id>")
        return cls(out, run_id)

    def pool(self, item_id: str) -> str:
        """Return where an item's survivors are."""
        return storage.join(self.pool_folder, f"{item_id}.parquet")

    def positives(self, item_id: str) -> str:
        """Return where an item's candidate matches are."""
        return storage.join(self.positives_folder, f"{item_id}.parquet")

    def stats(self, item_id: str) -> str:
        """Return an item's commit mark."""
        return storage.join(self.stats_folder, f"{item_id}.json")

    def error(self, item_id: str) -> str:
        """Return where an item that failed says why."""
        return storage.join(self.errors_folder, f"{item_id}.json")

    def sample_part(self, part: str, number: int) -> str:
        """Return where a file of the sample's ``negatives`` or ``positives`` is."""
        return storage.join(self.sample_folder, part, f"part-{number:05d}.parquet")

    def sample_parts(self, part: str) -> list[str]:
        """Return the sample's files of ``negatives`` or ``positives``, in order."""
        folder = storage.join(self.sample_folder, part)
        try:
            listed = storage.list_files(folder)
        except FileNotFoundError:
            return []
        return [info.uri for info in listed if info.uri.endswith(".parquet")]

    def gate(self, number: int) -> str:
        """Return where a gate's checks are."""
        return storage.join(self.root, "gates", f"gate{number}.json")

    def mini_test(self, config_sha256: str, code_version: str) -> str:
        """Return the record of a passed mini-test of this config and this code."""
        return storage.join(self.out, "minitests", f"{config_sha256}-{code_version}.json")


@dataclass(frozen=True)
class Lenses:
    """The positions of all catalogues of a run.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    is_positive : ndarray of bool, shape (n,)
        Whether the catalogue is one of positives.
    """

    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    is_positive: npt.NDArray[np.bool_]

    @cached_property
    def vectors(self) -> npt.NDArray[np.float64]:
        """Unit vectors of the positions, shape (n, 3)."""
        return unit_vectors(self.ra, self.dec)


@dataclass(frozen=True)
class Run:
    """A planned run, loaded."""

    record: RunRecord
    config: Config
    files: RunFiles
    lenses: Lenses


def load_record(root: str) -> RunRecord:
    """Read run.json of the run whose folder is ``root``."""
    uri = RunFiles.of_root(root).run
    try:
        return read_record(uri)
    except FileNotFoundError as error:
        raise RunStateError(f"{uri}: missing; PlanFanOut writes it, so start there") from error


def read_record(uri: str) -> RunRecord:
    """Read run.json or inventory.json.

    Raises
    ------
    FileNotFoundError
        If there is none.
    RunStateError
        If it is not what lensneg of this version wrote.
    """
    data = storage.read_bytes(uri)
    try:
        return RunRecord.model_validate_json(data)
    except ValidationError as error:
        raise RunStateError(
            f"{uri}: damaged, or of another version of lensneg ({error.error_count()} faults); choose "
            "another run id, or remove the run's folder"
        ) from error


def read_sample_summary(files: RunFiles) -> dict[str, Any] | None:
    """Return what the draw's job says of its work.

    Returns
    -------
    dict or None
        None if the job did not come so far: one that was killed may leave a summary half written, as on a
        local disk Spark does not write a file in one piece.
    """
    try:
        summary: dict[str, Any] = storage.read_json(files.sample_summary)
    except (FileNotFoundError, ValueError):
        return None
    return summary


def load_run(root: str) -> Run:
    """Load a planned run: its record, config and lens positions.

    Kept for the next item, as a Lambda function or a worker process meets the same run again and again. A
    function may outlive a run whose folder was deleted and that was then started anew under the same id, so
    what is kept is that of the very file that is there.
    """
    uri = RunFiles.of_root(root).run
    try:
        return _load_run(root, storage.stat(uri).etag)
    except FileNotFoundError as error:
        raise RunStateError(f"{uri}: missing; PlanFanOut writes it, so start there") from error


@lru_cache(maxsize=2)
def _load_run(root: str, _etag: str) -> Run:
    record = load_record(root)
    table = read_table(record.files.lenses)
    lenses = Lenses(table["ra"].to_numpy(), table["dec"].to_numpy(), np.asarray(table["is_positive"]))
    config = parse_config(record.config.text, record.config.uri)
    return Run(record, config, record.files, lenses)


def read_table(uri: str) -> pa.Table:
    """Read a Parquet file whole."""
    return pq.ParquetFile(pa.BufferReader(storage.read_bytes(uri))).read()


def write_table(
    uri: str,
    table: pa.Table,
    *,
    codec: str = "zstd",
    dictionary: Collection[str] | None = None,
    durable: bool = True,
) -> int:
    """Write a Parquet file in one piece; return its bytes.

    Parameters
    ----------
    uri : str
    table : pyarrow.Table
    codec : str
    dictionary : collection of str, optional
        The columns that get a dictionary; by default Arrow tries with each.
    durable : bool
        See :func:`lensneg.storage.write_bytes`.
    """
    use = True if dictionary is None else [name for name in table.column_names if name in dictionary]
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=codec, use_dictionary=use)
    data = sink.getvalue()
    storage.write_bytes(uri, data, durable=durable)
    return int(data.size)
