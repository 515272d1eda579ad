"""Which source is a positive of a catalogue."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def best_matches(table: pa.Table, uncut_first_from: int | None = None) -> pa.Table:
    """Return for each catalogue position its best candidate, ordered by catalogue row.

    Parameters
    ----------
    table : pyarrow.Table
        Candidates of one item or of many, with the columns of ``POSITIVES_SCHEMA``.
    uncut_first_from : int, optional
        Of the catalogue rows from this one on, sources that no cut drops go before nearer ones.

    Returns
    -------
    pyarrow.Table
        The nearest source of each position; between equally near ones that of the lowest TARGETID.
    """
    keys, ordered = ["catalog_row", "separation_arcsec", "targetid", "sweep_file", "row_index"], table
    if uncut_first_from is not None:
        is_late = pc.and_(pc.greater_equal(table["catalog_row"], uncut_first_from), table["cut"].is_valid())
        keys, ordered = [keys[0], "is_late", *keys[1:]], table.append_column("is_late", is_late)
    order = pc.sort_indices(ordered, sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    rows = table["catalog_row"].to_numpy()[order]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = rows[1:] != rows[:-1]
    return table.take(order[is_first])
