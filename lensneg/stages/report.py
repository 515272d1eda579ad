"""Report: write validation.json and cost.json for programs, and report.html for people.

A report needs only the manifest's columns and the run's small files, so it can be made again at any time. The
report of a run that failed leaves out the states that the run did not reach.
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
from lensneg.schema.columns import POSITIVE
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
    maps, histograms = _figures(run, rows, samples)
    page = render_page(
        PageContent(
            validation=validation,
            cost=cost,
            figures=maps,
            histograms=histograms,
            run=run.record,
            published=run.files.manifest if storage.exists(run.files.manifest) else "",
            quarantined=storage.exists(run.files.quarantine),
        )
    )
    storage.write_bytes(run.files.report, page.encode())
    _log.info("%s: %d bytes", run.files.report, len(page))
    return Written(uri=run.files.report)


def _figures(
    run: Run, rows: pa.Table | None, samples: comparison.Samples
) -> tuple[dict[str, str], dict[str, str]]:
    """Draw the maps of the sky for which the run has data, and the histograms of the samples."""
    from lensneg.page import figures  # imports matplotlib, which is slow, and which no other task needs

    maps: dict[str, str] = {}
    if pool := _pool_by_cell(run):
        image = figures.cells_image(pool)
        maps["pool"] = figures.density_map("pool", image, "pool: sources per square degree")
    if rows is not None:
        ra, dec = rows["ra"].to_numpy(), rows["dec"].to_numpy()
        positive = np.asarray(pc.equal(rows["pool"], POSITIVE))
        split = np.asarray(pc.fill_null(pc.index_in(rows["split"], pa.array(SPLIT_ORDER)), 0), np.int64)
        image = figures.pixels_image(rows["healpix_64"].to_numpy()[~positive])
        maps["sample"] = figures.density_map("sample", image, "sample: negatives per square degree")
        maps["splits"] = figures.split_map("splits", rows["healpix_128"].to_numpy(), split)
        maps["field"] = figures.field_map("field", ra, dec, split, positive)
    return maps, figures.histograms(samples)


def _pool_by_cell(run: Run) -> Counter[Cell]:
    """Return the number of pool rows in each cell of the sweeps, from the stats of the map's items."""
    try:
        listed = storage.list_files(run.files.stats_folder)
    except FileNotFoundError:
        listed = []
    found: Counter[Cell] = Counter()
    for info in listed:
        stats = ItemStats.read(info.uri)
        found[cell_of(storage.basename(stats.item.sweep))] += stats.rows_kept
    return found
