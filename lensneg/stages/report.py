"""Report: write validation.json and cost.json for programs, and report.html for people.

A report needs only the manifest's columns and the run's small files, so it can be made again at any time. The
report of a run that failed leaves out the states that the run did not reach.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from lensneg import storage
from lensneg.cost.run_cost import run_cost
from lensneg.page import comparison
from lensneg.page.examples import examples
from lensneg.page.failing_cuts import failing_cuts
from lensneg.page.render import PageContent, render_page
from lensneg.page.sample_rows import SampleRows, open_rows
from lensneg.page.sample_sky import SampleSky
from lensneg.page.summary import summarize
from lensneg.schema.item import ItemStats
from lensneg.schema.lens_facts import lens_schema
from lensneg.schema.progress import Tell, tell_nobody
from lensneg.schema.run import Run, load_run
from lensneg.schema.run_cost import RunCost
from lensneg.schema.shortcuts import Shortcuts
from lensneg.schema.state_times import StateTimes
from lensneg.schema.states import Written
from lensneg.schema.tables import read_table
from lensneg.survey.pixels import Area, area_of_input

_log = logging.getLogger(__name__)

#: What of a report is counted: its numbers, its figures, its page.
_PARTS: Final = 3


def write_report(root: str, own: StateTimes | None = None, tell: Tell = tell_nobody) -> Written:
    """Write a run's report.

    Parameters
    ----------
    root : str
        The run's folder, ``OUT/runs/RUN_ID``.
    own : StateTimes, optional
        The state that writes the report. Its time line has it until now.
    tell : callable, optional
        Is told how many of its parts are done: the numbers, the figures, the page.

    Raises
    ------
    RunStateError
        If the run was never planned, or one of its small files is damaged.
    """
    run = load_run(root)
    rows = open_rows(run.files)
    samples = comparison.samples_of(rows.both) if rows is not None else {}
    validation = summarize(run, rows, samples)
    validation.write(run.files.validation)
    tell("parts", 1, _PARTS)
    stats = _item_stats(run)
    maps, histograms = _figures(_pool_by_cell(run, stats), rows, samples, validation.shortcuts)
    tell("parts", 2, _PARTS)
    if own is not None:
        own = StateTimes.until_now(own.state, own.entered, root)
    cost = run_cost(run, stats, own) if validation.fan_out else None
    if cost is not None:
        cost.write(run.files.cost)
    lenses = _lenses(run)
    page = render_page(
        PageContent(
            validation=validation,
            cost=cost,
            figures=maps,
            examples=examples(rows) if rows is not None else {},
            histograms=histograms,
            time_line=_time_line(cost),
            lenses=lenses,
            failing=failing_cuts(lenses) if lenses and run.config.positives.apply_cuts == "flag" else None,
            run=run.record,
            published=f"manifests/{run.files.run_id}/" if storage.exists(run.files.manifest) else "",
            quarantined=storage.exists(run.files.quarantine),
        )
    )
    storage.write_bytes(run.files.report, page.encode())
    _log.info("%s: %d bytes", run.files.report, len(page))
    return Written(uri=run.files.report)


def _lenses(run: Run) -> pa.Table | None:
    """Return the places and strata of the positives, and what the catalogues say of them."""
    names = ["ra", "dec", "nobs_z_bin", "type_bin", *lens_schema(run.config.positives.columns).names]
    try:
        return read_table(run.files.matched_positives).select(names)
    except (FileNotFoundError, KeyError):  # a run of an earlier version, or one that failed before
        return None


def _time_line(cost: RunCost | None) -> str:
    """Draw the time line, if the run has one."""
    if cost is None or cost.time_line.started is None:
        return ""
    from lensneg.page import figures  # as in _figures

    return figures.time_line("time-line", cost.time_line)


def _figures(
    pool: Mapping[Area, int],
    rows: SampleRows | None,
    samples: comparison.Samples,
    shortcuts: Shortcuts | None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Draw the maps of the sky for which the run has data, and the histograms of the samples."""
    # They import matplotlib, which is slow, and which no other task needs.
    from lensneg.page import figures, sky_figures

    maps: dict[str, str] = {}
    view = sky_figures.View(pool)
    if pool:
        image = sky_figures.cells_image(pool, view)
        maps["pool"] = sky_figures.density_map("pool", image, "pool: sources per square degree", view)
    if rows is not None:
        sky, view = SampleSky.of(rows), sky_figures.closer(pool)
        image = sky_figures.pixels_image(sky.negatives, view)
        maps["sample"] = sky_figures.density_map("sample", image, "sample: negatives per square degree", view)
        maps["splits"] = sky_figures.split_map("splits", sky.splits, view)
        maps["field"] = sky_figures.field_map("field", sky.field)
    if shortcuts is not None:
        maps["shortcuts"] = figures.shortcut_bars("shortcuts", shortcuts)
    return maps, figures.histograms(samples)


def _item_stats(run: Run) -> list[ItemStats]:
    """Read the stats of the map's items."""
    listed = storage.list_files(run.files.stats_folder, missing_ok=True)
    return [ItemStats.read(info.uri) for info in listed]


def _pool_by_cell(run: Run, stats: list[ItemStats]) -> Counter[Area]:
    """Return the number of pool rows in each cell of the sweeps."""
    cells = {sweep.uri: area_of_input(sweep) for sweep in run.record.sweeps}
    found: Counter[Area] = Counter()
    for item in stats:
        found[cells[item.item.sweep]] += item.rows_kept
    return found
