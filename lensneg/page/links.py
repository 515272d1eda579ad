"""Addresses of a source in the survey's own tools on legacysurvey.org."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: One pixel of the viewer is one of the images.
_ZOOM = "16"


def layers(release: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the layer of the viewer that has the images of each source, such as ``ls-dr10``."""
    number = pc.divide(release.cast(pa.int32()), 1000).cast(pa.string())
    return pc.binary_join_element_wise("ls-dr", number, "")


def viewer_links(rows: pa.Table) -> pa.ChunkedArray:
    """Return the address of each source in the survey's viewer.

    Parameters
    ----------
    rows : pyarrow.Table
        Needs ``ra``, ``dec`` and ``release``.

    Returns
    -------
    pyarrow.ChunkedArray
        Texts. A position has six decimals: 4 milliarcseconds.
    """
    ra, dec = (_decimals(rows[name]) for name in ("ra", "dec"))
    return pc.binary_join_element_wise(
        "https://www.legacysurvey.org/viewer?ra=", ra, "&dec=", dec, "&layer=", layers(rows["release"]),
        f"&zoom={_ZOOM}&mark=", ra, ",", dec, "",
    )  # fmt: skip


def _decimals(values: pa.ChunkedArray) -> pa.Array:
    """Return numbers with six decimals."""
    return pa.array(np.char.mod("%.6f", values.to_numpy()).astype(object), pa.string())
