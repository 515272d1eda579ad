"""No negative is a suspect, and the hard negatives are those of the catalogues: worked out once more."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from lensneg.audit.columns import Rows
from lensneg.audit.lens_checks import near_any
from lensneg.audit.subject import Content
from lensneg.audit.tally import FAULT, RowRule, Tally
from lensneg.schema.arrays import BoolArray
from lensneg.schema.check import Check
from lensneg.schema.listed import ListedSources
from lensneg.schema.pools_config import EXTERNAL

_SUSPECT_REMEDY: Final = "a catalogue of suspects has grown since the run, or this is a fault of lensneg"


def is_external(rows: Rows) -> BoolArray:
    """Return which rows have the category of a hard negative of a catalogue."""
    found = pc.starts_with(rows.table["confuser_category"], EXTERNAL)
    return np.asarray(pc.fill_null(found, False))


def is_listed(rows: Rows, listed: ListedSources, radius_arcsec: float) -> BoolArray:
    """Return which rows lie within a radius of an entry, or have its TARGETID."""
    placed = np.isfinite(listed.ra)
    near = near_any(rows["ra"], rows["dec"], listed.ra[placed], listed.dec[placed], radius_arcsec)
    return np.asarray(near | np.isin(rows["targetid"], listed.targetid[listed.targetid > 0]))


class Listed(Tally):
    """Compares the negatives with the catalogues of suspects and of hard negatives that are at hand."""

    def __init__(self, content: Content) -> None:
        subject, config = content.subject, content.config
        self._rules: list[RowRule] = []
        suspects, hard = subject.suspects, subject.hard_negatives
        if suspects is not None and len(suspects) and config.suspects is not None:
            radius = config.suspects.radius_arcsec
            self._rules.append(
                RowRule(
                    "clear_of_suspects",
                    f'no negative within {radius:g}" of any of {len(suspects):,} suspects or of its TARGETID',
                    lambda rows: is_listed(rows, suspects, radius),
                    _SUSPECT_REMEDY,
                    parts=("negatives",),
                )
            )
        if hard and config.hard_negatives is not None:
            match = config.hard_negatives.match_radius_arcsec
            entries = sum(len(listed) for _, listed in hard)
            self._rules.append(
                RowRule(
                    "hard_negatives_rule",
                    f"{EXTERNAL}NAME is the category of the negatives that one of {entries:,} hard negatives "
                    "lists, and of no other",
                    lambda rows: _wrong_category(rows, hard, match),
                    f"a catalogue of hard negatives was changed, or {FAULT}",
                    parts=("negatives",),
                )
            )

    def add(self, rows: Rows) -> None:
        """Compare some rows."""
        for rule in self._rules:
            rule.add(rows)

    def checks(self) -> Iterator[Check]:
        """Yield the checks."""
        for rule in self._rules:
            yield from rule.checks()


def _wrong_category(
    rows: Rows, catalogs: tuple[tuple[str, ListedSources], ...], radius_arcsec: float
) -> BoolArray:
    """Return which rows have another external category than that of the first catalogue that lists them."""
    expected: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    for category, listed in reversed(catalogs):
        expected[is_listed(rows, listed, radius_arcsec)] = category
    written = np.array(rows.table["confuser_category"].to_pylist(), dtype=object)
    written[~is_external(rows)] = None
    return np.asarray(expected != written, dtype=bool)
