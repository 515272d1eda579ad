"""The layout of a run's files."""

from typing import Final, Self

from lensneg import storage
from lensneg.errors import RunStateError

#: The name of the dataset card in a manifest's folder.
CARD_NAME: Final = "README.md"

#: What a user can name to mean a published manifest.
MANIFEST_PLACES: Final = "an output folder, a run, a manifest's folder or its manifest.json"


class RunFiles:
    """The URIs of a run's files. ``docs/architecture.md`` shows them as a table.

    Parameters
    ----------
    out : str
        The output folder, which holds all runs.
    run_id : str
        The run.
    """

    def __init__(self, out: str, run_id: str) -> None:
        self.out, self.run_id = out, run_id
        self.root = storage.join(out, "runs", run_id)
        self.run = storage.join(self.root, "run.json")
        self.inventory = storage.join(self.root, "inventory.json")
        self.items = storage.join(self.root, "items.json")
        self.lenses = storage.join(self.root, "lenses.parquet")
        self.listed = storage.join(self.root, "listed.parquet")
        self.spectroscopic = storage.join(self.root, "spectroscopic.json")
        self.pool_folder = storage.join(self.root, "pool")
        self.positives_folder = storage.join(self.root, "positives")
        self.stats_folder = storage.join(self.root, "stats")
        self.errors_folder = storage.join(self.root, "errors")
        self.states_folder = storage.join(self.root, "states")
        self.summary = storage.join(self.root, "fan_out.json")
        self.matches = storage.join(self.root, "matches.parquet")
        self.hard_negative_matches = storage.join(self.root, "hard_negative_matches.parquet")
        self.matched_positives = storage.join(self.root, "matched_positives.parquet")
        self.quotas = storage.join(self.root, "quotas.json")
        self.sample_folder = storage.join(self.root, "sample")
        self.draw_folder = storage.join(self.root, "draw")
        self.sample_summary = storage.join(self.draw_folder, "summary.json")
        self.sample_written = storage.join(self.root, "sample", "written.json")
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
    def of_root(cls, root: str) -> Self:
        """Return the layout of a run from its folder.

        Parameters
        ----------
        root : str
            ``<out>/runs/<run_id>``.

        Returns
        -------
        RunFiles
            The layout.

        Raises
        ------
        RunStateError
            If ``root`` is not of that form.
        """
        out, _, run_id = root.rpartition("/runs/")
        if not out or not run_id:
            raise RunStateError("expected …/runs/<run_id>", where=root)
        return cls(out, run_id)

    def pool(self, item_id: str) -> str:
        """Return the file of an item's sources in the pool.

        Parameters
        ----------
        item_id : str
            The map item.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.pool_folder, f"{item_id}.parquet")

    def positives(self, item_id: str) -> str:
        """Return the file of an item's candidate matches.

        Parameters
        ----------
        item_id : str
            The map item.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.positives_folder, f"{item_id}.parquet")

    def stats(self, item_id: str) -> str:
        """Return the file of an item's results, which is written last and marks the item as done.

        Parameters
        ----------
        item_id : str
            The map item.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.stats_folder, f"{item_id}.json")

    def error(self, item_id: str) -> str:
        """Return the file of a failed item's error.

        Parameters
        ----------
        item_id : str
            The map item.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.errors_folder, f"{item_id}.json")

    def state_times(self, state: str) -> str:
        """Return the file of a state's times.

        Parameters
        ----------
        state : str
            The state of the graph.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.states_folder, f"{state}.json")

    def sample_part(self, part: str, number: int) -> str:
        """Return a file of the sample.

        Parameters
        ----------
        part : str
            ``negatives`` or ``positives``.
        number : int
            The number of the file, from 0.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.sample_folder, part, f"part-{number:05d}.parquet")

    def sample_parts(self, part: str) -> list[str]:
        """Return the existing files of the sample.

        Parameters
        ----------
        part : str
            ``negatives`` or ``positives``.

        Returns
        -------
        list of str
            Their URIs, in order.
        """
        listed = storage.list_files(storage.join(self.sample_folder, part), missing_ok=True)
        return [info.uri for info in listed if info.uri.endswith(".parquet")]

    def gate(self, number: int) -> str:
        """Return the file of a gate's checks.

        Parameters
        ----------
        number : int
            The number of the gate, 1 to 4.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.root, "gates", f"gate{number}.json")

    def withdraw(self) -> None:
        """Remove the verdicts and results of the states that a start of the run is about to redo."""
        done = [self.gate(number) for number in (4, 3, 2)]
        done += [self.quarantine, self.validation, self.cost, self.report, self.audited]
        done += [self.sample_written, self.sample_summary, self.job, self.quotas, self.summary]
        errors = storage.list_files(self.errors_folder, missing_ok=True)
        for uri in [*done, *(info.uri for info in errors)]:
            storage.delete(uri)

    def config_version(self, name: str, version: str) -> str:
        """Return the file that records the content of a published config.

        Parameters
        ----------
        name, version : str
            The name and the version in the config.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.out, "configs", f"{name}-{version}.json")

    def mini_test(self, config_sha256: str, code_version: str) -> str:
        """Return the file that records a passed mini-test.

        Parameters
        ----------
        config_sha256 : str
            The SHA-256 of the config.
        code_version : str
            The version of the code.

        Returns
        -------
        str
            Its URI.
        """
        return storage.join(self.out, "minitests", f"{config_sha256}-{code_version}.json")
