"""Where a run's files are."""

from __future__ import annotations

from lensneg import storage
from lensneg.errors import RunStateError


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
            raise RunStateError("expected …/runs/<run_id>", where=root)
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

    def config_version(self, name: str, version: str) -> str:
        """Return where the content that a config's name and version stand for is recorded."""
        return storage.join(self.out, "configs", f"{name}-{version}.json")

    def mini_test(self, config_sha256: str, code_version: str) -> str:
        """Return the record of a passed mini-test of this config and this code."""
        return storage.join(self.out, "minitests", f"{config_sha256}-{code_version}.json")
