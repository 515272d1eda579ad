"""DR10.1 as the survey publishes it: the address and the names of its sweep files.

Sources: the DR10 files page of legacysurvey.org, and the release's file listing of 1,436 files in the south.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lensneg.survey.versions import FETCHED, SERVER, SurveyVersion

if TYPE_CHECKING:
    from lensneg.schema.arrays import FloatArray
    from lensneg.survey.names import Cell

#: Name of the release.
RELEASE_NAME: Final = "DR10.1"

#: The folder on the survey's server that holds the sweep files and their checksums.
BASE_URL: Final = f"{SERVER}{FETCHED[RELEASE_NAME].folder}/"

#: The list of SHA-256 checksums in that folder.
CHECKSUM_FILE: Final = "legacysurvey_dr10_south_sweep_10.1.sha256sum"

#: Side of a cell in degrees.
SIDE: Final = 5

#: The cells that have a file: half-open ranges of RA for each lower limit of Dec, in degrees.
_RA_RANGES: Final = {
    -90: "0-360",
    -85: "0-360",
    -80: "0-160 165-360",
    -75: "0-135 165-360",
    -70: "0-125 135-145 245-360",
    -65: "0-120 135-145 250-360",
    -60: "0-115 265-360",
    -55: "0-120 270-360",
    -50: "0-120 165-180 185-195 200-205 280-360",
    -45: "0-105 155-220 280-360",
    -40: "0-105 145-230 280-360",
    -35: "0-105 145-240 285-360",
    -30: "0-105 140-245 290-360",
    -25: "0-105 135-255 290-360",
    -20: "0-100 130-255 285-360",
    -15: "0-100 120-255 285-360",
    -10: "0-90 120-260 265-270 290-360",
    -5: "0-85 115-270 290-360",
    0: "0-85 110-265 290-360",
    5: "0-80 110-270 300-360",
    10: "0-45 50-75 110-275 305-360",
    15: "0-45 55-60 105-275 310-360",
    20: "0-45 50-60 100-275 315-360",
    25: "0-45 100-280 310-360",
    30: "0-40 100-280 320-360",
    35: "20-25 105-110 125-130 135-140 155-160 175-185 200-205 215-225 250-255 350-355",
}


@lru_cache(maxsize=1)
def release_cells() -> "dict[str, Cell]":
    """Return the release's sweep files.

    Returns
    -------
    dict of str to Cell
        The cell of each file, ordered by file name.

    Examples
    --------
    >>> len(release_cells())
    1436
    >>> release_cells()["sweep-175m005-180p000.fits"].centre
    (177.5, -2.5)
    """
    from lensneg.survey.names import (  # imports numpy, which the help of commands does not need
        Cell,
        sweep_name,
    )

    cells = (
        Cell(float(ra), float(ra + SIDE), float(dec), float(dec + SIDE))
        for dec, ranges in _RA_RANGES.items()
        for first, last in (map(int, text.split("-")) for text in ranges.split())
        for ra in range(first, last, SIDE)
    )
    return dict(sorted((sweep_name(cell), cell) for cell in cells))


def names_at(version: SurveyVersion, ra: "FloatArray", dec: "FloatArray") -> list[str]:
    """Return the names of the sweep files of a version in whose cells positions lie.

    Parameters
    ----------
    version : SurveyVersion
        The version. The files of DR10.1 are known; every cell of another one is taken to have a file.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, with RA in [0, 360).

    Returns
    -------
    list of str
        Ordered.

    Examples
    --------
    >>> import numpy as np
    >>> names_at(FETCHED["DR9-south"], np.array([359.0]), np.array([-0.5]))
    ['sweep-350m005-360p000.fits']
    """
    import numpy as np

    from lensneg.survey.names import Cell, sweep_name

    left = ra // version.width * version.width
    corners = np.unique(np.stack([left, np.minimum(dec // SIDE * SIDE, 90 - SIDE)], axis=1), axis=0)
    cells = (Cell(a, a + version.width, d, d + SIDE) for a, d in corners.tolist())
    names = sorted(sweep_name(cell) for cell in cells)
    return [name for name in names if version.name != RELEASE_NAME or name in release_cells()]
