"""The findings of gate 1. Each check function adds what it read."""

from dataclasses import dataclass, field

from lensneg.catalogs.catalog import Catalog
from lensneg.catalogs.sources import SourceCatalog
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import CatalogInput, RunRecord, SweepInput
from lensneg.schema.states import StateError
from lensneg.stages.preflight.account import Limits
from lensneg.survey.pixels import Area, area_of_input


@dataclass
class Inspection:
    """A run that is to start, and its inputs as gate 1 found them.

    Attributes
    ----------
    request : RunRequest
    files : RunFiles
    limits : Limits
        What the run may take of its AWS account.
    mini_test : StateError or None
        The error with which the run's mini-test ended, if it failed.
    config : Config or None
        None if the config is not valid.
    config_text : str
    sweeps : list of SweepInput
        The sweep files that can be read.
    ignored_files : int
        The number of other files in their folder.
    catalogs : list of (CatalogInput, Catalog or SourceCatalog)
        The catalogues that can be read.
    writable : bool
        Whether the output can be written to. False for a published run, whose gates stay as they are.
    published : bool
        Whether the run is published already, from the same inputs.
    record : RunRecord
        All inputs of the run. It is set when all checks of the inputs passed.
    """

    request: RunRequest
    files: RunFiles
    limits: Limits
    mini_test: StateError | None = None
    config: Config | None = None
    config_text: str = ""
    sweeps: list[SweepInput] = field(default_factory=list)
    ignored_files: int = 0
    catalogs: list[tuple[CatalogInput, Catalog | SourceCatalog]] = field(default_factory=list)
    writable: bool = False
    published: bool = False
    record: RunRecord = field(init=False)

    @property
    def positives(self) -> list[Catalog]:
        """The catalogues of positives."""
        return [c for source, c in self.catalogs if source.role == "positives" and isinstance(c, Catalog)]

    @property
    def cells(self) -> list[Area]:
        """The areas of the sweep files."""
        return [area_of_input(sweep) for sweep in self.sweeps]
