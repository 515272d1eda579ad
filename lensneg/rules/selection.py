"""The cuts: which sources may be negatives, and under which rule each of the others falls.

The rules are tried in the order of :data:`RULES`: first whether a row is a source at all, then the cheapest
and most selective. A source is counted under the first that it fails; so rows in = rows kept + the sum of
the counts.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from lensneg.rules.photometry import dereddened, faintest_flux, magnitude
from lensneg.rules.rows import Rows
from lensneg.rules.usable import all_usable, has_identity
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.columns import BRICK_PRIMARY, NEEDED_COLUMNS
from lensneg.schema.config import Config
from lensneg.schema.sweep_columns import MASKBITS, SOURCE_TYPES


class Rule(NamedTuple):
    """A cut: the name it is counted under, and which rows pass it."""

    reason: str
    passes: Callable[[Rows, Config], BoolArray]


def needed_columns(config: Config) -> tuple[str, ...]:
    """Return the sweep columns that the rules and the manifest need.

    Parameters
    ----------
    config : Config
        It may ask for exposures in more bands than a manifest has, and its criteria for further columns.

    Returns
    -------
    tuple of str
        In upper case.
    """
    bands = (f"NOBS_{band.upper()}" for band in config.selection.nobs_min)
    of_criteria = config.negative_pools.pool_n2.tractor_criteria.columns
    return tuple(dict.fromkeys([*NEEDED_COLUMNS, *bands, *of_criteria]))


def _identified(rows: Rows, _config: Config) -> BoolArray:
    return has_identity(rows)


def _bright(rows: Rows, config: Config) -> BoolArray:
    # NaN, zero and negative fluxes fail: they have no magnitude.
    limit = config.selection.z_mag_limit
    flux, faintest = rows["FLUX_Z"], faintest_flux(limit)
    if not config.selection.dereddened:
        return np.asarray(flux >= faintest)
    through = rows["MW_TRANSMISSION_Z"]
    (few,) = (flux >= np.float32(0.999) * faintest * through).nonzero()  # no bright one is left out
    without_dust = dereddened(flux[few], through[few])
    bright = np.zeros(len(rows), dtype=bool)
    bright[few] = without_dust >= faintest
    # A quotient is no float32 number: near the limit the magnitude decides.
    close = np.abs(without_dust - faintest) < 1e-6 * faintest
    if close.any():
        bright[few[close]] = magnitude(without_dust[close]) < limit
    return bright


def is_one_of(rows: Rows, types: Iterable[str]) -> BoolArray:
    """Return which rows are of one of some types.

    Parameters
    ----------
    rows : Rows
        Needs TYPE.
    types : iterable of str
        Some of ``SOURCE_TYPES``.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return _allowed(tuple(types)).take(rows.source_type())  # any other type, -1, finds the last entry


@lru_cache(maxsize=64)
def _allowed(types: tuple[str, ...]) -> BoolArray:
    """Return for each of ``SOURCE_TYPES``, and for any other, whether it is one of some types."""
    allowed = np.zeros(len(SOURCE_TYPES) + 1, dtype=bool)
    allowed[[SOURCE_TYPES.index(name) for name in types]] = True
    return allowed


def _of_type(rows: Rows, config: Config) -> BoolArray:
    return is_one_of(rows, config.selection.types)


def is_primary(rows: Rows) -> BoolArray:
    """Return which rows are of primary sources. Neighbouring bricks overlap, and hold the others twice.

    Parameters
    ----------
    rows : Rows
        Needs MASKBITS. Stacked bricks also have BRICK_PRIMARY; sweep files hold primary sources alone.

    Returns
    -------
    ndarray of bool, shape (n,)
        False where NPRIMARY is set in MASKBITS, or where BRICK_PRIMARY is there and not true.
    """
    primary = (rows["MASKBITS"] & (1 << MASKBITS["NPRIMARY"])) == 0
    if BRICK_PRIMARY in rows:
        values = rows[BRICK_PRIMARY]
        is_text = values.dtype.kind == "S"  # T or F in FITS, true or false in a table
        primary &= np.isin(np.char.upper(values), [b"T", b"TRUE", b"1"]) if is_text else values != 0
    return np.asarray(primary)


