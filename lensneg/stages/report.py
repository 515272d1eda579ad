"""The report of a run: validation.json and cost.json for machines, report.html for people.

Everything is drawn from the manifest's own columns and the run's small files, so that a report can be made
again at any time, and of a run that failed as well: what it has not reached is left out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg import storage
from lensneg.page import comparison
from lensneg.page.render import template
from lensneg.page.summary import read_rows, summarize
from lensneg.schema.config import SPLIT_ORDER
from lensneg.schema.run import Run, load_run
from lensneg.survey.names import Cell, sweep_cell


def write_report(root: str) -> dict[str, Any]:
    """Write a run's report.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.

    Returns
    -------
    dict
        ``uri`` of report.html.

    Raises
    ------
    RunStateError
        If the run was never planned.
    """
    from lensneg.cost.run_cost import run_cost

    run = load_run(root)
    rows = read_rows(run.files)
    samples = comparison.samples_of(rows) if rows is not None else {}
    validation = summarize(run, rows, samples)
    cost = run_cost(run) if validation["fan_out"] else None
    storage.write_json(run.files.validation, validation)
    if cost is not None:
        storage.write_json(run.files.cost, cost)
    page = template().render(
        validation=validation,
        cost=cost,
        figures=_figures(run, rows, samples),
        config_text=run.record.config.text,
        sweeps=[
            {"name": storage.basename(s.uri), "size": s.size, "etag": s.etag, "rows": s.rows}
            for s in run.record.sweeps
        ],
        published=storage.exists(run.files.manifest) and run.files.manifest,
        quarantined=storage.exists(run.files.quarantine),
    )
    storage.write_bytes(run.files.report, page.encode())
    return {"uri": run.files.report}


def _figures(run: Run, rows: pa.Table | None, samples: comparison.Samples) -> dict[str, Any]:
    """Draw what there is to draw."""
    from lensneg.page import figures  # matplotlib takes a while, and no other task of a run needs it

    found: dict[str, Any] = {}
    pool = pool_by_cell(run)
    if pool:
        found["pool"] = figures.density_map(
            "pool", figures.cells_image(pool), "pool: sources per square degree"
        )
    if rows is None:
        return found
    ra, dec = rows["ra"].to_numpy(), rows["dec"].to_numpy()
    positive = np.asarray(pc.equal(rows["pool"], "positive"))
    split = np.asarray(pc.fill_null(pc.index_in(rows["split"], pa.array(SPLIT_ORDER)), 0)).astype(np.int64)
    on_sky = np.flatnonzero(~positive)
    found["sample"] = figures.density_map(
        "sample",
        figures.pixels_image(rows["healpix_64"].to_numpy()[on_sky]),
        "sample: negatives per square degree",
    )
    found["splits"] = figures.split_map("splits", rows["healpix_128"].to_numpy(), split)
    found["field"] = figures.field_map("field", ra, dec, split, positive)
    found["histograms"] = figures.histograms(samples)
    return found


def pool_by_cell(run: Run) -> dict[Cell, float]:
    """Return the rows of the pool in each cell of the sweeps, from the stats of the map's items."""
    try:
        listed = storage.list_files(run.files.stats_folder)
    except FileNotFoundError:
        return {}
    found: Counter[Cell] = Counter()
    for info in listed:
        stats = storage.read_json(info.uri)
        cell = sweep_cell(storage.basename(stats["item"]["sweep"]))
        if cell is not None:
            found[cell] += stats["rows_kept"]
    return {cell: float(rows) for cell, rows in found.items()}
