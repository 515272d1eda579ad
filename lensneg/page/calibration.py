"""How many sources of a run's pool meet each criterion of N2, and the limit that gives a wanted rate.

A rate is the share of the sources in the pool that meet a criterion, whatever others they meet. Sources
cluster, and so do the conditions that decide how they are fitted. So the error of a rate is that of a ratio
whose sample is of HEALPix pixels of nside 64 (Cochran 1977, Sampling Techniques, section 6.4), and at least
that of a binomial distribution.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lensneg.errors import InputError
from lensneg.rules.pools import confuser_criteria
from lensneg.rules.rows import Rows
from lensneg.schema.arrays import BoolArray, IntArray
from lensneg.schema.columns import POOL_SCHEMA
from lensneg.schema.config import Config
from lensneg.schema.pools_config import CONFUSER_CATEGORIES, TractorCriteria
from lensneg.schema.tables import read_batches

#: Limits of the bins of r magnitude. The first and the last bin are open.
MAG_EDGES: Final = (16.0, 16.5, 17.0, 17.5, 18.0, 18.5, 19.0, 19.5, 20.0, 20.5, 21.0, 21.5)

#: The category of each criterion of a config, by its key.
CATEGORY_OF: Final = dict(zip(TractorCriteria.model_fields, CONFUSER_CATEGORIES, strict=True))

_PIXELS: Final = 12 * 64**2

#: The column that says which criteria a source meets, if the pool has it.
_FLAGS: Final = "confuser_flags"

#: The columns of the pool that criteria look at.
_LOOKED_AT: Final = (
    *("type", "flux_g", "flux_r", "shape_r", "shape_e1", "shape_e2", "sersic"),
    *("mw_transmission_g", "mw_transmission_r", "maskbits", "fitbits"),
    *("fracflux_r", "rchisq_r", "flux_ivar_r"),
)


class Rate(NamedTuple):
    """Sources, how many of them meet a criterion, their share, and its standard error."""

    sources: int
    meeting: int
    rate: float
    error: float


class RateRow(NamedTuple):
    """A rate of a category, of a type and a bin of magnitude. None stands for all, or for an open end."""

    category: str
    type: str | None
    mag_r_from: float | None
    mag_r_to: float | None
    rate: Rate

    @property
    def is_bin(self) -> bool:
        """Whether the rate is that of one bin of magnitude."""
        return (self.mag_r_from, self.mag_r_to) != (None, None)


class Threshold(NamedTuple):
    """The limit of a criterion that comes nearest to a wanted rate, and the rates at both limits."""

    key: str
    now: float
    rate_now: Rate
    value: float
    rate: Rate


def rate_of(sources: npt.NDArray[np.signedinteger], meeting: npt.NDArray[np.signedinteger]) -> Rate:
    """Return a rate from the sources in each pixel, and those that meet a criterion.

    Parameters
    ----------
    sources, meeting : ndarray of int, shape (n_pixels,)
        Counts. Pixels without sources do not matter.

    Returns
    -------
    Rate
        NaN where there are no sources.

    Examples
    --------
    >>> rate_of(np.array([10, 30, 0]), np.array([1, 9, 0])).rate
    0.25
    """
    total, found = int(sources.sum()), int(meeting.sum())
    if total == 0:
        return Rate(0, 0, float("nan"), float("nan"))
    rate = found / total
    # Neither 0 nor 1, so that no rate is without an error.
    inner = (found + 0.5) / (total + 1)
    error = np.sqrt(inner * (1 - inner) / total)
    pixels = int(np.count_nonzero(sources))
    if pixels > 1:
        scatter = float(((meeting - rate * sources) ** 2).sum()) * pixels / (pixels - 1)
        error = max(error, np.sqrt(scatter) / total)
    return Rate(total, found, rate, float(error))


def criteria_met(batch: pa.Table, config: Config) -> dict[str, BoolArray]:
    """Return, for each category of a config, which rows of the pool meet its criterion.

    Parameters
    ----------
    batch : pyarrow.Table
        Rows of the pool. If it has ``confuser_flags``, that says it.
    config : Config
        The run's.

    Returns
    -------
    dict of str to ndarray of bool
    """
    if _FLAGS in batch.column_names:
        flags, known = batch[_FLAGS].to_numpy(), config.negative_pools.pool_n2.tractor_criteria.categories
        return {name: flags >> i & 1 == 1 for i, name in enumerate(CONFUSER_CATEGORIES) if name in known}
    return confuser_criteria(_rows(batch), config)


def _rows(batch: pa.Table) -> Rows:
    """Return rows of the pool as the rules see them. A missing bit mask has no bit."""
    names = [name for name in batch.column_names if name in _LOOKED_AT]
    whole = {name: batch[name] for name in names}
    for name in ("maskbits", "fitbits"):
        if name in whole:
            whole[name] = whole[name].fill_null(0)
    return Rows.of(pa.table(whole))


class PoolRates:
    """The rates of all categories in a run's pool. Memory holds a batch, and counts for each pixel.

    Parameters
    ----------
    config : Config
        The run's.
    uris : list of str
        The files of the pool.
    """

    def __init__(self, config: Config, uris: list[str]) -> None:
        self._config, self._uris = config, uris
        self.types = config.selection.types
        shape = (len(self.types), len(MAG_EDGES) + 2, _PIXELS)  # the last bin is that without a magnitude
        self._sources = np.zeros(shape, dtype=np.int32)
        self._meeting: dict[str, npt.NDArray[np.int32]] = {}
        for batch in self._batches():
            place = self._place(batch)
            _count(self._sources, place)
            for name, met in criteria_met(batch, config).items():
                _count(self._meeting.setdefault(name, np.zeros(shape, dtype=np.int32)), place[met])

    def _batches(self) -> Iterator[pa.Table]:
        flags = [_FLAGS] if _FLAGS in POOL_SCHEMA.names else []
        for uri in self._uris:
            try:
                yield from read_batches(uri, (*_LOOKED_AT, "mag_r", "healpix_64", *flags))
            except (pa.ArrowException, KeyError, OSError) as error:
                what = (
                    "missing"
                    if isinstance(error, FileNotFoundError)
                    else f"not a pool file of this version: {error}"
                )
                remedy = "calibrate a run whose pool is there; a start of the same run makes its pool again"
                raise InputError(what, where=uri, remedy=remedy) from error

    def _place(self, batch: pa.Table) -> IntArray:
        """Return the place of each row in the counts."""
        kind = pc.index_in(batch["type"], pa.array(self.types)).to_numpy()
        mag = batch["mag_r"].to_numpy()
        bins = np.where(np.isnan(mag), len(MAG_EDGES) + 1, np.searchsorted(MAG_EDGES, mag, side="right"))
        return np.asarray((kind * (len(MAG_EDGES) + 2) + bins) * _PIXELS + batch["healpix_64"].to_numpy())

    def table(self) -> list[RateRow]:
        """Return the rates by category, then type, then bin of magnitude; each with the rate of all first."""
        rows = []
        open_ended = [None, *MAG_EDGES, None]
        for category in self._meeting:
            for kind in (None, *self.types):
                some = slice(None) if kind is None else slice(at := self.types.index(kind), at + 1)
                rows.append(RateRow(category, kind, None, None, self._rate(category, some, slice(None))))
                for i in range(len(MAG_EDGES) + 1):
                    rate = self._rate(category, some, slice(i, i + 1))
                    if rate.sources:
                        rows.append(RateRow(category, kind, open_ended[i], open_ended[i + 1], rate))
        return rows

    def _rate(self, category: str, kinds: slice, bins: slice) -> Rate:
        of = (counts[kinds, bins].sum(axis=(0, 1)) for counts in (self._sources, self._meeting[category]))
        return rate_of(*of)

    def threshold(self, key: str, wanted: float) -> Threshold:
        """Find the limit of a criterion that comes nearest to a wanted rate.

        The pool is read several times. Each time the criterion is applied with a number of limits, which lie
        between those that enclose the wanted rate.

        Parameters
        ----------
        key : str
            A number of a criterion, such as ``ring_proxy.sersic_min``.
        wanted : float
            The rate.

        Returns
        -------
        Threshold
            The limit has four decimals.

        Raises
        ------
        InputError
            If there is no such number, no limit gives the rate, or the pool lacks a column of the criterion.
        """
        now = limit_of(self._config, key)
        rate_now, *_ = self._rates_at(key, [now])
        values = _wide(self._config, key, now)
        for _ in range(6):
            rates = self._rates_at(key, values)
            shares = np.array([rate.rate for rate in rates])
            if not shares.min() <= wanted <= shares.max():
                what = (
                    f"no limit gives the rate {wanted:g}: they give {shares.min():.4g} to {shares.max():.4g}"
                )
                raise InputError(what, where=f"--criterion {key}", remedy="change another number of it first")
            rising = shares[-1] >= shares[0]
            after = int(np.searchsorted(shares if rising else -shares, wanted if rising else -wanted))
            after = min(max(after, 1), len(values) - 1)
            low, high = values[after - 1], values[after]
            if high - low <= 1e-4:
                break
            values = sorted({*np.round(np.linspace(low, high, 17), 4).tolist(), low, high})
        nearest = min((after - 1, after), key=lambda i: abs(shares[i] - wanted))
        return Threshold(key, now, rate_now, round(values[nearest], 4), rates[nearest])

    def _rates_at(self, key: str, values: list[float]) -> list[Rate]:
        """Return the rate of a criterion with each of some limits."""
        sources = self._sources.sum(axis=(0, 1))
        meeting = np.zeros((len(values), _PIXELS), dtype=np.int64)
        tried = [config_with(self._config, key, value) for value in values]
        category = CATEGORY_OF[key.partition(".")[0]]
        for batch in self._batches():
            rows, pixel = _rows(batch), batch["healpix_64"].to_numpy()
            for counts, config in zip(meeting, tried, strict=True):
                try:
                    met = confuser_criteria(rows, config)[category]
                except KeyError as error:
                    what = f"it looks at {error.args[0]}, which the pool does not hold"
                    remedy = "change it in a config, and compare mini-tests"
                    raise InputError(what, where=f"--criterion {key}", remedy=remedy) from error
                _count(counts, pixel[met])
        return [rate_of(sources, counts) for counts in meeting]


def _count(counts: npt.NDArray[np.signedinteger], places: IntArray) -> None:
    """Add rows to the counts at their places."""
    found, rows = np.unique(places, return_counts=True)
    counts.reshape(-1)[found] += rows.astype(counts.dtype)


def _number(config: Config, key: str) -> tuple[Any, str]:
    """Return a criterion and the name of one of its numbers."""
    name, _, number = key.partition(".")
    criteria = config.negative_pools.pool_n2.tractor_criteria
    criterion = getattr(criteria, name, None) if name in CATEGORY_OF else None
    if not isinstance(getattr(criterion, number or "_", None), float):
        known = ", ".join(
            f"{criterion}.{field}"
            for criterion in CATEGORY_OF
            for field, value in (getattr(criteria, criterion) or ())
            if isinstance(value, float)
        )
        what = "not a number of a criterion of the config"
        raise InputError(what, where=f"--criterion {key}", remedy=f"give one of {known}")
    return criterion, number


def limit_of(config: Config, key: str) -> float:
    """Return a number of a criterion, such as ``ring_proxy.sersic_min``.

    Raises
    ------
    InputError
        If the config has no such number.
    """
    criterion, number = _number(config, key)
    return float(getattr(criterion, number))


def config_with(config: Config, key: str, value: float) -> Config:
    """Return a config with another number in a criterion, and without others that may be left out."""
    criterion, number = _number(config, key)
    name = key.partition(".")[0]
    others = {n: None for n, f in TractorCriteria.model_fields.items() if n != name and not f.is_required()}
    changed = {name: criterion.model_copy(update={number: value}), **others}
    pools = config.negative_pools
    criteria = pools.pool_n2.tractor_criteria.model_copy(update=changed)
    n2 = pools.pool_n2.model_copy(update={"tractor_criteria": criteria})
    return config.model_copy(update={"negative_pools": pools.model_copy(update={"pool_n2": n2})})


def _wide(config: Config, key: str, now: float) -> list[float]:
    """Return limits that a config may have, on both sides of the present one, close to it and far away."""
    criterion, number = _number(config, key)
    steps = max(abs(now), 1.0) * 2.0 ** np.arange(-5, 8)
    limits: Mapping[str, float] = {
        name: value
        for bound in type(criterion).model_fields[number].metadata
        for name in ("ge", "le")
        if (value := getattr(bound, name, None)) is not None
    }
    values = np.clip([now, *(now - steps), *(now + steps)], limits.get("ge"), limits.get("le"))
    return sorted(set(np.round(values, 4).tolist()))
