"""The frame of a catalogue's positions, and its conversion to ICRS."""

import re
from typing import Final, NamedTuple

import numpy as np

from lensneg.schema.arrays import FloatArray

#: Words of a header that mean FK4, the frame of B1950.
_FK4: Final = re.compile(r"\b(?:B\s?1950(?:\.0*)?|FK4)\b(?![+-]\d)", re.IGNORECASE)

#: Frames that agree with ICRS to 0.03 arcsec. ITRS and others do not.
_LIKE_ICRS: Final = frozenset({"", "icrs", "fk5", "eq_fk5", "eq_icrs"})


class Frame(NamedTuple):
    """A frame of positions.

    Attributes
    ----------
    name : str
        ``icrs``, ``fk5`` or ``fk4``, or the name in the file of one that is not converted.
    equinox : str
        The equinox, such as ``B1950``. Empty for ICRS.
    """

    name: str = "icrs"
    equinox: str = ""

    def __str__(self) -> str:
        return f"{self.name.upper()} ({self.equinox})" if self.equinox else self.name.upper()

    @property
    def can_be_converted(self) -> bool:
        """Whether :func:`to_icrs` knows the frame.

        Returns
        -------
        bool
            False for galactic and other coordinates.
        """
        return self.name in ("icrs", "fk5", "fk4")


ICRS: Final = Frame()
FK4: Final = Frame("fk4", "B1950")


def frame_of(system: str, equinox: str = "") -> Frame:
    """Return the frame that a header names.

    Parameters
    ----------
    system : str
        RADESYS of FITS, or the system of a VOTable's COOSYS. Empty where there is none.
    equinox : str
        EQUINOX of FITS, or the equinox of COOSYS. Empty where there is none.

    Returns
    -------
    Frame
        Positions of J2000 count as ICRS.

    Examples
    --------
    >>> frame_of("FK5", "2000.0"), frame_of("eq_FK4"), frame_of("", "1950.0")
    (Frame(name='icrs', equinox=''), Frame(name='fk4', equinox='B1950'), Frame(name='fk4', equinox='B1950'))
    >>> frame_of("galactic").can_be_converted
    False
    """
    name, number = system.strip().lower(), re.search(r"\d{4}(?:\.\d+)?", equinox)
    year = float(number[0]) if number else 0.0
    if name in ("fk4", "eq_fk4", "fk4-no-e") or (not name and 0 < year < 1984):  # as FITS has it
        return Frame("fk4", f"B{year or 1950:g}")
    if name not in _LIKE_ICRS:
        return Frame(system.strip())
    return Frame("fk5", f"J{year:g}") if year not in (0.0, 2000.0) and "icrs" not in name else ICRS


def names_fk4(text: str) -> bool:
    """Return whether a text names FK4 or B1950.

    Parameters
    ----------
    text : str
        The description of a column, or a comment.

    Returns
    -------
    bool

    Examples
    --------
    >>> names_fk4("Right Ascension (B1950)"), names_fk4("J0011-0845, Hour of RA (J2000)")
    (True, False)
    """
    return _FK4.search(text) is not None


def to_icrs(ra: FloatArray, dec: FloatArray, frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Return positions in ICRS.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees. NaN where there is no position.
    frame : Frame
        Their frame, which can be converted.

    Returns
    -------
    (ndarray of float64, ndarray of float64)
        RA from 0 to 360, and Dec.

    Examples
    --------
    >>> ra, dec = to_icrs(np.array([0.0]), np.array([0.0]), FK4)
    >>> ra.round(4).tolist(), dec.round(4).tolist()
    ([0.6407], [0.2784])
    """
    if frame == ICRS:
        return ra, dec
    import astropy.coordinates as ac

    system = {"fk4": ac.FK4, "fk5": ac.FK5}[frame.name](equinox=frame.equinox)
    placed = np.isfinite(ra) & np.isfinite(dec)
    found = ac.SkyCoord(ra[placed], dec[placed], unit="deg", frame=system).icrs
    icrs_ra, icrs_dec = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
    icrs_ra[placed], icrs_dec[placed] = found.ra.deg % 360.0, found.dec.deg
    return icrs_ra, icrs_dec
