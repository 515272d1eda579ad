"""What became of each hard negative of the catalogues."""

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.schema.fan_out import HardNegativeCounts
from lensneg.schema.item import ItemStats
from lensneg.schema.run import Run
from lensneg.stages.summarize_fan_out.positives import inside_done

#: The status of an entry whose source is in the pool. That of another is the cut that drops its source.
FOUND: Final = "hard negative"
NO_SOURCE: Final = "no source"


def match_hard_negatives(
    run: Run, stats: list[ItemStats], best: pa.Table
) -> tuple[pa.Table | None, tuple[HardNegativeCounts, ...]]:
    """Say of each hard negative whether its source is in the pool, and why not.

    Parameters
    ----------
    run : Run
    stats : list of ItemStats
        Of the items that are done.
    best : pyarrow.Table
        The result of :func:`~lensneg.stages.summarize_fan_out.positives.read_matches`.

    Returns
    -------
    matches : pyarrow.Table or None
        One row for each entry that lies in the run's cells, has a source or has no position, with its
        status. None where the run has no catalogue of hard negatives.
    counts : tuple of HardNegativeCounts
        One for each catalogue. Entries outside the cells are counted in ``entries`` alone.
    """
    rows, listed = run.listed_in("hard_negatives"), run.listed
    if not len(rows):
        return None, ()
    of_hard = best.filter(pc.greater_equal(best["catalog_row"], len(run.lenses)))
    place = pc.index_in(pa.array(rows + len(run.lenses)), of_hard["catalog_row"].combine_chunks())
    cut, has_source = of_hard["cut"].take(place).to_pylist(), np.asarray(place.is_valid())
    status = [(why or FOUND) if has else NO_SOURCE for why, has in zip(cut, has_source.tolist(), strict=True)]
    # Without a position, nobody can tell where an entry is.
    inside = inside_done(run, stats, listed.ra[rows], listed.dec[rows]) | np.isnan(listed.ra[rows])
    catalogs, of = run.record.catalogs, listed.catalog[rows]
    shown = np.flatnonzero(inside | has_source)
    matches = pa.table(
        {
            "name": [listed.names[rows[i]] for i in shown],
            "category": [catalogs[of[i]].category for i in shown],
            "ra": pa.array(listed.ra[rows][shown], from_pandas=True),
            "dec": pa.array(listed.dec[rows][shown], from_pandas=True),
            "inside": inside[shown],
            "status": pa.array([status[i] for i in shown], pa.string()),
            **{
                name: of_hard[name].take(place.take(pa.array(shown)))
                for name in ("separation_arcsec", "targetid", "nobs_z_bin", "type_bin")
            },
        }
    )
    counts = []
    for number in np.unique(of).tolist():
        here = np.flatnonzero(of == number)
        statuses = Counter(status[i] for i in here if inside[i])
        counts.append(
            HardNegativeCounts(
                catalog=catalogs[number].name,
                category=catalogs[number].category,
                entries=len(here),
                inside=statuses.total(),
                found=statuses.pop(FOUND, 0),
                missing=dict(sorted(statuses.items())),
            )
        )
    return matches, tuple(counts)
