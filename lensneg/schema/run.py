"""A run: what it is made of, as run.json records it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.catalog_spec import CatalogSpec
from lensneg.schema.columns import RUN_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.config_file import parse_config
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.tables import read_table


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SweepInput(Record):
    """A sweep file as the run found it."""

    uri: str
    size: int
    etag: str
    rows: int
    release: int
    row_bytes: int


class CatalogInput(Record):
    """A lens catalogue as the run found it."""

    spec: CatalogSpec
    role: Literal["positives", "exclude"]
    size: int
    etag: str
    sha256: str
    rows: int
    positions: int


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
        raise RunStateError("missing", where=uri, remedy="PlanFanOut writes it, so start there") from error


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
            f"damaged, or of another version of lensneg ({error.error_count()} faults)",
            where=uri,
            remedy="choose another run id, or remove the run's folder",
        ) from error


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
        raise RunStateError("missing", where=uri, remedy="PlanFanOut writes it, so start there") from error


@lru_cache(maxsize=2)
def _load_run(root: str, _etag: str) -> Run:
    record = load_record(root)
    table = read_table(record.files.lenses)
    lenses = Lenses(table["ra"].to_numpy(), table["dec"].to_numpy(), np.asarray(table["is_positive"]))
    config = parse_config(record.config.text, record.config.uri)
    return Run(record, config, record.files, lenses)
