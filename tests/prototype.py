"""Rows of a sweep written as a table, by other programs than the package's own."""

from pathlib import Path

import numpy as np
import pandas as pd

from lensneg.schema.columns import NEEDED_COLUMNS


def write_table(path: Path, rows: np.ndarray) -> str:
    """Write the needed columns in lower case and another order, as CSV or Parquet by the name's end."""
    data = {}
    for name in reversed(NEEDED_COLUMNS):
        values = rows[name]
        is_text = values.dtype.kind == "S"
        data[name.lower()] = (
            np.char.decode(values) if is_text else values.astype(values.dtype.newbyteorder("="))
        )
    frame = pd.DataFrame(data)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=1000)
    return str(path)
