"""What gate 1 finds as it goes on: each check function adds what it read."""

from dataclasses import dataclass, field

from lensneg.catalogs.catalog import Catalog
from lensneg.schema.config import Config
from lensneg.schema.layout import RunFiles
from lensneg.schema.request import RunRequest
from lensneg.schema.run import CatalogInput, RunRecord, SweepInput
from lensneg.schema.states import StateError
from lensneg.survey.names import Cell, cell_of


@dataclass
class Inspection:
    """A run that is to start, and what was found of its inputs.

    Attributes
    ----------
    request : RunRequest
    files : RunFiles
    mini_test : StateError or None
        With what the run's mini-test ended, where it did not end well.
    config : Config or None
        None if it is no config.
    config_text : str
    sweeps : list of SweepInput
        The sweep files that can be read.
    ignored_files : int
        Other files among them.
    catalogs : list of (CatalogInput, Catalog)
        The catalogues that can be read.
    record : RunRecord or None
        What the run is made of, once all of it was found.
    writable : bool
        Whether the output can be written to.
    published : bool
        Whether the run is published already, from the same inputs.
    """

    request: RunRequest
    files: RunFiles
    mini_test: StateError | None = None
    config: Config | None = None
    config_text: str = ""
    sweeps: list[SweepInput] = field(default_factory=list)
    ignored_files: int = 0
    catalogs: list[tuple[CatalogInput, Catalog]] = field(default_factory=list)
    record: RunRecord | None = None
    writable: bool = False
    published: bool = False

    @property
    def cells(self) -> list[Cell]:
        """The cells of the sky that the sweep files hold."""
        return [cell_of(sweep.name) for sweep in self.sweeps]

    def keep_record(self) -> bool:
        """Write inventory.json, and return whether no other execution of this run id had done so."""
        return self.record is not None and self.record.write(self.files.inventory, if_absent=True)
