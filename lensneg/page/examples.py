"""A few rows of each pool and category, to look at in the survey's viewer."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from lensneg.page.links import viewer_links
from lensneg.page.sample_rows import SampleRows

#: Rows of each category.
_ROWS: Final = 4

_SHOWN: Final = (
    "brickname",
    "objid",
    "ra",
    "dec",
    "type",
    "nobs_z",
    "mag_r",
    "g_minus_r",
    "shape_r",
    "split",
)


def examples(rows: SampleRows) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of lowest sampling priority of each category of N2, of N1, and of the positives.

    Parameters
    ----------
    rows : SampleRows
        The rows of a run.

    Returns
    -------
    dict of str to list of dict
        Rows by category. The priority is uniform, so they are picked at random. Each has its address in the
        survey's viewer as ``viewer``.
    """
    kept = pa.table({})
    for batch in rows.both((*_SHOWN, "release", "sampling_priority", "pool", "confuser_category")):
        category = pc.coalesce(batch["confuser_category"], batch["pool"])
        batch = batch.append_column("category", category)
        kept = pa.concat_tables([kept, batch]) if kept.num_columns else batch
        kept = kept.sort_by([("category", "ascending"), ("sampling_priority", "ascending")])
        places = [pc.equal(kept["category"], name) for name in kept["category"].unique()]
        kept = pa.concat_tables([kept.filter(place).slice(0, _ROWS) for place in places])
    found: dict[str, list[dict[str, Any]]] = {}
    for row in kept.append_column("viewer", viewer_links(kept)).to_pylist():
        found.setdefault(row["category"], []).append(row)
    return dict(sorted(found.items(), key=lambda entry: entry[1][0]["pool"]))
