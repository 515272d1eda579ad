"""No negative near a lens."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import RowRule, Tally
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.check import Check, brief

#: Pairs of a row and a lens that are compared at once.
_PAIRS_AT_ONCE: Final = 500_000

_NONE: Final[FloatArray] = np.empty(0)

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


class ClearOfLenses(Tally):
    """Looks for negatives near a catalogue position or on a positive. Spectroscopic lenses count apart."""

    def __init__(self, content: Content) -> None:
        self._subject, config = content.subject, content.config
        self._radius, self._match = (
            config.exclusion.known_lens_radius_arcsec,
            config.positives.match_radius_arcsec,
        )
        #: The positives. There are no more positives than positions in the catalogues.
        self._ids, self._ra, self._dec = np.empty(0, dtype=np.int64), _NONE, _NONE
        spectra = self._subject.is_spectroscopic
        self._known = np.ones(len(self._subject.ra), dtype=bool) if spectra is None else ~spectra
        within = f'no negative within {self._radius:g}" of any of'
        self._rules = [
            RowRule(
                "clear_of_lenses",
                f"{within} {self._known.sum():,} catalogue positions, or a positive",
                self._near_known,
                _NEAR_REMEDY,
                parts=("negatives",),
            )
        ]
        if spectra is not None and spectra.any():
            ra, dec = self._subject.ra[spectra], self._subject.dec[spectra]
            self._rules.append(
                RowRule(
                    "clear_of_spectroscopic",
                    f"{within} {len(ra):,} positions of the spectroscopic catalogues",
                    lambda rows: near_any(rows["ra"], rows["dec"], ra, dec, self._radius),
                    _NEAR_REMEDY,
                    parts=("negatives",),
                )
            )

    def add(self, rows: Rows) -> None:
        """Keep the positives, which come first, and compare the negatives with them."""
        if rows.part == "positives":
            self._ids = np.concatenate([self._ids, rows["targetid"]])
            self._ra = np.concatenate([self._ra, rows["ra"]])
            self._dec = np.concatenate([self._dec, rows["dec"]])
        for rule in self._rules:
            rule.add(rows)

    def _near_known(self, rows: Rows) -> BoolArray:
        subject, place = self._subject, (rows["ra"], rows["dec"])
        wrong = near_any(*place, subject.ra[self._known], subject.dec[self._known], self._radius)
        wrong |= np.isin(rows["targetid"], self._ids)
        if subject.missing_catalogs:
            # A source matched to a positive may lie that much nearer than its catalogue position.
            wrong |= near_any(*place, self._ra, self._dec, self._radius - self._match)
        return wrong

    def checks(self) -> Iterator[Check]:
        """Yield the checks, after a warning if catalogues are missing."""
        if self._subject.missing_catalogs:
            yield Check(
                name="catalogs_at_hand",
                passed=False,
                expected="the lens catalogues of the run, with the SHA-256 of its record",
                actual=f"not there: {brief(self._subject.missing_catalogs)}; "
                "the manifest's own positives stand in",
                remedy="name copies of them, so that every position can be kept clear of",
                critical=False,
            )
        for rule in self._rules:
            yield from rule.checks()


class PositivesAtLenses(Tally):
    """Looks for positives that no catalogue of positives has, if these catalogues are all there."""

    def __init__(self, content: Content) -> None:
        subject = content.subject
        self._rules: tuple[RowRule, ...] = ()
        if subject.is_positive is not None:
            radius = content.config.positives.match_radius_arcsec
            ra, dec = subject.ra[subject.is_positive], subject.dec[subject.is_positive]
            rule = RowRule(
                "positives_at_lenses",
                f'every positive within {radius:g}" of one of {len(ra):,} positions of the catalogues of '
                "positives",
                lambda rows: ~near_any(rows["ra"], rows["dec"], ra, dec, radius * (1 + 1e-9)),
                "a position was changed, or this is a fault of lensneg: please report it",
                parts=("positives",),
            )
            self._rules = (rule,)

    def add(self, rows: Rows) -> None:
        """Compare some positives with the catalogues."""
        for rule in self._rules:
            rule.add(rows)

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        for rule in self._rules:
            yield from rule.checks()
