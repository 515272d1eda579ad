"""Which source is a positive of a catalogue."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def best_matches(table: pa.Table) -> pa.Table:
    """Return for each catalogue position its best candidate, ordered by catalogue row.

    Parameters
    ----------
    table : pyarrow.Table
        Candidates of one item or of many, with the columns of ``POSITIVES_SCHEMA``.

    Returns
    -------
    pyarrow.Table
        The nearest source of each position; between equally near ones that of the lowest TARGETID.
    """
    keys = ("catalog_row", "separation_arcsec", "targetid", "sweep_file", "row_index")
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    rows = table["catalog_row"].to_numpy()[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = rows[1:] != rows[:-1]
    return table.take(order[first])
