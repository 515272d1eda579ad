"""A list of cutouts, one a row, for the survey's cutout tools and for its bricks' images."""

import numpy as np
import pyarrow as pa

from lensneg.page.links import layers
from lensneg.rules.bricks import PIXEL_ARCSEC, brick_centres, image_pixels

#: Columns of the manifest that a row of the list repeats.
_COPIED = ("object_id", "targetid", "pool", "split", "ra", "dec")


def cutouts(rows: pa.Table, size: int, bands: str) -> pa.Table:
    """Return the cutout of each row.

    Parameters
    ----------
    rows : pyarrow.Table
        With the manifest's columns and ``viewer``.
    size : int
        Pixels to a side.
    bands : str
        For example ``grz``.

    Returns
    -------
    pyarrow.Table
        ``size``, ``pixscale``, ``bands`` and ``layer`` are the parameters of the survey's cutout service.
        ``bx`` and ``by`` are the pixel in the image of the brick, from 0; null if no brick has the name.
    """
    x, y = image_pixels(
        rows["ra"].to_numpy(), rows["dec"].to_numpy(), *brick_centres(rows["brickname"].to_pylist())
    )
    return pa.table(
        {
            **{name: rows[name] for name in _COPIED},
            "size": np.full(len(rows), size),
            "pixscale": np.full(len(rows), PIXEL_ARCSEC),
            "bands": pa.repeat(bands, len(rows)),
            "layer": layers(rows["release"]),
            "brickname": rows["brickname"],
            "bx": pa.array(np.round(x, 3), from_pandas=True),
            "by": pa.array(np.round(y, 3), from_pandas=True),
            "viewer": rows["viewer"],
        }
    )
