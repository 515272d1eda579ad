"""run.json: what a run is made of. Written once, before any item is worked on."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.columns import RUN_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.record import Record


class SweepInput(Record):
    """A sweep file as the run found it."""

    uri: str
    size: int
    etag: str
    rows: int
    release: int
    row_bytes: int

    @property
    def name(self) -> str:
        """The file's name."""
        return storage.basename(self.uri)

    @property
    def info(self) -> storage.FileInfo:
        """The file as the storage knows it."""
        return storage.FileInfo(self.uri, self.size, self.etag)


Role = Literal["positives", "exclude"]


class CatalogInput(Record):
    """A lens catalogue as the run found it."""

    spec: CatalogSpec
    role: Role
    size: int
    etag: str
    sha256: str
    rows: int
    positions: int

    @property
    def name(self) -> str:
        """The file's name."""
        return storage.basename(self.spec.uri)


class ConfigInput(Record):
    """The config, whole, so that a run can be repeated from its record."""

    uri: str
    sha256: str
    text: str


class CodeInput(Record):
    """The code that planned the run."""

    pipeline_version: str
    git_commit: str
    code_version: str


class RunRecord(Record):
    """run.json and inventory.json: every input of a run."""

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

    def parsed_config(self) -> Config:
        """Return the config, parsed."""
        return Config.parse(self.config.text, self.config.uri)

    def specs(self, role: Role) -> list[CatalogSpec]:
        """Return the catalogues of a role as they were given."""
        return [catalog.spec for catalog in self.catalogs if catalog.role == role]


@dataclass(frozen=True)
class Run:
    """A planned run, loaded."""

    record: RunRecord
    config: Config
    files: RunFiles
    lenses: Lenses


def load_run(root: str) -> Run:
    """Load a planned run: its record, config and lens positions.

    Kept for the next item, as a Lambda function or a worker process meets the same run again and again. A
    function may outlive a run whose folder was deleted and that was then started anew under the same id, so
    what is kept is that of the very file that is there.

    Raises
    ------
    RunStateError
        If the run was not planned, or a file of the plan is damaged.
    """
    uri = RunFiles.of_root(root).run
    try:
        return _load_run(root, storage.stat(uri).etag)
    except FileNotFoundError as error:
        raise RunStateError("missing", where=uri, remedy="PlanFanOut writes it, so start there") from error


@lru_cache(maxsize=2)
def _load_run(root: str, _etag: str) -> Run:
    record = RunRecord.read(RunFiles.of_root(root).run)
    return Run(record, record.parsed_config(), record.files, Lenses.read(record.files.lenses))
