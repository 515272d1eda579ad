"""No negative near a lens."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lensneg.audit.columns import Rows
from lensneg.audit.subject import Content
from lensneg.audit.tally import RowRule, Tally
from lensneg.schema.arrays import BoolArray, FloatArray
from lensneg.schema.check import Check, brief
from lensneg.schema.lens_facts import CUT_COLUMNS

#: Pairs of a row and a lens that are compared at once.
_PAIRS_AT_ONCE: Final = 500_000

#: Columns of the positives alone that no column of a catalogue is compared with.
_NOT_OF_CATALOG: Final = (*CUT_COLUMNS, "lens_catalog")

_NONE: Final[FloatArray] = np.empty(0)

_NEAR_REMEDY: Final = (
    "a catalogue has grown since the run, a position was changed, or this is a fault of lensneg"
)


def near_any(
    ra: FloatArray,
    dec: FloatArray,
    lens_ra: FloatArray,
    lens_dec: FloatArray,
    radius_arcsec: float | FloatArray,
) -> BoolArray:
    """Return which positions lie within a radius of any lens.

    By bands of declination, which hold wherever RA begins and however it narrows towards a pole, then by
    the haversine.

    Parameters
    ----------
    ra, dec, lens_ra, lens_dec : ndarray of float64
        Degrees.
    radius_arcsec : float or ndarray of float64
        One for all lenses, or one for each.

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
    radius = np.broadcast_to(np.asarray(radius_arcsec) / 3600, len(lens_dec))
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
        near[row[2 * np.arcsin(np.sqrt(square)) <= np.radians(radius[which])]] = True
    return near


class ClearOfLenses(Tally):
    """Looks for negatives near a catalogue position or on a positive. Spectroscopic lenses count apart."""

    def __init__(self, content: Content) -> None:
        self._subject, config = content.subject, content.config
        self._match = config.positives.match_radius_arcsec
        of_config = config.exclusion.known_lens_radius_arcsec
        self._least = self._subject.least_radius or of_config
        stated = self._subject.stated_radius
        radii = np.full(len(self._subject.ra), np.nan) if stated is None else stated
        self._radius = np.maximum(np.where(np.isnan(radii), of_config, radii), self._match)
        #: The positives. There are no more positives than positions in the catalogues.
        self._ids, self._ra, self._dec = np.empty(0, dtype=np.int64), _NONE, _NONE
        spectra = self._subject.is_spectroscopic
        self._known = np.ones(len(self._subject.ra), dtype=bool) if spectra is None else ~spectra
        low, high = (self._radius.min(), self._radius.max()) if len(radii) else (of_config, of_config)
        between = f'{low:g}"' if low == high else f'its radius of {low:g}" to {high:g}"'
        within = f"no negative within {between} of any of"
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
            ra, dec, radius = (a[spectra] for a in (self._subject.ra, self._subject.dec, self._radius))
            self._rules.append(
                RowRule(
                    "clear_of_spectroscopic",
                    f"{within} {len(ra):,} positions of the spectroscopic catalogues",
                    lambda rows: near_any(rows["ra"], rows["dec"], ra, dec, radius),
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
        lenses = (subject.ra[self._known], subject.dec[self._known], self._radius[self._known])
        wrong = near_any(*place, *lenses)
        wrong |= np.isin(rows["targetid"], self._ids)
        if subject.missing_catalogs:
            # A source matched to a positive may lie that much nearer than its catalogue position.
            wrong |= near_any(*place, self._ra, self._dec, max(self._least - self._match, 0.0))
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
    """Looks for positives that no catalogue of positives has, or of which it says something else.

    If these catalogues are all there.
    """

    def __init__(self, content: Content) -> None:
        subject = content.subject
        self._rules: tuple[RowRule, ...] = ()
        if subject.is_positive is None:
            return
        self._radius = content.config.positives.match_radius_arcsec * (1 + 1e-9)
        self._ra, self._dec = subject.ra[subject.is_positive], subject.dec[subject.is_positive]
        self._entries: dict[tuple[Any, ...], list[int]] = {}
        if subject.facts is not None:
            for i, said in enumerate(_tuples(subject.facts.filter(pa.array(subject.is_positive)))):
                self._entries.setdefault(said, []).append(i)
        rule = RowRule(
            "positives_at_lenses",
            f'every positive within {content.config.positives.match_radius_arcsec:g}" of one of '
            f"{len(self._ra):,} positions of the catalogues of positives, with what they say of the lens",
            self._wrong,
            "a position or a fact was changed, or this is a fault of lensneg: please report it",
            parts=("positives",),
        )
        self._rules = (rule,)

    def _wrong(self, rows: Rows) -> BoolArray:
        ra, dec = rows["ra"], rows["dec"]
        wrong = ~near_any(ra, dec, self._ra, self._dec, self._radius)
        if self._entries and rows.lenses is not None:
            stated = [name for name in rows.lenses.column_names if name not in _NOT_OF_CATALOG]
            for i, said in enumerate(_tuples(rows.lenses.select(stated))):
                at = self._entries.get(said, [])
                one = slice(i, i + 1)
                wrong[i] |= not near_any(ra[one], dec[one], self._ra[at], self._dec[at], self._radius).any()
        return wrong

    def add(self, rows: Rows) -> None:
        """Compare some positives with the catalogues."""
        for rule in self._rules:
            rule.add(rows)

    def checks(self) -> Iterator[Check]:
        """Yield the check."""
        for rule in self._rules:
            yield from rule.checks()


def _tuples(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each row."""
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
