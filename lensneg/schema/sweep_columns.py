"""The DR10 data model: the columns of a sweep table, mask bits and source types.

Sources: the files and bitmasks pages of the DR10 documentation on legacysurvey.org, and legacypipe's sweep
writer at tag DR10.1.3. Code refers to columns and bits by name, never by number.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np


class SweepColumn(NamedTuple):
    """A column of a sweep table: its name, its FITS binary format (TFORM) and its unit."""

    name: str
    tform: str
    unit: str = ""


_OPTICAL: Final = ("G", "R", "I", "Z")
_ALL_BANDS: Final = (*_OPTICAL, "W1", "W2", "W3", "W4")


def _by_band(quantity: str, tform: str, unit: str = "", bands: Iterable[str] = _OPTICAL) -> list[SweepColumn]:
    """Return the columns of a quantity that is given for each of some bands."""
    return [SweepColumn(f"{quantity}_{band}", tform, unit) for band in bands]


def _measured(quantity: str, unit: str = "", inverse_square: str = "") -> list[SweepColumn]:
    """Return the columns of a quantity and of its inverse variance."""
    return [SweepColumn(quantity, "E", unit), SweepColumn(f"{quantity}_IVAR", "E", inverse_square)]


#: All 130 columns of a DR10 sweep file, in file order. A row has 505 bytes.
SWEEP_COLUMNS: Final = (
    SweepColumn("RELEASE", "I"),
    SweepColumn("BRICKID", "J"),
    SweepColumn("BRICKNAME", "8A"),
    SweepColumn("OBJID", "J"),
    SweepColumn("TYPE", "3A"),
    SweepColumn("RA", "D", "deg"),
    SweepColumn("DEC", "D", "deg"),
    SweepColumn("RA_IVAR", "E", "1/deg^2"),
    SweepColumn("DEC_IVAR", "E", "1/deg^2"),
    SweepColumn("DCHISQ", "5E"),
    SweepColumn("EBV", "E", "mag"),
    *_by_band("FLUX", "E", "nanomaggy", _ALL_BANDS),
    *_by_band("FLUX_IVAR", "E", "1/nanomaggy^2", _ALL_BANDS),
    *_by_band("MW_TRANSMISSION", "E", bands=_ALL_BANDS),
    *_by_band("NOBS", "I", bands=_ALL_BANDS),
    *_by_band("RCHISQ", "E", bands=_ALL_BANDS),
    *_by_band("FRACFLUX", "E", bands=_ALL_BANDS),
    *_by_band("FRACMASKED", "E"),
    *_by_band("FRACIN", "E"),
    *_by_band("ANYMASK", "I"),
    *_by_band("ALLMASK", "I"),
    *_by_band("WISEMASK", "B", bands=("W1", "W2")),
    *_by_band("PSFSIZE", "E", "arcsec"),
    *_by_band("PSFDEPTH", "E", "1/nanomaggy^2"),
    *_by_band("GALDEPTH", "E", "1/nanomaggy^2"),
    *_by_band("PSFDEPTH", "E", "1/nanomaggy^2", ("W1", "W2")),
    SweepColumn("WISE_COADD_ID", "8A"),
    *_measured("SHAPE_R", "arcsec", "1/arcsec^2"),
    *_measured("SHAPE_E1"),
    *_measured("SHAPE_E2"),
    *_by_band("FIBERFLUX", "E", "nanomaggy"),
    *_by_band("FIBERTOTFLUX", "E", "nanomaggy"),
    SweepColumn("REF_CAT", "2A"),
    SweepColumn("REF_ID", "K"),
    SweepColumn("REF_EPOCH", "E", "yr"),
    SweepColumn("GAIA_PHOT_G_MEAN_MAG", "E", "mag"),
    SweepColumn("GAIA_PHOT_G_MEAN_FLUX_OVER_ERROR", "E"),
    SweepColumn("GAIA_PHOT_BP_MEAN_MAG", "E", "mag"),
    SweepColumn("GAIA_PHOT_BP_MEAN_FLUX_OVER_ERROR", "E"),
    SweepColumn("GAIA_PHOT_RP_MEAN_MAG", "E", "mag"),
    SweepColumn("GAIA_PHOT_RP_MEAN_FLUX_OVER_ERROR", "E"),
    SweepColumn("GAIA_ASTROMETRIC_EXCESS_NOISE", "E"),
    SweepColumn("GAIA_DUPLICATED_SOURCE", "L"),
    SweepColumn("GAIA_PHOT_BP_RP_EXCESS_FACTOR", "E"),
    SweepColumn("GAIA_ASTROMETRIC_SIGMA5D_MAX", "E", "mas"),
    SweepColumn("GAIA_ASTROMETRIC_PARAMS_SOLVED", "B"),
    *_measured("PARALLAX", "mas", "1/mas^2"),
    *_measured("PMRA", "mas/yr", "1/(mas/yr)^2"),
    *_measured("PMDEC", "mas/yr", "1/(mas/yr)^2"),
    SweepColumn("MASKBITS", "J"),
    SweepColumn("FITBITS", "I"),
    *_measured("SERSIC"),
)

#: The EXTNAME of the table's HDU.
SWEEP_EXTNAME: Final = "SWEEP"

#: NumPy's big-endian dtype of each FITS binary format code that sweep files use.
_DTYPE_OF_CODE: Final = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}


def tform_dtype(tform: str) -> np.dtype:
    """Return the dtype of one table cell in a FITS binary format.

    Parameters
    ----------
    tform : str
        A fixed-width FITS ``TFORMn`` value such as ``E``, ``5E`` or ``8A``.

    Returns
    -------
    numpy.dtype
        Big-endian; a sub-array dtype where the repeat count is above 1, bytes for ``A``.

    Raises
    ------
    ValueError
        If the format is not one of those that sweep files use.

    Examples
    --------
    >>> tform_dtype("8A"), tform_dtype("E").itemsize
    (dtype('S8'), 4)
    """
    match = re.fullmatch(r"(\d*)([LBIJKEDA])", tform.strip())
    if match is None:
        raise ValueError(f"TFORM {tform!r} is not a format of sweep files")
    repeat = int(match[1] or 1)
    if match[2] == "A":
        return np.dtype(f"S{repeat}")
    base = np.dtype(_DTYPE_OF_CODE[match[2]])
    return base if repeat == 1 else np.dtype((base, (repeat,)))


def sweep_dtype() -> np.dtype:
    """Return the dtype of one row of a DR10 sweep file.

    Returns
    -------
    numpy.dtype
        Packed, big-endian, 505 bytes.
    """
    return np.dtype([(column.name, tform_dtype(column.tform)) for column in SWEEP_COLUMNS])


#: The bit of each mask in MASKBITS (DR10 bitmasks page).
MASKBITS: Final = {
    "NPRIMARY": 0,
    "BRIGHT": 1,
    "SATUR_G": 2,
    "SATUR_R": 3,
    "SATUR_Z": 4,
    "ALLMASK_G": 5,
    "ALLMASK_R": 6,
    "ALLMASK_Z": 7,
    "WISEM1": 8,
    "WISEM2": 9,
    "BAILOUT": 10,
    "MEDIUM": 11,
    "GALAXY": 12,
    "CLUSTER": 13,
    "SATUR_I": 14,
    "ALLMASK_I": 15,
    "SUB_BLOB": 16,
}

#: The bits that DR11 adds (legacypipe, py/legacypipe/bits.py): stars of a near galaxy that is resolved, the
#: Magellanic Clouds, and bricks so dense that WISE fluxes are those of Gaia's sources alone.
DR11_MASKBITS: Final = {"RESOLVED": 17, "MCLOUDS": 18, "WISE_GAIA": 19}

#: The mask bits that a config may name. A release has no source with a bit that it does not know.
NAMED_MASKBITS: Final = MASKBITS | DR11_MASKBITS

#: The bit of each flag in FITBITS (DR10 bitmasks page).
FITBITS: Final = {
    "FORCED_POINTSOURCE": 0,
    "FIT_BACKGROUND": 1,
    "HIT_RADIUS_LIMIT": 2,
    "HIT_SERSIC_LIMIT": 3,
    "FROZEN": 4,
    "BRIGHT": 5,
    "MEDIUM": 6,
    "GAIA": 7,
    "TYCHO2": 8,
    "LARGEGALAXY": 9,
    "WALKER": 10,
    "RUNNER": 11,
    "GAIA_POINTSOURCE": 12,
    "ITERATIVE": 13,
}

#: The morphological types that Tractor assigns. DUP is a Gaia duplicate without optical flux.
SOURCE_TYPES: Final = ("PSF", "REX", "EXP", "DEV", "SER", "DUP")
