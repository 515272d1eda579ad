"""No negative near a lens."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from lensneg.audit.row_checks import none_wrong
from lensneg.audit.subject import Content
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.check import Check, brief

#: Pairs of a row and a lens that are compared at once.
_PAIRS_AT_ONCE: Final = 2_000_000

_NEAR_REMEDY: Final = (
    "a catalogue has grown since the run, a position was changed, or this is a fault of lensneg"
)


def near_any(
    ra: FloatArray, dec: FloatArray, lens_ra: FloatArray, lens_dec: FloatArray, radius_arcsec: float
) -> BoolArray:
    """Return which positions lie within a radius of any lens.

    By bands of declination, which hold wherever RA begins and however it narrows towards a pole, then by
    the haversine.

    Parameters
    ----------
    ra, dec, lens_ra, lens_dec : ndarray of float64
        Degrees.
    radius_arcsec : float

    Returns
    -------
    ndarray of bool, shape of ``ra``

    Examples
    --------
    >>> one = np.array([0.0])
    >>> near_any(np.array([359.9999, 0.1]), np.array([0.0, 0.0]), one, one, 1.0).tolist()
    [True, False]
    """
    near = np.zeros(len(ra), dtype=bool)
    order = np.argsort(dec)
    radius = radius_arcsec / 3600
    first = np.searchsorted(dec[order], lens_dec - radius * (1 + 1e-9))
    last = np.searchsorted(dec[order], lens_dec + radius * (1 + 1e-9), side="right")
    count = last - first
    block = np.cumsum(count) // _PAIRS_AT_ONCE
    for number in np.unique(block):
        lens = np.flatnonzero(block == number)
        which = np.repeat(lens, count[lens])
        within = np.arange(len(which)) - np.repeat(np.cumsum(count[lens]) - count[lens], count[lens])
        row = order[first[which] + within]
        lat, lens_lat = np.radians(dec[row]), np.radians(lens_dec[which])
        half_lon = np.radians(ra[row] - lens_ra[which]) / 2
        square = np.sin((lat - lens_lat) / 2) ** 2 + np.cos(lat) * np.cos(lens_lat) * np.sin(half_lon) ** 2
        near[row[2 * np.arcsin(np.sqrt(square)) <= np.radians(radius)]] = True
    return near


def clear_of_lenses(content: Content) -> Iterator[Check]:
    """Look for negatives near a catalogue position or on a positive. Spectroscopic lenses count apart."""
    subject, drawn, positives = content.subject, content.negatives, content.positives
    if subject.missing_catalogs:
        yield Check(
            name="catalogs_at_hand",
            passed=False,
            expected="the lens catalogues of the run, with the SHA-256 of its record",
            actual=f"not there: {brief(subject.missing_catalogs)}; the manifest's own positives stand in",
            remedy="name copies of them, so that every position can be kept clear of",
            critical=False,
        )
    radius = content.config.exclusion.known_lens_radius_arcsec
    spectra = subject.is_spectroscopic
    known = np.ones(len(subject.ra), dtype=bool) if spectra is None else ~spectra
    near = near_any(drawn["ra"], drawn["dec"], subject.ra[known], subject.dec[known], radius)
    on_positive = np.isin(drawn["targetid"], positives["targetid"])
    if subject.missing_catalogs:
        # A source matched to a positive may lie that much nearer than its catalogue position.
        match = content.config.positives.match_radius_arcsec
        near |= near_any(drawn["ra"], drawn["dec"], positives["ra"], positives["dec"], radius - match)
    yield none_wrong(
        "clear_of_lenses",
        near | on_positive,
        f'no negative within {radius:g}" of any of {known.sum():,} catalogue positions, or a positive',
        _NEAR_REMEDY,
    )
    if spectra is not None and spectra.any():
        ra, dec = subject.ra[spectra], subject.dec[spectra]
        yield none_wrong(
            "clear_of_spectroscopic",
            near_any(drawn["ra"], drawn["dec"], ra, dec, radius),
            f'no negative within {radius:g}" of any of {len(ra):,} positions of the spectroscopic catalogues',
            _NEAR_REMEDY,
        )


def positives_at_lenses(content: Content) -> Iterator[Check]:
    """Look for positives that no catalogue of positives has."""
    subject, positives = content.subject, content.positives
    if subject.is_positive is None:
        return
    radius = content.config.positives.match_radius_arcsec
    ra, dec = subject.ra[subject.is_positive], subject.dec[subject.is_positive]
    at_lens = near_any(positives["ra"], positives["dec"], ra, dec, radius * (1 + 1e-9))
    yield none_wrong(
        "positives_at_lenses",
        ~at_lens,
        f'every positive within {radius:g}" of one of {len(ra):,} positions of the catalogues of positives',
        "a position was changed, or this is a fault of lensneg: please report it",
    )
