"""Report: validation.json and cost.json for machines, report.html for people.

Everything is drawn from the manifest's own columns and the run's small files, so that a report can be made
again at any time, and of a run that failed as well: what it has not reached is left out.
"""

import logging
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.cost.run_cost import run_cost
from lensneg.page import comparison
from lensneg.page.render import PageContent, render_page
from lensneg.page.summary import read_rows, summarize
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.item import ItemStats
from lensneg.schema.run import Run, load_run
from lensneg.schema.states import Written
from lensneg.survey.names import Cell, cell_of

_log = logging.getLogger(__name__)


def write_report(root: str) -> Written:
    """Write a run's report.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Raises
    ------
    RunStateError
        If the run was never planned, or one of its small files is damaged.
    """
    run = load_run(root)
    rows = read_rows(run.files)
    samples = comparison.samples_of(rows) if rows is not None else {}
    validation = summarize(run, rows, samples)
    cost = run_cost(run) if validation.fan_out else None
    validation.write(run.files.validation)
    if cost is not None:
        cost.write(run.files.cost)
    page = render_page(
        PageContent(
            validation=validation,
            cost=cost,
            figures=_maps(run, rows),
            histograms=_histograms(samples),
            run=run.record,
            published=run.files.manifest if storage.exists(run.files.manifest) else "",
            quarantined=storage.exists(run.files.quarantine),
        )
    )
    storage.write_bytes(run.files.report, page.encode())
    _log.info("%s: %d bytes", run.files.report, len(page))
    return Written(uri=run.files.report)


def _maps(run: Run, rows: pa.Table | None) -> dict[str, str]:
    """Draw the maps of the sky that there are data for."""
    from lensneg.page import figures  # matplotlib takes a while, and no other task of a run needs it

    found: dict[str, str] = {}
    pool = _pool_by_cell(run)
    if pool:
        found["pool"] = figures.density_map(
            "pool", figures.cells_image(pool), "pool: sources per square degree"
        )
    if rows is None:
        return found
    ra, dec = rows["ra"].to_numpy(), rows["dec"].to_numpy()
    positive = np.asarray(pc.equal(rows["pool"], "positive"))
    split = np.asarray(pc.fill_null(pc.index_in(rows["split"], pa.array(SPLIT_ORDER)), 0)).astype(np.int64)
    negatives = rows["healpix_64"].to_numpy()[~positive]
    image = figures.pixels_image(negatives)
    found["sample"] = figures.density_map("sample", image, "sample: negatives per square degree")
    found["splits"] = figures.split_map("splits", rows["healpix_128"].to_numpy(), split)
    found["field"] = figures.field_map("field", ra, dec, split, positive)
    return found


def _histograms(samples: comparison.Samples) -> dict[str, str]:
    from lensneg.page import figures

    return figures.histograms(samples)


def _pool_by_cell(run: Run) -> dict[Cell, float]:
    """Return the rows of the pool in each cell of the sweeps, from the stats of the map's items."""
    try:
        listed = storage.list_files(run.files.stats_folder)
    except FileNotFoundError:
        return {}
    found: Counter[Cell] = Counter()
    for info in listed:
        stats = ItemStats.read(info.uri)
        found[cell_of(storage.basename(stats.item.sweep))] += stats.rows_kept
    return {cell: float(rows) for cell, rows in found.items()}
