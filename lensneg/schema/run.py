"""The file run.json: every input of a run. It is written once, before any item is filtered."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np

from lensneg import storage
from lensneg.errors import RunStateError
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.catalog_spec import ROLES, SOURCE_ROLES, CatalogSpec, Role
from lensneg.schema.columns import RUN_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.input_name import input_name
from lensneg.schema.item import PzFile
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.listed import ListedSources
from lensneg.schema.pools_config import EXTERNAL
from lensneg.schema.record import Record
from lensneg.schema.request import RunRequest


class SweepInput(Record):
    """A sweep file, or a table in its place, as it was when the run was planned.

    ``box`` is that of a table's positions: lower and upper RA, lower and upper Dec. A sweep file has none.
    ``needed_bytes`` are those of a Parquet file's columns that are read; 0 of any other file. ``pz`` is its
    ``-pz`` file, if the run reads photometric redshifts.
    """

    uri: str
    size: int
    etag: str
    rows: int
    release: int
    row_bytes: int
    box: tuple[float, float, float, float] | None = None
    needed_bytes: int = 0
    pz: PzFile | None = None

    @property
    def name(self) -> str:
        """The file's name, or a partition's place in its HATS catalogue."""
        return input_name(self.uri)

    @property
    def info(self) -> storage.FileInfo:
        """The file with its size and ETag, for a comparison with the file as it is now."""
        return storage.FileInfo(self.uri, self.size, self.etag)


class CatalogInput(Record):
    """A lens catalogue as it was when the run was planned.

    Of a catalogue of positives, ``positions`` counts the positives, and ``others`` the known lenses that
    ``spec.where`` does not select.
    """

    spec: CatalogSpec
    role: Role
    size: int
    etag: str
    sha256: str
    rows: int
    positions: int
    others: int = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return storage.basename(self.spec.uri)

    @property
    def category(self) -> str:
        """The confuser category of its sources, of a catalogue of hard negatives.

        Returns
        -------
        str
            ``external:`` and its name.
        """
        stem = self.name.removesuffix(".gz").rpartition(".")[0] or self.name
        return f"{EXTERNAL}{self.spec.name or stem}"


class ConfigInput(Record):
    """The config with its whole text, so that a run can be repeated from its record."""

    uri: str
    sha256: str
    text: str


class CodeInput(Record):
    """The code that planned the run."""

    pipeline_version: str
    git_commit: str
    code_version: str


class RunRecord(Record):
    """The files run.json and inventory.json: every input of a run.

    ``out`` is empty. Records of earlier versions have the output folder there, as it was then.
    """

    run_id: str
    mode: Literal["test", "full"]
    started_at: str
    out: str = ""
    config: ConfigInput
    code: CodeInput
    sweeps: tuple[SweepInput, ...]
    ignored_files: int
    catalogs: tuple[CatalogInput, ...]

    @property
    def columns(self) -> dict[str, str]:
        """The values of the manifest's columns that identify a run."""
        values = (self.code.pipeline_version, self.code.git_commit, self.started_at)
        return dict(zip(RUN_COLUMNS, values, strict=True))

    @property
    def inputs_sha256(self) -> str:
        """A hash of the sweep files and catalogues, wherever they are.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        sweeps = [f"{s.name} {s.size} {s.etag}" for s in self.sweeps]
        sweeps += [f"pz {s.name} {s.pz.size} {s.pz.etag}" for s in self.sweeps if s.pz]
        catalogs = [
            f"{c.role} {c.sha256} {c.spec.model_copy(update={'uri': c.name}).text}" for c in self.catalogs
        ]
        return hashlib.sha256("\n".join([*sweeps, *catalogs]).encode()).hexdigest()

    def parsed_config(self) -> Config:
        """Return the config, parsed."""
        return Config.parse(self.config.text, self.config.uri)

    def specs(self, role: Role) -> list[CatalogSpec]:
        """Return the catalogues of a role as the user named them.

        Parameters
        ----------
        role : str
            One of ``ROLES``.

        Returns
        -------
        list of CatalogSpec
            In the order in which they were given.
        """
        return [catalog.spec for catalog in self.catalogs if catalog.role == role]

    @property
    def pz_folder(self) -> str | None:
        """The folder of the ``-pz`` files, if the run reads some.

        Returns
        -------
        str or None
        """
        files = [sweep.pz.uri for sweep in self.sweeps if sweep.pz]
        return storage.common_folder(files) if files else None

    def request(self, out: str) -> RunRequest:
        """Return a request for the same run.

        Parameters
        ----------
        out : str
            The output folder.
        """
        return RunRequest(
            run_id=self.run_id,
            mode=self.mode,
            config=self.config.uri,
            sweeps=storage.common_folder([sweep.uri for sweep in self.sweeps]),
            **{role: tuple(self.specs(role)) for role in ROLES},
            pz=self.pz_folder,
            out=out,
        )


@dataclass(frozen=True)
class Run:
    """A planned run, loaded from its files."""

    record: RunRecord
    config: Config
    files: RunFiles
    lenses: Lenses
    listed: ListedSources = field(default_factory=ListedSources)

    @property
    def is_spectroscopic(self) -> BoolArray:
        """Which of the lenses are of a spectroscopic catalogue.

        Returns
        -------
        ndarray of bool
            One for each of the lenses.
        """
        catalogs = [i for i, c in enumerate(self.record.catalogs) if c.role == "spectroscopic"]
        return np.isin(self.lenses.catalog, catalogs)

    @property
    def hard_negatives(self) -> tuple[tuple[str, ListedSources], ...]:
        """The catalogues of hard negatives.

        Returns
        -------
        tuple of (str, ListedSources)
            The category and the entries of each, in order.
        """
        return tuple(
            (catalog.category, self.listed.take(np.flatnonzero(self.listed.catalog == i)))
            for i, catalog in enumerate(self.record.catalogs)
            if catalog.role == "hard_negatives"
        )

    def listed_in(self, role: Role) -> IntArray:
        """Return which of the listed sources are of the catalogues of a role.

        Parameters
        ----------
        role : str
            ``suspects`` or ``hard_negatives``.

        Returns
        -------
        ndarray of int64
            Their places in ``listed``.
        """
        catalogs = [i for i, c in enumerate(self.record.catalogs) if c.role == role]
        return np.flatnonzero(np.isin(self.listed.catalog, catalogs))


def load_run(root: str) -> Run:
    """Load a planned run: its record, config and lens positions.

    The result is kept for the next item, because a Lambda function or a worker process filters many items of
    one run. The ETag of run.json is compared each time, because a run's folder may be deleted and the run
    started anew under the same id while the function lives.

    Parameters
    ----------
    root : str
        The run's folder.

    Returns
    -------
    Run
        The run.

    Raises
    ------
    RunStateError
        If the run was not planned, or one of these files is damaged.
    """
    uri = RunFiles.of_root(root).run
    try:
        return _load_run(root, storage.stat(uri).etag)
    except FileNotFoundError as error:
        raise RunStateError("missing", where=uri, remedy="PlanFanOut writes it, so start there") from error


@lru_cache(maxsize=2)
def _load_run(root: str, _etag: str) -> Run:
    files = RunFiles.of_root(root)
    record = RunRecord.read(files.run)
    has_listed = any(catalog.role in SOURCE_ROLES for catalog in record.catalogs)
    listed = ListedSources.read(files.listed) if has_listed else ListedSources()
    return Run(record, record.parsed_config(), files, Lenses.read(files.lenses), listed)
