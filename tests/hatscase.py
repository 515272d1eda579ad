"""A HATS catalogue of the rows of a sweep, laid out and encoded as hats-import 0.11 does.

tests/stages/test_hats_run.py makes the same runs over one of hats-import itself, where that is installed.
"""

from pathlib import Path

import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PROPERTIES = """#HATS catalog
obs_collection=sky
dataproduct_type={kind}
hats_nrows={rows}
hats_col_ra=RA
hats_col_dec=DEC
hats_npix_suffix=.parquet
"""


def as_arrow(rows: np.ndarray, lower: bool = False) -> pa.Table:
    """All columns of a sweep but DCHISQ."""
    columns = {}
    for name in rows.dtype.names:
        if name != "DCHISQ":
            values = rows[name]
            is_text = values.dtype.kind == "S"
            native = np.char.decode(values) if is_text else values.astype(values.dtype.newbyteorder("="))
            columns[name.lower() if lower else name] = pa.array(native.tolist() if is_text else native)
    return pa.table(columns)


def write_hats(
    root: Path,
    rows: np.ndarray,
    *,
    order: int = 5,
    kind: str = "object",
    lower: bool = False,
    folders: bool = False,
    row_group_size: int | None = None,
) -> Path:
    """Write a catalogue, with the pixels of an even number one order coarser where all their rows fit."""
    finest = healpy.ang2pix(1 << 29, rows["RA"], rows["DEC"], nest=True, lonlat=True)
    number = finest >> 2 * (29 - order)
    coarse = (number >> 2) % 2 == 0
    pixels = np.stack([np.where(coarse, order - 1, order), np.where(coarse, number >> 2, number)], axis=1)
    (root / "dataset").mkdir(parents=True)
    listed = ["Norder,Npix"]
    for k, n in np.unique(pixels, axis=0).tolist():
        here = np.flatnonzero((pixels == (k, n)).all(axis=1))
        here = here[np.argsort(finest[here], kind="stable")]
        part = as_arrow(rows[here], lower).add_column(0, "_healpix_29", pa.array(finest[here]))
        path = root / "dataset" / f"Norder={k}" / f"Dir={n // 10_000 * 10_000}" / f"Npix={n}.parquet"
        if folders:
            path = path.with_suffix("") / "part0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        floats = [field.name for field in part.schema if pa.types.is_floating(field.type)]
        pq.write_table(
            part,
            path,
            compression="zstd",
            row_group_size=row_group_size,
            use_dictionary=[name for name in part.column_names[1:] if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
            | {"_healpix_29": "DELTA_BINARY_PACKED"},
        )
        listed.append(f"{k},{n}")
    (root / "partition_info.csv").write_text("\n".join(listed) + "\n")
    pq.write_metadata(part.schema, root / "dataset" / "_common_metadata")
    pq.write_table(part.slice(0, 1), root / "dataset" / "data_thumbnail.parquet")
    for name in ("hats.properties", "properties"):
        (root / name).write_text(PROPERTIES.format(kind=kind, rows=len(rows)))
    return root