def _primary(rows: Rows, _config: Config) -> BoolArray:
    return is_primary(rows)


def _observed(rows: Rows, config: Config) -> BoolArray:
    passes = np.ones(len(rows), dtype=bool)
    for band, least in config.selection.nobs_min.items():
        passes &= rows[f"NOBS_{band.upper()}"] >= least
    return passes


def _in_footprint(rows: Rows, config: Config) -> BoolArray:
    dec = rows["DEC"]
    low, high = config.selection.dec_range or (-np.inf, np.inf)
    return np.asarray((dec > low) & (dec < high))


def _unmasked(rows: Rows, config: Config) -> BoolArray:
    # A release may have fewer bits than the config excludes, in a narrower column.
    return np.asarray((rows["MASKBITS"].astype(np.int64) & config.exclusion.maskbits_value) == 0)


#: The cuts that look at one source alone, in order.
RULES: Final[tuple[Rule, ...]] = (
    Rule("bad_row", _identified),
    Rule("faint", _bright),
    Rule("type", _of_type),
    Rule("unusable", all_usable),
    Rule("not_primary", _primary),
    Rule("nobs", _observed),
    Rule("footprint", _in_footprint),
    Rule("maskbits", _unmasked),
)

#: Every reason for which a row is not in the pool, in order. Those after the rules need more than a source:
#: its pool (see :mod:`lensneg.rules.pools`), the catalogues (see :mod:`lensneg.stages.filter_sweep`) and the
#: splits around it (see :mod:`lensneg.rules.borders`).
CUT_REASONS: Final[tuple[str, ...]] = (
    *(rule.reason for rule in RULES),
    "no_pool",
    "near_lens",
    "border",
    "suspect",
)

#: The first cuts, which leave a twentieth of all sources: worth applying before anything is gathered.
SIEVE: Final[tuple[Rule, ...]] = RULES[:3]


def select(rows: Rows, config: Config, rules: tuple[Rule, ...] = RULES) -> tuple[IntArray, dict[str, int]]:
    """Apply the cuts that look at one source alone.

    Parameters
    ----------
    rows : Rows
        Needs FLUX_Z, TYPE, NOBS_*, RA, DEC and MASKBITS. Other columns must be usable if they are there.
    config : Config
        The cuts' limits.
    rules : tuple of Rule
        Some of :data:`RULES`, in their order.

    Returns
    -------
    kept : ndarray of int64
        Indices of the rows that pass all rules, ascending.
    cut : dict of str to int
        Rows cut, by the first rule that each fails.
    """
    kept: IntArray | None = None
    cut: dict[str, int] = {}
    for rule in rules:
        left = rows if kept is None else rows.take(kept)
        passes = rule.passes(left, config)
        cut[rule.reason] = len(left) - int(np.count_nonzero(passes))
        if cut[rule.reason]:  # If not, a column taken whole is cheaper than one taken row by row.
            (passed,) = passes.nonzero()
            kept = passed if kept is None else kept[passed]
    return np.arange(len(rows)) if kept is None else kept, cut


def first_failed_rule(rows: Rows, config: Config) -> list[str | None]:
    """Return for each of a few rows the first rule that it fails.

    Parameters
    ----------
    rows : Rows
        As for :func:`select`.
    config : Config
        The cuts' limits.

    Returns
    -------
    list of str or None, length n
        None for a row that passes all rules.
    """
    reasons: list[str | None] = [None] * len(rows)
    for rule in reversed(RULES):
        for i in np.flatnonzero(~rule.passes(rows, config)):
            reasons[i] = rule.reason
    return reasons
