"""The plan: run.json, the lens positions, and the map's items."""

from __future__ import annotations

from typing import Any

from lensneg import storage
from lensneg.catalogs.catalog import Catalog, read_catalog
from lensneg.catalogs.footprint import inside_cells
from lensneg.errors import CatalogError
from lensneg.schema.config_file import parse_config
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import lens_table
from lensneg.schema.run import CatalogInput, RunRecord, SweepInput
from lensneg.schema.tables import write_table
from lensneg.survey.items import slices
from lensneg.survey.names import sweep_cell


def plan_fan_out(root: str) -> dict[str, Any]:
    """Write what the map works from.

    Parameters
    ----------
    root : str
        The run's folder, in which gate 1 left ``inventory.json``.

    Returns
    -------
    dict
        Where Step Functions finds the items (``bucket``, ``key``), their ``count``, and how many of
        them the Map may lose: all, as gate 2 is the judge of that.
    """
    files = RunFiles.of_root(root)
    record = RunRecord.model_validate(storage.read_json(files.inventory))
    execution = parse_config(record.config.text, record.config.uri).execution
    catalogs = [(source.role, _planned_catalog(source)) for source in record.catalogs]
    if record.mode == "test":
        positives = [catalog for role, catalog in catalogs if role == "positives"]
        chosen = mini_test_sweeps(record.sweeps, positives, execution.mini_test_files)
        record = record.model_copy(update={"sweeps": chosen})
    items = [item for sweep in record.sweeps for item in slices(sweep, execution)]
    items.sort(key=lambda item: (-item.n_bytes, item.id))
    write_table(files.lenses, lens_table(catalogs))
    storage.write_json(files.items, [item.model_dump(mode="json") for item in items])
    storage.write_json(files.run, record.model_dump(mode="json"))
    bucket, key = storage.bucket_and_key(files.items)
    return {
        "bucket": bucket,
        "key": key,
        "count": len(items),
        "tolerated_failure_percentage": 100,
    }


def _planned_catalog(source: CatalogInput) -> Catalog:
    """Read a catalogue, if it is still the one that gate 1 saw."""
    catalog = read_catalog(source.spec)
    if catalog.sha256 != source.sha256:
        raise CatalogError(
            "the file changed after gate 1 had read it",
            where=source.spec.uri,
            remedy="restore it, or start a new run",
        )
    return catalog


def mini_test_sweeps(
    sweeps: tuple[SweepInput, ...], positives: list[Catalog], count: int
) -> tuple[SweepInput, ...]:
    """Return the files of a mini-test: the smallest that hold positives, then the smallest others."""

    def rank(sweep: SweepInput) -> tuple[bool, int, str]:
        cell = sweep_cell(storage.basename(sweep.uri))
        assert cell is not None  # gate 1 listed it by its name
        empty = not any(inside_cells(c.ra, c.dec, [cell]).any() for c in positives)
        return empty or sweep.rows == 0, sweep.size, storage.basename(sweep.uri)

    chosen = sorted(sweeps, key=rank)[:count]
    return tuple(sweep for sweep in sweeps if sweep in chosen)
