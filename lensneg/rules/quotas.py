"""Quotas: how many negatives each stratum gets from each pool, and below which priority they lie."""

import math
from collections.abc import Iterable, Mapping

from lensneg.rules.pools import POOLS
from lensneg.rules.priority import PRIORITY_MAX, PRIORITY_MIN
from lensneg.rules.strata import Stratum, strata_of
from lensneg.schema.config import Config
from lensneg.schema.quotas import Draw, PoolQuota, Range, StratumQuota

#: How many standard deviations a threshold leaves above the quota. At 6 one threshold in 10^9 is too
#: low; the draw notices and widens it, so this is a matter of cost and never of correctness.
THRESHOLD_SIGMAS = 6.0


def largest_remainder(total: int, weights: tuple[int, ...]) -> tuple[int, ...]:
    """Split a whole number in proportion to weights, by the method of largest remainders.

    Parameters
    ----------
    total : int
        At least 0.
    weights : tuple of int
        At least one above 0.

    Returns
    -------
    tuple of int
        Adds up to ``total``; each part differs from its exact share by less than 1. Between equal
        remainders the earlier part takes the unit.

    Examples
    --------
    >>> largest_remainder(10, (85, 15))
    (9, 1)
    """
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return tuple(parts)


def priority_threshold(quota: int, available: int) -> int:
    """Return a priority at or below which ``quota`` of ``available`` uniform priorities lie.

    Their number is binomial; the threshold puts its mean :data:`THRESHOLD_SIGMAS` standard deviations
    above the quota.

    Parameters
    ----------
    quota : int
        Sources to draw.
    available : int
        Sources to draw from.

    Returns
    -------
    int
        A signed 64-bit integer.
    """
    if quota <= 0:
        return PRIORITY_MIN
    expected = quota + THRESHOLD_SIGMAS * math.sqrt(quota) + THRESHOLD_SIGMAS**2
    if expected >= available:
        return PRIORITY_MAX
    return PRIORITY_MIN + int(expected / available * 2.0**64)


def _fill(target: tuple[int, ...], available: tuple[int, ...], backfill: bool) -> list[int]:
    """Return the rows to draw from each pool: its target, or all it has, then what the other lacks."""
    quota = [min(t, a) for t, a in zip(target, available, strict=True)]
    if backfill:
        for i, room in enumerate([a - q for a, q in zip(available, quota, strict=True)]):
            quota[i] += min(room, sum(target) - sum(quota))
    return quota


def plain_draws(pools: Iterable[PoolQuota]) -> tuple[Draw, ...]:
    """Return a draw from each pool that takes any rows: those of the lowest priorities.

    Parameters
    ----------
    pools : iterable of PoolQuota
        The pools, none of which takes a source from another.

    Returns
    -------
    tuple of Draw
    """
    return tuple(
        Draw(
            draw=p.pool.lower(),
            pool=p.pool,
            available=p.available,
            left=p.available,
            quota=p.quota,
            is_exact=False,
            ranges=(
                Range(
                    classes=(p.pool,), lowest=PRIORITY_MIN, highest=priority_threshold(p.quota, p.available)
                ),
            ),
        )
        for p in pools
        if p.quota
    )


def compute_quotas(
    positives: Mapping[Stratum, int], available: Mapping[tuple[Stratum, str], int], config: Config
) -> list[StratumQuota]:
    """Compute the quotas of all strata, where no pool takes a source from another.

    Parameters
    ----------
    positives : mapping of Stratum to int
        Positives in each stratum; a stratum left out has none.
    available : mapping of (Stratum, pool) to int
        Rows of the pool files in each stratum and pool; a pair that is left out has none.
    config : Config
        Its strata, ratios and backfill.

    Returns
    -------
    list of StratumQuota
        All strata of the config, in its order.
    """
    quotas = []
    for stratum in strata_of(config.strata):
        count = positives.get(stratum, 0)
        total = config.negative_pools.neg_pos_ratio * count
        target = largest_remainder(total, config.negative_pools.n1_n2_ratio)
        have = tuple(available.get((stratum, pool), 0) for pool in POOLS)
        drawn = _fill(target, have, config.negative_pools.backfill)
        pools = tuple(
            PoolQuota(pool=pool, available=a, target=t, backfill=max(0, q - t), quota=q)
            for pool, a, t, q in zip(POOLS, have, target, drawn, strict=True)
        )
        quotas.append(
            StratumQuota(
                nobs_z_bin=stratum.nobs_z_bin,
                type_bin=stratum.type_bin,
                positives=count,
                target=total,
                shortfall=total - sum(drawn),
                reachable=stratum_is_reachable(stratum, config),
                pools=pools,
                draws=plain_draws(pools),
            )
        )
    return quotas


def stratum_is_reachable(stratum: Stratum, config: Config) -> bool:
    """Return whether the cuts allow any source in a stratum.

    ``paper_iv_parity`` asks for three exposures, so no source can be in its bin 1-2: a positive there
    has a shortfall by construction, which is reported but is no fault of the sky.

    Parameters
    ----------
    stratum : Stratum
        One of the config's.
    config : Config
        Its cuts on exposures and types.

    Returns
    -------
    bool
    """
    high = config.strata.bin_limits[config.strata.nobs_z_bins.index(stratum.nobs_z_bin)][1]
    enough = high is None or high >= config.selection.nobs_min["z"]
    return enough and stratum.type_bin in config.selection.types
