"""PlanFanOut: write run.json, the lens positions, and the items of the map."""

import logging

import numpy as np
import pyarrow as pa

from lensneg import storage
from lensneg.catalogs.catalog import Catalog, Positions
from lensneg.catalogs.footprint import inside_cells
from lensneg.catalogs.sources import SourceCatalog, read_any
from lensneg.errors import CatalogError
from lensneg.schema.item import write_items
from lensneg.schema.layout import RunFiles
from lensneg.schema.lenses import Lenses
from lensneg.schema.listed import ListedSources
from lensneg.schema.run import CatalogInput, RunRecord, SweepInput
from lensneg.schema.states import Plan
from lensneg.stages.spectroscopy import compare_with_positives
from lensneg.survey.items import slices
from lensneg.survey.pixels import area_of_input

_log = logging.getLogger(__name__)


def plan_fan_out(root: str) -> Plan:
    """Write the inputs of the map.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``. Gate 1 wrote ``inventory.json`` there.

    Returns
    -------
    Plan
        The Map tolerates every failed item: gate 2 judges how many may fail.

    Raises
    ------
    CatalogError
        If a catalogue changed after gate 1 had read it.
    """
    files = RunFiles.of_root(root)
    record = RunRecord.read(files.inventory)
    execution = record.parsed_config().execution
    extra = record.parsed_config().positives.columns
    read = [_planned_catalog(source, extra) for source in record.catalogs]
    catalogs = [catalog for catalog in read if isinstance(catalog, Catalog)]  # they come first
    lenses = _lenses(record, catalogs)
    if record.mode == "test":
        chosen = mini_test_sweeps(record.sweeps, lenses, execution.mini_test_files)
        record = record.model_copy(update={"sweeps": chosen})
        _log.info("the mini-test takes %s", ", ".join(sweep.name for sweep in chosen))
    items = [item for sweep in record.sweeps for item in slices(sweep, execution, len(record.sweeps))]
    items.sort(key=lambda item: (-item.n_bytes, item.id))
    lenses.write(files.lenses)
    if len(listed := _listed(read)):
        listed.write(files.listed)
    write_items(files.items, items)
    if spectroscopic := compare_with_positives(record, catalogs):
        spectroscopic.write(files.spectroscopic)
    record.write(files.run)
    rows, size = sum(sweep.rows for sweep in record.sweeps), sum(item.n_bytes for item in items)
    _log.info("%d items of %d sweep files: %d rows, %d bytes", len(items), len(record.sweeps), rows, size)
    bucket, key = storage.bucket_and_key(files.items)
    return Plan(bucket=bucket, key=key, count=len(items), tolerated_failure_percentage=100)


def _planned_catalog(source: CatalogInput, extra: tuple[str, ...]) -> Catalog | SourceCatalog:
    """Read a catalogue, and check that it is still the one that gate 1 read."""
    catalog = read_any(source.spec, source.role, extra)
    if catalog.sha256 != source.sha256:
        raise CatalogError(
            "the file changed after gate 1 had read it",
            where=source.spec.uri,
            remedy="restore it, or start a new run",
        )
    return catalog


def _lenses(record: RunRecord, catalogs: list[Catalog]) -> Lenses:
    """Return the selected positions of each catalogue, each followed by those that are not selected."""
    parts: list[tuple[int, bool, Positions]] = []
    for i, (source, catalog) in enumerate(zip(record.catalogs, catalogs, strict=False)):
        parts += [(i, source.role == "positives", catalog), (i, False, catalog.others)]
    lengths = [len(part.ra) for _, _, part in parts]
    return Lenses(
        ra=np.concatenate([part.ra for _, _, part in parts]),
        dec=np.concatenate([part.dec for _, _, part in parts]),
        is_positive=np.repeat([positive for _, positive, _ in parts], lengths),
        names=[name for _, _, part in parts for name in part.names],
        catalog=np.repeat(np.array([i for i, _, _ in parts], np.int32), lengths),
        radius_arcsec=np.concatenate([part.radius_arcsec for _, _, part in parts]),
        facts=pa.concat_tables([part.facts for _, _, part in parts]).combine_chunks(),
    )


def _listed(catalogs: list[Catalog | SourceCatalog]) -> ListedSources:
    """Return the entries of the catalogues of suspects and hard negatives."""
    return ListedSources.joined(
        [
            ListedSources(c.ra, c.dec, c.targetid, c.names, np.full(len(c.ra), i, np.int32))
            for i, c in enumerate(catalogs)
            if isinstance(c, SourceCatalog)
        ]
    )


def mini_test_sweeps(sweeps: tuple[SweepInput, ...], lenses: Lenses, count: int) -> tuple[SweepInput, ...]:
    """Return the sweep files of a mini-test: the smallest that hold positives, then the smallest others."""
    ra, dec = lenses.ra[lenses.is_positive], lenses.dec[lenses.is_positive]

    def rank(sweep: SweepInput) -> tuple[bool, int, str]:
        empty = not inside_cells(ra, dec, [area_of_input(sweep)]).any()
        return empty or sweep.rows == 0, sweep.size, sweep.name

    chosen = sorted(sweeps, key=rank)[:count]
    return tuple(sweep for sweep in sweeps if sweep in chosen)
